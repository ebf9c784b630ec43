"""From a name to the answers about everything that has it."""

from collections.abc import Iterator

from nodepool_ng.explain.answer import Answer
from nodepool_ng.explain.others import explain_image, explain_label, explain_node, explain_provider
from nodepool_ng.explain.scene import Scene
from nodepool_ng.explain.waiting import explain_request
from nodepool_ng.model.ids import ImageName, LabelName, NodeId, RequestId

KINDS = ("request", "node", "label", "image", "provider")


def find(scene: Scene, what: str, kind: str | None = None) -> list[Answer]:
    """Return an answer for each thing of that name; with `kind`, of that one of KINDS only."""
    return [answer for answer in _all(scene, what) if kind in (None, answer.kind)]


def nothing(what: str, kind: str | None = None) -> str:
    """Return the sentence for a name that nothing has."""
    if kind is not None:
        return f"No {kind} is called {what} here."
    return f"Nothing is called {what} here: no {', '.join(KINDS[:-1])} or {KINDS[-1]}."


def _all(scene: Scene, what: str) -> Iterator[Answer]:
    request = scene.requests.get(RequestId(what))
    if request is not None:
        yield explain_request(scene, request)
    node = scene.nodes.get(NodeId(what)) or (scene.nodes.get(NodeId(what.zfill(10))) if what.isdecimal() else None)
    if node is not None:
        yield explain_node(scene, node)
    for answer in (
        explain_label(scene, LabelName(what)),
        explain_image(scene, ImageName(what)),
        explain_provider(scene, what),
    ):
        if answer is not None:
            yield answer
