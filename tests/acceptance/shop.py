"""Installations as operators write them, under virtual time: providers with pools and labels, and what clients see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nodepool_ng.model.component import POOL, Component
from nodepool_ng.model.ids import ProviderName
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.settings import (
    METASTATIC,
    STATIC,
    Backing,
    CloudImage,
    Label,
    Pool,
    PoolLabel,
    Provider,
    Settings,
    StaticHost,
)
from nodepool_ng.sim.server import Server
from nodepool_ng.sim.settings import RegionSettings
from nodepool_ng.sim.virtual.check import complaints, nodes_in, requests_in
from nodepool_ng.sim.virtual.client import Job, VirtualScheduler
from nodepool_ng.sim.virtual.machines import Machine
from nodepool_ng.sim.virtual.world import MESSAGE_TIME, Installation, VirtualLauncher
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.store import Create, Delete, Set


def label(name: str, **changes: Any) -> PoolLabel:
    return PoolLabel(**{"name": name, "cloud_image": "base", "flavor_name": "small", **changes})


def pool(name: str, *labels: PoolLabel | str, limits: Mapping[str, float] | None = None, **changes: Any) -> Pool:
    made = {each.name: each for each in (label(one) if isinstance(one, str) else one for one in labels)}
    return Pool(name=name, provider="", labels=made, limits=Resources(dict(limits or {})), **changes)  # type: ignore[arg-type]


def provider(name: str, *pools: Pool, **changes: Any) -> Provider:
    made = {each.name: replace(each, provider=name) for each in pools or (pool("main", "small"),)}  # type: ignore[arg-type]
    images = changes.pop("cloud_images", {"base": CloudImage(name="base")})
    return Provider(name=name, cloud=f"cloud-{name}", pools=made, cloud_images=images, **changes)  # type: ignore[arg-type]


def host(name: str, *labels: str, **changes: Any) -> StaticHost:
    """Return a machine that is there already."""
    return StaticHost(name=name, labels=labels or ("bare",), **changes)  # type: ignore[arg-type]


def yard(*hosts: StaticHost, name: str = "yard", **changes: Any) -> Provider:
    """Return a static provider with one pool."""
    labels = dict.fromkeys(each for one in hosts for each in one.labels)
    made = {each: PoolLabel(name=each) for each in labels}
    bench = Pool(name="bench", provider=name, labels=made, hosts=hosts, **changes)  # type: ignore[arg-type]
    return Provider(name=name, driver=STATIC, pools={"bench": bench})  # type: ignore[arg-type,dict-item]


def slicer(*labels: str, backing: str = "large", name: str = "slicer", **changes: Any) -> Provider:
    """Return a metastatic provider with one pool, whose labels are cut out of nodes with a backing label."""
    cut = {key: changes.pop(key) for key in ("slots", "grace_time", "min_retention_time", "max_age") if key in changes}
    checked = changes.pop("host_key_checking", False)
    more = {key: changes.pop(key) for key in ("launch_retries", "launch_timeout") if key in changes}
    how = Backing(label=backing, **{"slots": 2, **cut})  # type: ignore[arg-type]
    made = {each: PoolLabel(name=each, backing=how, host_key_checking=checked) for each in labels or ("slice",)}  # type: ignore[arg-type]
    bench = Pool(name="board", provider=name, labels=made, **changes)  # type: ignore[arg-type]
    return Provider(name=name, driver=METASTATIC, pools={"board": bench}, **more)  # type: ignore[arg-type,dict-item]


def settings(*providers: Provider, labels: Mapping[str, Mapping[str, Any]] | None = None, **changes: Any) -> Settings:
    """Return settings with every label that a pool has; `labels` says more about some."""
    providers = providers or (provider("north"),)
    names = {name: None for each in providers for part in each.pools.values() for name in part.labels}
    more = labels or {}
    return Settings(
        labels={name: Label(name=name, **more.get(name, {})) for name in {**names, **dict.fromkeys(more)}},  # type: ignore[arg-type,misc]
        providers={each.name: each for each in providers},
        **changes,
    )


class Shop:
    """An installation that is open for business: one launcher (more on request), one scheduler."""

    def __init__(
        self, configured: Settings, *, launchers: int = 1, machines: Mapping[str, Machine] | None = None, **region: Any
    ) -> None:
        chosen = RegionSettings.model_validate({"boot": 5, "latency": {"default": 0.05}, **region})
        clouds = {name: chosen for name, each in configured.providers.items() if each.has_cloud}
        self.place = Installation(configured, clouds, seed=3)
        self.machines = self.place.machines.named
        self.machines |= machines or {}
        for number in range(launchers):
            self.place.launcher(f"host-{number}")
        self.client = VirtualScheduler(self.place.timeline, self.place.tree, MESSAGE_TIME)
        self.run(20)

    @property
    def launcher(self) -> VirtualLauncher:
        return self.place.launchers[-1]

    def run(self, seconds: float) -> None:
        self.place.timeline.run(seconds)

    def ask(self, *labels: str, seconds: float = 10, **more: Any) -> Job:
        """Have a job ask for nodes."""
        return self.client.run_job(tuple(labels), seconds, **more)  # type: ignore[arg-type]

    def write(self, request: NodeRequest, priority: str = "200") -> str:
        """Write a request that no job waits for; return its id."""
        made = Create(paths.new_request(priority), codec.encode_request(request), sequence=True)
        done = self.place.tree.commit((made,), self.place.client.session_id)
        return str(done.results[0]).rpartition("/")[2]  # type: ignore[union-attr]

    def nodes(self, *states: NodeState | str) -> list[Node]:
        found = nodes_in(self.place).values()
        return [node for node in found if not states or node.state in states]

    def requests(self) -> list[NodeRequest]:
        return list(requests_in(self.place).values())

    def servers(self, name: str = "north") -> list[Server]:
        return list(self.place.regions[ProviderName(name)].servers.live.values())

    def created(self, name: str = "north") -> int:
        """Return how many servers were ever made."""
        return len(self.place.regions[ProviderName(name)].servers.rows)

    def change(self, name: str, **settings: object) -> None:
        """Change what a region is like."""
        self.place.regions[ProviderName(name)].change(settings)

    def pools(self) -> dict[str, Component]:
        """Return the registered pools."""
        found = {}
        for path in self.place.tree.paths():
            at = paths.parse(path)
            if isinstance(at, paths.ComponentAt) and at.kind == POOL:
                znode = self.place.tree.look(path)
                assert znode is not None
                component = codec.decode_component(at.kind, at.key, znode.data)
                assert isinstance(component, Component)
                found[f"{component.provider_name}/{component.name}"] = component
        return found

    def rewrite(self, node: Node) -> None:
        """Write a node as somebody who needs no lock: an operator, or a client that is gone."""
        self.place.tree.commit((Set(paths.node(node.id), codec.encode_node(node)),), self.place.client.session_id)

    def erase(self, node: Node) -> None:
        """Remove a record behind everybody's back."""
        gone = [path for path in self.place.tree.paths() if path.startswith(paths.node(node.id))]
        self.place.tree.commit(tuple(Delete(path) for path in sorted(gone, reverse=True)), self.place.client.session_id)

    def reconfigure(self, configured: Settings) -> None:
        """Have every launcher go by new settings, as after a change of its files."""
        self.place.settings = configured
        for launcher in self.place.launchers:
            self.place.reload(launcher, configured)

    def assert_at_rest(self) -> None:
        assert list(complaints(self.place)) == []
