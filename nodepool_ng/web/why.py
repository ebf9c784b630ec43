"""The answer to "why?", as `nodepool explain --format json` has it: made of the view and of what all launchers tell.

Anybody may ask, so nothing of it is from what schedulers and drivers wrote for themselves. An answer is kept for a
second, and one is worked out at a time: an estimate plays the queue many times over.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nodepool_ng.explain.find import KINDS, find, nothing
from nodepool_ng.explain.scene import Scene
from nodepool_ng.explain.told import read
from nodepool_ng.model.clock import Clock
from nodepool_ng.model.ids import Seconds, Timestamp
from nodepool_ng.model.view import View
from nodepool_ng.web.source import PATIENCE, Showcase, newest

KEPT: Seconds = 1.0
MOST_KEPT = 64
TRIES = 3
"""A document that is written while it is read is read again."""
LONGEST_NAME = 1024
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

Told: TypeAlias = Callable[[], Future[Mapping[str, Mapping[str, Any] | None]]]
"""Asks for the documents of all launchers: by launcher, None for one that is being written."""
_Key: TypeAlias = tuple[str, str | None]


class Why:
    """`told` is None for a launcher that cannot ask."""

    def __init__(self, showcase: Showcase, clock: Clock, told: Told | None) -> None:
        self._showcase = showcase
        self._clock = clock
        self._told = told
        self._one_at_a_time = asyncio.Lock()
        self._kept: OrderedDict[_Key, tuple[Timestamp, list[dict[str, Any]]]] = OrderedDict()

    def routes(self) -> list[Route]:
        return [Route("/explain", self._explain)]

    async def _explain(self, request: Request) -> Response:
        """`name`: of a request, node, label, image or provider; `kind`: only of this kind."""
        name, kind = request.query_params.get("name", ""), request.query_params.get("kind")
        if not name or len(name) > LONGEST_NAME:
            return _refused(400, f"Say name=NAME: the id or name of a {', '.join(KINDS[:-1])} or {KINDS[-1]}.")
        if kind is not None and kind not in KINDS:
            return _refused(400, f"kind is one of {', '.join(KINDS)}.")
        async with self._one_at_a_time:
            answers = await self._answers(name, kind)
        if answers is None:
            return _refused(503, "ZooKeeper does not answer, so nobody can tell at the moment.")
        return JSONResponse(answers, headers=_HEADERS) if answers else _refused(404, nothing(name, kind))

    async def _answers(self, name: str, kind: str | None) -> list[dict[str, Any]] | None:
        """Return what is known of a name, None while ZooKeeper does not answer."""
        kept = self._kept.get((name, kind))
        if kept is not None and 0 <= self._clock.monotonic() - kept[0] < KEPT:
            return kept[1]
        view = await newest(self._showcase)
        documents = await self._documents()
        if documents is None or not view.complete:
            return None
        scene = scene_of(view, documents)
        found = await asyncio.to_thread(lambda: [answer.plain() for answer in find(scene, name, kind)])
        self._kept[name, kind] = self._clock.monotonic(), found
        self._kept.move_to_end((name, kind))
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return found

    async def _documents(self) -> dict[str, Mapping[str, Any]] | None:
        """Return what launchers tell. A document that is being written all the time counts as not there."""
        if self._told is None:
            return None
        whole: dict[str, Mapping[str, Any]] = {}
        for _ in range(TRIES):
            future = asyncio.wrap_future(self._told())
            done, _pending = await asyncio.wait([future], timeout=PATIENCE)
            if not done or future.exception() is not None:
                future.cancel()
                return None
            found = future.result()
            whole |= {launcher: document for launcher, document in found.items() if document is not None}
            if all(document is not None for document in found.values()):
                break
        return whole


def scene_of(view: View, documents: Mapping[str, Mapping[str, Any]]) -> Scene:
    """Return what an explanation rests on."""
    return Scene(
        now=view.now,
        told=read(documents),
        settings=view.settings,
        nodes=view.nodes,
        locked=view.locked,
        requests=view.requests,
        components=tuple(view.components.values()),
        builds=view.builds,
        uploads=view.uploads,
        paused=frozenset(name for name, image in view.images.items() if image.paused),
        asked={name: image.requested for name, image in view.images.items() if image.requested is not None},
        freezes=view.freezes,
        cordons=view.cordons,
    )


def _refused(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status, headers=_HEADERS)
