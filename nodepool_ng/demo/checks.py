"""What `--once` holds the demo to: pure, from the evidence to a list of findings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nodepool_ng.demo.clouds import Inventory
from nodepool_ng.demo.jobs import Job, span
from nodepool_ng.demo.rows import shares
from nodepool_ng.demo.settings import IMAGE, Stage
from nodepool_ng.demo.view import Sight
from nodepool_ng.model.ids import ProviderName, ServerId
from nodepool_ng.model.lifecycle import ImageState, NodeState


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known when all is done: the tree, the clouds, the jobs, and what `nodepool list` said."""

    stage: Stage
    sight: Sight
    clouds: Mapping[ProviderName, Inventory]
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
    providers = [region.provider for region in e.stage.regions]
    missing = [provider for provider in providers if not _in_cloud(e, provider)]
    sizes = sorted({size for cloud in e.clouds.values() for size in cloud.images.values()})
    detail = f"missing in {', '.join(missing)}" if missing else f"{', '.join(f'{size / 1e6:.1f} MB' for size in sizes)}"
    yield Finding("it is uploaded to every region", not missing and len(sizes) == 1 and sizes[0] > 0, detail)


def _in_cloud(e: Evidence, provider: ProviderName) -> bool:
    """Whether each upload that is ready is an active image of its cloud."""
    ready = {u.external_id for u in e.sight.uploads if u.provider == provider and u.state is ImageState.READY}
    return bool(ready) and ready == set(e.clouds[provider].images)


def _pool(e: Evidence) -> Iterator[Finding]:
    free = e.sight.free
    yield Finding(
        "the warm pool is full again", len(free) == e.stage.warm, f"{len(free)} of {e.stage.warm} nodes ready"
    )
    everywhere = {node.provider for node in free} == {region.provider for region in e.stage.regions}
    yield Finding("some are ready in every region", everywhere, shares(free, e.stage))


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
    if e.stage.ssh:
        yield Finding("all of them showed the host key of their record", not strangers, detail)
    yield Finding("no request is left", not e.sight.requests, f"{len(e.sight.requests)} requests")


def _after_jobs(e: Evidence) -> Iterator[Finding]:
    records = {node.id: node for node in e.sight.nodes}
    server_of = {node.id: node.server_id for job in e.jobs for node in job.nodes}
    live = {server for cloud in e.clouds.values() for server in cloud.servers}
    up = {server for cloud in e.clouds.values() for server in cloud.up}
    used = [id for job in e.jobs for id in job.used]
    there = [id for id in used if id in records or server_of[id] in live]
    made = all(server_of[id] for id in used)
    detail = f"still there: {', '.join(there)}" if there else f"{len(used)} nodes and their servers"
    yield Finding("what was used is deleted", bool(used) and made and not there, detail)
    held = [id for job in e.jobs for id in job.held]
    kept = [id for id in held if id in records and records[id].state is NodeState.HOLD and server_of[id] in up]
    yield Finding("what is held is kept", bool(held) and kept == held, f"node {', '.join(held)}")


def _leaks(e: Evidence) -> Iterator[Finding]:
    live: list[tuple[ProviderName, ServerId]] = [(name, id) for name, cloud in e.clouds.items() for id in cloud.servers]
    known = {(node.provider, node.server_id) for node in e.sight.nodes}
    leaked = [e.clouds[provider].servers[id] for provider, id in live if (provider, id) not in known]
    detail = f"leaked: {', '.join(leaked)}" if leaked else f"{len(live)} servers, a record for each"
    yield Finding("nothing leaked in the clouds", not leaked, detail)
    empty = [node.id for node in e.sight.nodes if (node.provider, node.server_id) not in live]
    detail = f"none for {', '.join(empty)}" if empty else f"{len(known)} records"
    yield Finding("every record has its server", not empty, detail)
    refused = {
        f"{provider} {call}": count
        for provider, cloud in e.clouds.items()
        for call, count in cloud.refusals.items()
        if not call.endswith(" 404")  # how one learns that a server is gone
    }
    yield Finding("the clouds refused nothing", not refused, ", ".join(f"{n} × {call}" for call, n in refused.items()))


def _list(e: Evidence) -> Finding:
    missing = [node.id for node in e.sight.nodes if node.id not in e.listed]
    good = e.list_status == 0 and not missing
    detail = f"not in it: {', '.join(missing)}" if missing else f"{len(e.sight.nodes)} nodes of image {IMAGE}"
    return Finding("`nodepool list` shows all nodes", good, detail if e.list_status == 0 else "it failed")
