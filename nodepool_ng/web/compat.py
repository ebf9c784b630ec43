"""Nodepool 11's endpoints, answer for answer: types, headers and all. Scripts and dashboards read them.

Any method will do and parameters may come in the query or in a form, as ever. Where the original breaks ours does not:
a client that accepts none of the types is told so (406), and a single node shows whether it is locked.
"""

import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from nodepool_ng.listing.table import render, values
from nodepool_ng.model.clock import Clock
from nodepool_ng.model.ids import NodeId, Timestamp
from nodepool_ng.web.accept import chosen
from nodepool_ng.web.lists import LISTS, Wish, narrowed
from nodepool_ng.web.source import Showcase, newest

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
HTML, PLAIN, JSON = "text/html", "text/plain", "application/json"
OFFERS = (HTML, PLAIN, JSON)
MAX_AGE = 1  # seconds
MOST_KEPT = 64
"""Answers kept; parameters are a client's, so there may be any number of different ones."""
LONGEST_FORM = 65536  # bytes

_Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class _Answer:
    body: bytes
    media: str
    made: Timestamp


class Compat:
    """The endpoints, and the answers of the last second."""

    def __init__(self, showcase: Showcase, clock: Clock) -> None:
        self._showcase = showcase
        self._clock = clock
        self._kept: OrderedDict[object, _Answer] = OrderedDict()

    def routes(self) -> list[Route]:
        lists = [Route(path, self._list(path), methods=[*METHODS]) for path in LISTS]
        return [*lists, Route("/ready", self._ready, methods=[*METHODS])]

    def _list(self, path: str) -> _Handler:
        async def handle(request: Request) -> Response:
            media = chosen(request.headers.get("accept"), OFFERS)
            if media is None:
                return PlainTextResponse(f"There is {', '.join(OFFERS)}.\n", 406)
            parameters = await _parameters(request)
            key = (path, tuple(sorted(parameters.items())), media == JSON)
            answer = self._kept.get(key)
            if answer is None or self._clock.now() - answer.made >= MAX_AGE:
                answer = await self._made(path, parameters, media == JSON)
                self._keep(key, answer)
            return _response(request, answer)

        return handle

    async def _made(self, path: str, parameters: dict[str, str], as_json: bool) -> _Answer:
        node = parameters.get("node_id")
        fields = parameters.get("fields")
        wish = Wish(NodeId(node) if node else None, tuple(fields.split(",")) if fields else ())
        table = LISTS[path](await newest(self._showcase), wish)
        now = self._clock.now()
        if as_json:
            return _Answer(json.dumps(values(table)).encode(), JSON, now)
        return _Answer(render(narrowed(table, wish.fields)).encode(), f"{PLAIN}; charset=UTF-8", now)

    def _keep(self, key: object, answer: _Answer) -> None:
        self._kept[key] = answer
        self._kept.move_to_end(key)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    async def _ready(self, request: Request) -> Response:
        """Answer 503 until a plan was made; from then on the launcher is ready for ever."""
        latest = self._showcase.latest
        view = latest if latest is not None and latest.planned else await newest(self._showcase)
        if not view.planned:
            return PlainTextResponse("The launcher has not made its first plan yet.\n", 503)
        media = chosen(request.headers.get("accept"), OFFERS)
        typed = JSON if media == JSON else f"{PLAIN}; charset=UTF-8"
        return _response(request, _Answer(b"OK", typed, self._clock.now()))


async def _parameters(request: Request) -> dict[str, str]:
    """Return query and form parameters; the query wins, and of several the last."""
    found: dict[str, str] = {}
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LONGEST_FORM:
                break
        found = dict(parse_qsl(body[:LONGEST_FORM].decode("utf-8", "replace"), keep_blank_values=True))
    return found | dict(request.query_params.multi_items())


def _response(request: Request, answer: _Answer) -> Response:
    headers = {
        "Content-Type": answer.media,
        "Access-Control-Allow-Origin": "*",
        "Cache-Control": f"max-age={MAX_AGE}, public",
        "Last-Modified": formatdate(int(answer.made), usegmt=True),
        "Expires": formatdate(int(answer.made) + MAX_AGE, usegmt=True),
        "X-Content-Type-Options": "nosniff",
    }
    if _not_modified(request.headers.get("if-modified-since"), answer.made):
        del headers["Content-Type"]
        return Response(status_code=304, headers=headers)
    return Response(answer.body, headers=headers)


def _not_modified(since: str | None, made: Timestamp) -> bool:
    if since is None:
        return False
    try:
        return int(made) <= parsedate_to_datetime(since).timestamp()
    except (ValueError, TypeError, OverflowError):
        return False
