"""What statsd calls things, and that telling never waits."""

import pytest

from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.quota import Resources
from nodepool_ng.telemetry import events, gauges, metrics
from nodepool_ng.telemetry.prometheus import MOST_SERIES, Prometheus
from nodepool_ng.telemetry.sample import Sample, sample
from nodepool_ng.telemetry.statsd import DEFAULT_PORT, MOST_WAITING, Statsd, address, name_of
from tests.support.sink import sink
from tests.unit.telemetry.support import MAIN, NORTH, SMALL, full_view, settings


@pytest.mark.parametrize(
    ("told", "name"),
    [
        (
            sample(metrics.LABEL_NODES, 1, label="ubuntu-20.04", state="ready"),
            "nodepool.label.ubuntu-20.04.nodes.ready",
        ),
        (
            sample(metrics.TENANT_LIMIT, 1, tenant="ten.ant:1", limit="volume.gb"),
            "nodepool.tenant_limits.ten_ant_1.volume_gb",
        ),
        (
            sample(metrics.LAUNCH_REQUESTOR, 1, requestor="zuul.example:22", result="error.quota"),
            "nodepool.launch.requestor.zuul_example_22.error.quota",
        ),
        (
            sample(metrics.BUILD_STATE, 1, hostname="nb01.example", image="debian"),
            "nodepool.builder.nb01.example.image.debian.build.state",
        ),
        (
            sample(metrics.LABEL_NODES, 1, label="a:1|c\nb é@", state="ready"),
            "nodepool.label.a_1_c_b___.nodes.ready",
        ),
    ],
)
def test_names_have_the_levels_that_dashboards_know(told: Sample, name: str) -> None:
    assert name_of(told) == name


def names(samples: object) -> list[str]:
    return [name_of(one) for one in samples]  # type: ignore[attr-defined]


def test_api_calls_are_named_as_the_sdk_does() -> None:
    assert names(events.api_call(None, "p", "compute", "GET", "servers_detail", 200, 1.2)) == [
        "nodepool.task.p.compute.GET.servers_detail.200",
        "nodepool.task.p.compute.GET.servers_detail.over_1000",
        "nodepool.task.p.compute.GET.servers_detail.attempted",
    ]
    assert names(events.api_call("x.y", "p", "compute", "GET", "limits", None, 60)) == [
        "x.y.compute.GET.limits.failed",
        "x.y.compute.GET.limits.attempted",
    ]


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"STATSD_HOST": "graphite"}, ("graphite", DEFAULT_PORT)),
        ({"STATSD_PORT": "8126"}, ("localhost", 8126)),
        ({"STATSD_HOST": "", "STATSD_PORT": ""}, None),
    ],
)
def test_the_environment_says_where(environment: dict[str, str], found: tuple[str, int] | None) -> None:
    assert address(environment) == found


def test_all_states_are_told_for_all_that_is_registered() -> None:
    told = set(names(gauges.installation(full_view(nodes={}))))
    for state in NodeState:
        for place in ("nodepool", f"nodepool.provider.{NORTH}", f"nodepool.label.{SMALL}"):
            assert f"{place}.nodes.{state}" in told


def values(samples: object) -> dict[str, float]:
    return {name_of(one): one.value for one in samples}  # type: ignore[attr-defined]


def test_no_limit_is_not_told() -> None:
    without = settings()
    pool = without.providers[NORTH].pools[MAIN]
    object.__setattr__(pool, "limits", Resources())
    name = f"nodepool.provider.{NORTH}.max_servers"
    assert values(gauges.launcher(full_view(settings=without)))[name] == 20
    assert name not in values(gauges.launcher(full_view(settings=without, facts={})))


def test_telling_never_waits_and_what_was_told_is_sent_at_the_end() -> None:
    deaf = Statsd("127.0.0.1", 9)
    for _ in range(MOST_WAITING + 5):
        deaf.tell(events.request_failed())
    assert deaf.dropped == 5
    with sink() as ears:
        statsd = Statsd("127.0.0.1", ears.port)
        statsd.start()
        statsd.tell([sample(metrics.NODES, 3.0, state="ready"), sample(metrics.NODES, float("inf"), state="hold")])
        statsd.tell(events.launched("ready", 3.002, provider="p", az=None, requestor="zuul", image=None))
        statsd.stop()
        ears.wait(lambda: len(ears.lines) == 7, "all of it")
    assert ears.lines[:3] == [
        "nodepool.nodes.ready:3|g",
        "nodepool.launch.ready:3002.000000|ms",
        "nodepool.launch.ready:1|c",
    ]


def test_a_client_that_makes_up_names_cannot_fill_the_memory() -> None:
    prometheus = Prometheus()
    for number in range(MOST_SERIES + 10):
        prometheus.tell(events.launched("ready", 1.0, provider="p", az=None, requestor=f"r{number}", image=None))
    text = prometheus.text().decode()
    assert text.count("nodepool_launch_by_requestor{") == MOST_SERIES
    assert f'nodepool_launch{{result="ready"}} {MOST_SERIES + 10}.0' in text
