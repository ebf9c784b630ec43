"""The lists of Nodepool 11's web application, made of a view: the commands' columns, sorted by what names a row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from nodepool_ng.listing.rows import (
    BUILDS,
    IMAGES,
    NODE_DETAILS,
    REQUESTS,
    UPLOADS,
    BuildRequest,
    BuildRow,
    ImageRow,
    NodeRow,
    UploadRow,
)
from nodepool_ng.listing.table import Column, Table
from nodepool_ng.model.ids import LabelName, NodeId
from nodepool_ng.model.view import ImageView, View, pools

LABELS: tuple[Column[LabelName], ...] = (Column("Label", "label", lambda row: row),)


CONFIDENTIAL = frozenset({"user_data", "driver_data"})
"""What schedulers and drivers wrote for themselves. Anybody may ask for these pages: the columns stay empty."""
NODE_COLUMNS: tuple[Column[NodeRow], ...] = tuple(
    replace(column, value=lambda row: None, shown=None) if column.key in CONFIDENTIAL else column
    for column in NODE_DETAILS
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What of a list somebody wants: one node only, or some of the columns."""

    node: NodeId | None = None
    fields: tuple[str, ...] = ()


def nodes(view: View, wish: Wish) -> Table[NodeRow]:
    ids = sorted(view.nodes) if wish.node is None else [wish.node] if wish.node in view.nodes else []
    return Table(NODE_COLUMNS, tuple(NodeRow(view.nodes[id], id in view.locked, view.now) for id in ids))


def uploads(view: View, wish: Wish) -> Table[UploadRow]:
    ordered = sorted(view.uploads, key=lambda one: (one.image, one.build, one.provider, one.id))
    return Table(UPLOADS, tuple(UploadRow(upload, view.now) for upload in ordered))


def builds(view: View, wish: Wish) -> Table[BuildRow]:
    ordered = sorted(view.builds, key=lambda one: (one.image, one.id))
    rows = (BuildRow(build, view.images.get(build.image, ImageView()).paused, view.now) for build in ordered)
    return Table(BUILDS, tuple(rows))


def images(view: View, wish: Wish) -> Table[ImageRow]:
    rows = (
        ImageRow(name, image.paused, _request(image), image.requested, view.now)
        for name, image in sorted(view.images.items())
    )
    return Table(IMAGES, tuple(rows))


def requests(view: View, wish: Wish) -> Table[Any]:
    return Table(REQUESTS, tuple(request for _, request in sorted(view.requests.items())))


def labels(view: View, wish: Wish) -> Table[LabelName]:
    known = {label for pool in pools(view) for label in pool.supported_labels}
    return Table(LABELS, tuple(sorted(known)))


LISTS: Mapping[str, Callable[[View, Wish], Table[Any]]] = MappingProxyType(
    {
        "/node-list": nodes,
        "/image-list": uploads,
        "/dib-image-list": builds,
        "/image-status": images,
        "/request-list": requests,
        "/label-list": labels,
    }
)
"""By path."""


def narrowed(table: Table[Any], fields: tuple[str, ...]) -> Table[Any]:
    """Return the table with some columns only, in their usual order; keys that it does not have are no matter."""
    return Table(tuple(column for column in table.columns if column.key in fields), table.rows) if fields else table


def _request(image: ImageView) -> BuildRequest | None:
    if image.requested is None:
        return None
    return BuildRequest.BUILDING if image.building else BuildRequest.PENDING
