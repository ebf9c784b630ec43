"""What happens to every request before and after its handler: token, latency, JSON, errors.

A service is a table of routes. The effect of a call falls in the middle of its latency, so a caller that hangs up
early may have changed something all the same.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from nodepool_ng.sim.calls import Call
from nodepool_ng.sim.http.site import Site
from nodepool_ng.sim.refused import Refused
from nodepool_ng.sim.region import Region
from nodepool_ng.sim.server import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A call that has been let in; `body` is its JSON, `here` the URL of the service."""

    region: Region
    caller: Caller
    now: float
    path: Mapping[str, str]
    query: Mapping[str, tuple[str, ...]]
    headers: Mapping[str, str]
    body: Any
    here: str

    def asked(self, key: str) -> str | None:
        """Return a query parameter, the last if there are several."""
        values = self.query.get(key)
        return values[-1] if values else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What goes back; items is the length of a list, for latencies that depend on it."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    items: int = 0


Handler = Callable[[Visit], Reply]
Row = tuple[str, str, Call, Handler]
Complaint = Callable[[Refused], bytes]
Endpoint = Callable[[Request], Awaitable[Response]]


def answer(content: object, *, status: int = 200, items: int = 0, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a reply with JSON."""
    return Reply(status=status, body=json.dumps(content).encode(), items=items, headers=headers or {})


def member(body: object, *path: str) -> Any:
    """Return a member deep in a request body; Refused 400 when it is not there."""
    for key in path:
        if not isinstance(body, Mapping) or key not in body:
            raise Refused(400, f"The request lacks {'.'.join(path)}.")
        body = body[key]
    return body


def whole(text: str | None, default: int) -> int:
    """Return a number from a query; Refused 400."""
    if text is None:
        return default
    if not text.isdecimal():
        raise Refused(400, f"{text} is not a number.")
    return int(text)


def paged(visit: Visit, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows after the marker, as many as the caller's limit; Refused 400 for a marker that is not there.

    Nobody is forced to turn pages, but who asks for them must come to an end.
    """
    marker, first = visit.asked("marker"), 0
    if marker is not None:
        ids = [row["id"] for row in rows]
        if marker not in ids:
            raise Refused(400, f"Invalid marker {marker}.")
        first = ids.index(marker) + 1
    return list(rows[first : first + whole(visit.asked("limit"), len(rows))])


def not_admitted(refused: Refused) -> bytes:
    """Return what stands before Nova and Neutron and looks at tokens says for them: not their own form of an error."""
    return json.dumps({"error": {"code": 401, "title": "Unauthorized", "message": refused.message}}).encode()


def rendered(refused: Refused, complaint: Complaint) -> Response:
    """Return the response that tells a caller about a refusal."""
    headers = {} if refused.retry_after is None else {"Retry-After": str(refused.retry_after)}
    if refused.status == 401:
        headers["WWW-Authenticate"] = "Keystone uri"
    body = complaint(refused)
    kind = "text/html" if body.startswith(b"<") else "application/json"
    return Response(body, refused.status, headers, kind)


def routes(
    site: Site, prefix: str, rows: Iterable[Row], complaint: Complaint, headers: Mapping[str, str]
) -> list[Route]:
    """Return the routes of a service under /<cloud>/<region>/<prefix>; headers go with every answer of it."""
    return [
        Route(
            f"/{{cloud}}/{{region}}/{prefix}{path}",
            _endpoint(site, prefix, call, handler, complaint, headers),
            methods=[method],
        )
        for method, path, call, handler in rows
    ]


def admit(site: Site, request: Request) -> tuple[Region, Caller]:
    """Return where a request goes and who sends it; Refused 401 or 404."""
    path = request.path_params
    region = site.region(path["cloud"], path["region"])
    token = site.cloud(path["cloud"]).token(request.headers.get("x-auth-token"), now=site.clock())
    return region, token.caller


def query_of(request: Request) -> dict[str, tuple[str, ...]]:
    """Return the query with all values of each key."""
    found: dict[str, tuple[str, ...]] = {}
    for key, value in request.query_params.multi_items():
        found[key] = (*found.get(key, ()), value)
    return found


def _endpoint(
    site: Site, prefix: str, call: Call, handler: Handler, complaint: Complaint, headers: Mapping[str, str]
) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            region, caller = admit(site, request)
            body = await _json(request)
            latency = region.gate.latency(call)
            if latency:
                await asyncio.sleep(latency / 2)
            path = request.path_params
            visit = Visit(
                region=region,
                caller=caller,
                now=site.clock(),
                path=path,
                query=query_of(request) if request.url.query else {},
                headers=request.headers,
                body=body,
                here=f"{site.base_url}/{path['cloud']}/{path['region']}/{prefix}",
            )
            try:
                reply = handler(visit)
            finally:
                if latency:
                    await asyncio.sleep(latency / 2)
            extra = region.gate.latency_of_items(call, reply.items)
            if extra:
                await asyncio.sleep(extra)
        except Refused as refused:
            return rendered(refused, complaint)
        except ClientDisconnect:
            return Response(status_code=400)
        return Response(reply.body or None, reply.status, {**headers, **reply.headers}, "application/json")

    return endpoint


async def _json(request: Request) -> Any:
    raw = await request.body()
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError as error:
        raise Refused(400, "Malformed request body") from error
