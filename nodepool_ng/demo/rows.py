"""What is shown of what goes on: one row for each thing that takes time. Pure: from a `Sight` to rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from nodepool_ng.demo.settings import IMAGE, Stage
from nodepool_ng.demo.view import Sight
from nodepool_ng.model.lifecycle import ImageState, NodeState
from nodepool_ng.model.node import Node


class Phase(Enum):
    WAITING = auto()
    GOING = auto()
    DONE = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that goes on. `key` tells rows apart, `done` of `total` is for those that have parts."""

    key: str
    text: str
    phase: Phase
    detail: str = ""
    done: int = 0
    total: int = 0


_PHASES = {
    ImageState.BUILDING: Phase.GOING,
    ImageState.UPLOADING: Phase.GOING,
    ImageState.READY: Phase.DONE,
    ImageState.FAILED: Phase.FAILED,
    ImageState.DELETING: Phase.FAILED,
}


def filling(sight: Sight, stage: Stage, *, really: bool, doing: str = "") -> tuple[Row, ...]:
    """Return the rows of the pool's filling: the build, an upload to each provider, and the nodes.

    `really` tells whether the image is being built, `doing` what the build says that it is doing.
    """
    return (_build_row(sight, really, doing), *_upload_rows(sight, stage), nodes_row(sight, stage))


def nodes_row(sight: Sight, stage: Stage, key: str = "nodes", text: str = "warm pool") -> Row:
    """Return the row of the warm pool."""
    free = sight.free
    phase = Phase.DONE if len(free) >= stage.warm else Phase.GOING if sight.nodes else Phase.WAITING
    booting = sum(node.state in (NodeState.INIT, NodeState.BUILDING) for node in sight.nodes)
    detail = f"{len(free)} of {stage.warm} nodes ready"
    if booting:
        detail += f", {booting} booting"
    if phase is Phase.DONE:
        detail += f", {boots(free)} ({shares(free, stage)})"
    return Row(key=key, text=text, phase=phase, detail=detail, done=len(free), total=stage.warm)


def shares(nodes: Sequence[Node], stage: Stage) -> str:
    """Say how many nodes are where."""
    counts = {region.provider: 0 for region in stage.regions}
    for node in nodes:
        if node.provider is not None:
            counts[node.provider] = counts.get(node.provider, 0) + 1
    return ", ".join(f"{count} in {provider}" for provider, count in counts.items())


def boots(nodes: Sequence[Node]) -> str:
    """Say how long it took from the intent to launch a node until it was ready."""
    times = [node.state_time - node.created_time for node in nodes if node.created_time is not None]
    return f"launched in {min(times):.1f}–{max(times):.1f} s" if times else ""


def _build_row(sight: Sight, really: bool, doing: str) -> Row:
    text = f"build of image {IMAGE}"
    # A builder that has failed once tries again: the newest build is what counts.
    build = max((each for each in sight.builds if each.image == IMAGE), key=lambda each: each.state_time, default=None)
    if build is None:
        return Row(key="build", text=text, phase=Phase.WAITING)
    if build.state is ImageState.READY:
        doing = "built by disk-image-create" if really else "ready-made"
    return Row(key="build", text=text, phase=_PHASES[build.state], detail=doing)


def _upload_rows(sight: Sight, stage: Stage) -> tuple[Row, ...]:
    rows = []
    for region in stage.regions:
        found = [upload for upload in sight.uploads if upload.provider == region.provider]
        upload = max(found, key=lambda each: each.state_time, default=None)
        phase = Phase.WAITING if upload is None else _PHASES[upload.state]
        detail = (upload.external_name or "") if upload is not None and phase is Phase.DONE else ""
        rows.append(Row(key=region.provider, text=f"upload to {region.provider}", phase=phase, detail=detail))
    return tuple(rows)
