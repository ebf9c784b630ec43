"""Small installations under virtual time."""

from collections.abc import Mapping
from typing import Any

from nodepool_ng.model.ids import LabelName, PoolName, ProviderName, TenantName
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.settings import CloudImage, Label, Pool, PoolLabel, Provider, Settings
from nodepool_ng.sim.settings import RegionSettings
from nodepool_ng.sim.virtual.check import complaints
from nodepool_ng.sim.virtual.client import VirtualScheduler
from nodepool_ng.sim.virtual.world import MESSAGE_TIME, Installation

SMALL = LabelName("small")
MAIN = PoolName("main")


def settings(
    *providers: str, min_ready: int = 2, max_servers: int = 10, tenants: Mapping[str, float] | None = None, **more: Any
) -> Settings:
    """Return settings with one label that every provider has."""
    made = {}
    for name in map(ProviderName, providers or ("north",)):
        label = PoolLabel(name=SMALL, cloud_image="base", flavor_name="small")
        pool = Pool(name=MAIN, provider=name, labels={SMALL: label}, limits=Resources({"instances": max_servers}))
        made[name] = Provider(
            name=name, cloud=name, pools={MAIN: pool}, cloud_images={"base": CloudImage(name="base")}, **more
        )
    return Settings(
        labels={SMALL: Label(name=SMALL, min_ready=min_ready)},
        providers=made,
        tenant_limits={TenantName(t): Resources({"instances": n}) for t, n in (tenants or {}).items()},
    )


def installation(configured: Settings, seed: int = 1, **region: Any) -> Installation:
    chosen = RegionSettings.model_validate({"boot": 5, "latency": {"default": 0.05}, **region})
    return Installation(configured, dict.fromkeys(configured.providers, chosen), seed)


def scheduler(place: Installation) -> VirtualScheduler:
    client = VirtualScheduler(place.timeline, place.tree, MESSAGE_TIME)
    place.timeline.run(0.1)
    return client


def assert_at_rest(place: Installation) -> None:
    assert list(complaints(place)) == []
