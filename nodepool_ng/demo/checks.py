"""What `--once` holds the demo to: pure, from the evidence to a list of findings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nodepool_ng.demo.jobs import Job, span
from nodepool_ng.demo.rows import shares
from nodepool_ng.demo.settings import IMAGE, REGIONS, WARM
from nodepool_ng.demo.view import Sight
from nodepool_ng.model.ids import NodeId, ProviderName
from nodepool_ng.model.lifecycle import ImageState, NodeState
from nodepool_ng.sim.client import RegionState, ServerState

NODE_KEY = "nodepool_node_id"
"""The metadata by which every server says to which node it belongs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known when all is done: the tree, the clouds, the jobs, and what `nodepool list` said."""

    sight: Sight
    regions: Mapping[ProviderName, RegionState]
    jobs: Sequence[Job]
    listed: str
    list_status: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    good: bool
    detail: str = ""


def findings(e: Evidence) -> tuple[Finding, ...]:
    """Judge all of it."""
    return (*_images(e), *_pool(e), *_jobs(e), *_after_jobs(e), *_leaks(e), _list(e))


def _images(e: Evidence) -> Iterator[Finding]:
    built = [build for build in e.sight.builds if build.state is ImageState.READY]
    formats = ", ".join(sorted({name for build in built for name in build.formats}))
    yield Finding("the image is built", len(built) == 1 == len(e.sight.builds), f"{len(built)} build ready: {formats}")
    missing = [region.provider for region in REGIONS if not _in_cloud(e, region.provider)]
    sizes = sorted({int(image["size"]) for state in e.regions.values() for image in _uploaded(state)})
    detail = f"missing in {', '.join(missing)}" if missing else f"{', '.join(f'{size / 1e6:.1f} MB' for size in sizes)}"
    yield Finding("it is uploaded to all three regions", not missing and len(sizes) == 1 and sizes[0] > 0, detail)


def _uploaded(state: RegionState) -> list[Mapping[str, Any]]:
    """The images that somebody brought; a region may have others from the beginning."""
    return [image for image in state.images if image.get("nodepool_provider_name") and image["status"] == "active"]


def _in_cloud(e: Evidence, provider: ProviderName) -> bool:
    """Whether each upload that is ready is an active image of its cloud."""
    ready = {u.external_id for u in e.sight.uploads if u.provider == provider and u.state is ImageState.READY}
    return bool(ready) and ready == {image["id"] for image in _uploaded(e.regions[provider])}


def _pool(e: Evidence) -> Iterator[Finding]:
    free = e.sight.free
    yield Finding("the warm pool is full again", len(free) == WARM, f"{len(free)} of {WARM} nodes ready")
    everywhere = {node.provider for node in free} == {region.provider for region in REGIONS}
    yield Finding("some are ready in every region", everywhere, shares(free))


def _jobs(e: Evidence) -> Iterator[Finding]:
    for job in e.jobs:
        given = [node.labels for node in job.nodes]
        fitting = len(given) == len(job.labels) and all(
            label in labels for label, labels in zip(job.labels, given, strict=True)
        )
        one_pool = len({(node.provider, node.pool) for node in job.nodes}) == 1
        ours = all(node.allocated_to == job.request.id for node in job.nodes)
        detail = f"after {span(job.timing.took)}"
        yield Finding(f"{job.name} got {len(job.labels)} of what it asked for", fitting and one_pool and ours, detail)
    ids = [node.id for job in e.jobs for node in job.nodes]
    yield Finding("no node was given out twice", len(set(ids)) == len(ids), f"{len(ids)} nodes")
    strangers = [id for job in e.jobs for id in job.strangers]
    detail = f"not so: {', '.join(strangers)}" if strangers else f"{len(ids)} connections"
    yield Finding("all of them showed the host key of their record", not strangers, detail)
    yield Finding("no request is left", not e.sight.requests, f"{len(e.sight.requests)} requests")


def _after_jobs(e: Evidence) -> Iterator[Finding]:
    records = {node.id: node for node in e.sight.nodes}
    servers = _servers_by_node(e)
    used = [id for job in e.jobs for id in job.used]
    there = [id for id in used if id in records or any(s.status != "DELETED" for s in servers.get(id, ()))]
    asked = all(any(s.delete_asked is not None for s in servers.get(id, ())) for id in used)
    detail = f"still there: {', '.join(there)}" if there else f"{len(used)} nodes and their servers"
    yield Finding("what was used is deleted", bool(used) and not there and asked, detail)
    held = [id for job in e.jobs for id in job.held]
    kept = [
        id
        for id in held
        if id in records
        and records[id].state is NodeState.HOLD
        and any(server.status == "ACTIVE" for server in servers.get(id, ()))
    ]
    yield Finding("what is held is kept", bool(held) and kept == held, f"node {', '.join(held)}")


def _leaks(e: Evidence) -> Iterator[Finding]:
    live = [(provider, server) for provider, state in e.regions.items() for server in state.live]
    known = {(node.provider, node.server_id) for node in e.sight.nodes}
    leaked = [server.name for provider, server in live if (provider, server.id) not in known]
    detail = f"leaked: {', '.join(leaked)}" if leaked else f"{len(live)} servers, a record for each"
    yield Finding("nothing leaked in the clouds", not leaked, detail)
    there = {(provider, server.id) for provider, server in live}
    empty = [node.id for node in e.sight.nodes if (node.provider, node.server_id) not in there]
    detail = f"none for {', '.join(empty)}" if empty else f"{len(known)} records"
    yield Finding("every record has its server", not empty, detail)
    refused = {
        f"{provider} {call}": count
        for provider, state in e.regions.items()
        for call, count in state.counters.refusals.items()
        if not call.endswith(" 404")  # how one learns that a server is gone
    }
    yield Finding("the clouds refused nothing", not refused, ", ".join(f"{n} × {call}" for call, n in refused.items()))


def _list(e: Evidence) -> Finding:
    missing = [node.id for node in e.sight.nodes if node.id not in e.listed]
    good = e.list_status == 0 and not missing
    detail = f"not in it: {', '.join(missing)}" if missing else f"{len(e.sight.nodes)} nodes of image {IMAGE}"
    return Finding("`nodepool list` shows all nodes", good, detail if e.list_status == 0 else "it failed")


def _servers_by_node(e: Evidence) -> Mapping[NodeId, list[ServerState]]:
    found: dict[NodeId, list[ServerState]] = {}
    for state in e.regions.values():
        for server in state.servers:
            if NODE_KEY in server.metadata:
                found.setdefault(NodeId(server.metadata[NODE_KEY]), []).append(server)
    return found
