"""What lists tell about a cloud."""

from __future__ import annotations

from dataclasses import replace

from nodepool_ng.drivers import Listing
from nodepool_ng.launcher.clouds import CloudFacts
from nodepool_ng.model.ids import InstallationId, ProviderName, ServerId
from nodepool_ng.model.server import Server, ServerStatus

ACME = ProviderName("acme")


def server(number: int, status: ServerStatus, provider: str | None = "acme") -> Server:
    owner = None if provider is None else ProviderName(provider)
    return Server(id=ServerId(f"server-{number}"), name="", status=status, provider=owner)


def risen(clouds: CloudFacts, *servers: Server, full: bool = False) -> int:
    clouds.listed(ACME, Listing(servers=servers, asked=1.0, full=full), frozenset(), frozenset())
    return clouds.facts[ACME].risen


def test_a_list_tells_how_many_servers_of_ours_came_up() -> None:
    clouds = CloudFacts(InstallationId("here"))
    one, two = (server(number, ServerStatus.BUILDING) for number in (1, 2))
    foreign = [server(3, ServerStatus.ACTIVE, "zeta"), server(4, ServerStatus.ACTIVE, None)]
    assert risen(clouds, one, two, *foreign, full=True) == 0
    up = replace(one, status=ServerStatus.ACTIVE)
    assert risen(clouds, up, server(5, ServerStatus.ACTIVE)) == 2, "one that changed, and one that is new"
    assert risen(clouds, up) == 0, "listed again"
    assert risen(clouds, up, two, full=True) == 0
    assert risen(clouds) == 0
