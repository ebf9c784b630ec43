"""Everything that can be told, told again and again, as in a large installation where all kinds of things go on."""

import re
from collections.abc import Iterator

from nodepool_ng.telemetry import events
from nodepool_ng.telemetry.sample import Sample
from tests.unit.telemetry.test_boards import targets
from tests.unit.telemetry.test_register import everything

TASKS = {
    found[1]
    for _, target in targets("graphite")
    if (found := re.search(r"provider\.(\w+\.[A-Z]+\.\w+)", target["target"]))
} | {
    "compute.GET.server",
    "compute.GET.flavors_detail",
    "network.GET.floatingips",
    "network.GET.networks",
    "network.GET.ports",
    "network.GET.subnets",
}
"""Calls that some board asks about."""


def lively() -> Iterator[Sample]:
    """Yield samples of every kind that any board asks for."""
    yield from everything()
    for provider in ("p", "north"):
        for result in ("ready", "error.quota"):
            yield from events.launched(result, 30.0, provider=provider, az="az", requestor="zuul", image="debian")
        for task in sorted(TASKS):
            service, method, name = task.split(".")
            yield from events.api_call(None, provider, service, method, name, 200, 0.2)
            yield from events.api_call(None, provider, service, method, name, None, 0.2)
        yield from events.leaked(provider, "instances")
        yield from events.request_served(3.0, provider=provider, label="small", warm=False)
        yield from events.uploaded("debian", provider, 30.0)
        yield from events.upload_failed("debian", provider)
    for host in ("nb01", "nb01.example", "nb01.example.org", "nb01.dc.example.org"):
        yield from events.builder(host, {"debian": 1}, {("debian", "north"): 2}, build_workers=1, upload_workers=4)
    yield from events.built("debian", 0, 60.0, 1_700_000_000.5, {"qcow2": 1_000_000})
