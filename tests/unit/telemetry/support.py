"""Views to count in."""

from dataclasses import replace
from typing import Any

from nodepool_ng.model.component import BUILDER, LAUNCHER, POOL, Component
from nodepool_ng.model.ids import (
    BuildId,
    ImageName,
    LabelName,
    NodeId,
    PoolId,
    PoolName,
    ProviderName,
    RequestId,
    TenantName,
    UploadId,
)
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.lifecycle import ImageState, NodeState, RequestState
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.server import ProviderFacts
from nodepool_ng.model.settings import DiskImage, Label, Pool, PoolLabel, Provider, ProviderImage, Settings
from nodepool_ng.model.view import ImageView, View

NOW = 1_795_211_834.0
NORTH, MAIN, SMALL, IMAGE = ProviderName("north"), PoolName("main"), LabelName("small"), ImageName("debian")


def node(number: int, state: NodeState = NodeState.READY, **more: Any) -> Node:
    fields: dict[str, Any] = {"provider": NORTH, "pool": MAIN, "labels": (SMALL,), "state_time": NOW - 69, **more}
    return Node(id=NodeId(f"{number:010d}"), state=state, **fields)


def request(number: int, state: RequestState = RequestState.REQUESTED, **more: Any) -> NodeRequest:
    fields: dict[str, Any] = {"labels": (SMALL,), "state_time": NOW - 30, "requestor": "zuul", **more}
    return NodeRequest(id=RequestId(f"200-{number:010d}"), state=state, **fields)


def upload(state: ImageState = ImageState.READY, **more: Any) -> Upload:
    fields: dict[str, Any] = {"id": UploadId("0000000001"), "state_time": NOW - 3600, "provider": NORTH, **more}
    return Upload(image=IMAGE, build=BuildId("b" * 32), state=state, **fields)


def build(state: ImageState = ImageState.READY, id: str = "b" * 32, **more: Any) -> Build:
    fields: dict[str, Any] = {"state_time": NOW - 4000, "builder": "nb01.example", "formats": ("qcow2",), **more}
    return Build(image=IMAGE, id=BuildId(id), state=state, **fields)


def pool_component(key: str = "host0000000001", **more: Any) -> Component:
    fields: dict[str, Any] = {
        "id": PoolId("host-PoolWorker.north-main-1"),
        "name": MAIN,
        "provider_name": NORTH,
        "supported_labels": frozenset({SMALL}),
        **more,
    }
    return Component(key=key, kind=POOL, hostname="nl01.example", state="running", **fields)


def settings(**more: Any) -> Settings:
    labels = {SMALL: PoolLabel(name=SMALL, diskimage=IMAGE)}
    pool = Pool(name=MAIN, provider=NORTH, labels=labels, limits=Resources({"instances": 5}))
    provider = Provider(name=NORTH, pools={MAIN: pool}, images={IMAGE: ProviderImage(name=IMAGE)})
    return Settings(
        **{
            "labels": {SMALL: Label(name=SMALL, min_ready=2)},
            "diskimages": {IMAGE: DiskImage(name=IMAGE)},
            "providers": {NORTH: provider},
            "tenant_limits": {TenantName("ten.ant"): Resources({"instances": 7, "cores": 8})},
            **more,
        }
    )


def components(*found: Component) -> dict[str, Component]:
    return {f"{one.kind}/{one.key}": one for one in found}


def full_view(**more: Any) -> View:
    """Return a view in which there is something of everything."""
    nodes = (node(1), node(2, NodeState.BUILDING), node(3, NodeState.IN_USE))
    requests = (request(1), request(2, RequestState.PENDING))
    facts = ProviderFacts(
        provider=NORTH, listed=NOW - 2, limits=Resources({"instances": 20, "cores": 40}), limits_read=NOW - 20
    )
    daemon = Component(key="nl01.example0000000001", kind=LAUNCHER, hostname="nl01.example", state="running")
    known: dict[str, Any] = {
        "now": NOW,
        "settings": settings(),
        "hostname": "nl01.example",
        "complete": True,
        "planned": True,
        "elected": True,
        "nodes": {one.id: one for one in nodes},
        "locked": frozenset({nodes[2].id}),
        "requests": {one.id: one for one in requests},
        "builds": (build(), build(ImageState.FAILED, "c" * 32, state_time=NOW - 100)),
        "uploads": (upload(),),
        "images": {IMAGE: ImageView()},
        "components": components(daemon, pool_component(), replace(daemon, kind=BUILDER)),
        "pool_ids": {(NORTH, MAIN): PoolId("host-PoolWorker.north-main-1")},
        "leased": frozenset({NORTH}),
        "verdicts": {
            requests[0].id: (
                Reason(
                    code=Code.POOL_LIMIT, provider=NORTH, pool=MAIN, resource="instances", limit=0, used=5, wanted=1
                ),
            )
        },
        "facts": {NORTH: facts},
        "foreign": {NORTH: Resources({"instances": 3})},
        "used": {(NORTH, MAIN): Resources({"instances": 3})},
        "used_in_provider": {NORTH: Resources({"instances": 3})},
    }
    return View(**{**known, **more})
