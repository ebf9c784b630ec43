"""What happened: the history of one thing, statistics, and recorded demand, as JSON for the command line."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nodepool_ng.model.ids import Seconds
from nodepool_ng.telemetry.history import History

DAY: Seconds = 86400.0
GROUPS = ("provider", "label", "image", "az")
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Past:
    def __init__(self, history: History | None) -> None:
        self._history = history

    def routes(self) -> list[Route]:
        return [
            Route("/history", self._of),
            Route("/stats", self._stats),
            Route("/demand", self._demand),
        ]

    async def _of(self, request: Request) -> Response:
        """`name`: the id of a node or request, or an image's name."""
        name = request.query_params.get("name", "")
        return await self._answer(lambda history: [_event(one) for one in history.of(name)])

    async def _stats(self, request: Request) -> Response:
        """`seconds`: how far back; `by`: provider, label, image or az."""
        since = time.time() - _seconds(request)
        by = request.query_params.get("by", "provider")
        if by not in GROUPS:
            return JSONResponse({"error": f"by is one of {', '.join(GROUPS)}"}, 400, headers=_HEADERS)

        def answer(history: History) -> dict[str, Any]:
            spans = history.spans(since, by)
            return {
                "spans": [
                    {"stage": stage, "group": group, **figures(values)}
                    for stage, groups in sorted(spans.items())
                    for group, values in sorted(groups.items())
                ],
                "pools": [
                    {"provider": provider, "pool": pool, "nodes": nodes, "busy": busy, "most": most}
                    for provider, pool, nodes, busy, most in history.fill(since)
                ],
            }

        return await self._answer(answer)

    async def _demand(self, request: Request) -> Response:
        """`seconds`: how far back."""
        since = time.time() - _seconds(request)
        return await self._answer(
            lambda history: [{"time": t, "labels": labels, "seconds": s} for t, labels, s in history.demand(since)]
        )

    async def _answer(self, question: Any) -> Response:
        if self._history is None:
            return JSONResponse({"error": "this launcher keeps no history"}, 404, headers=_HEADERS)
        return JSONResponse(await asyncio.to_thread(question, self._history), headers=_HEADERS)


def figures(values: Sequence[float]) -> dict[str, float]:
    """Return how many there are of the sorted values, their mean, and what half, nine tenths and all stay below."""
    last = len(values) - 1
    return {
        "count": len(values),
        "mean": sum(values) / len(values),
        "p50": values[round(last * 0.5)],
        "p90": values[round(last * 0.9)],
        "most": values[-1],
    }


def _event(one: Any) -> dict[str, Any]:
    return {"time": one.time, "kind": one.kind, "event": one.event, "detail": one.detail}


def _seconds(request: Request) -> Seconds:
    try:
        return min(max(float(request.query_params.get("seconds", DAY)), 0.0), 366 * DAY)
    except ValueError:
        return DAY
