"""The application: which path leads where."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from nodepool_ng.model.clock import Clock, SystemClock
from nodepool_ng.model.view import View
from nodepool_ng.telemetry import gauges
from nodepool_ng.telemetry.health import Health
from nodepool_ng.telemetry.history import History
from nodepool_ng.telemetry.prometheus import CONTENT_TYPE, Prometheus
from nodepool_ng.web.compat import Compat
from nodepool_ng.web.live import Live
from nodepool_ng.web.past import Past
from nodepool_ng.web.source import NothingYet, Showcase, fresh
from nodepool_ng.web.why import Told, Why

STATIC = Path(__file__).parent / "static"


def make_app(
    showcase: Showcase,
    prometheus: Prometheus,
    health: Health,
    hostname: str,
    clock: Clock | None = None,
    history: History | None = None,
    told: Told | None = None,
) -> FastAPI:
    """Return the application of a launcher. `hostname` is the short one; `told` asks for what all launchers tell."""
    clock = clock or SystemClock()
    live = Live(showcase)
    compat = Compat(showcase, clock)

    async def metrics(request: Request) -> Response:
        view = await fresh(showcase)
        found = [] if view is None else [*gauges.launcher(view), *gauges.internals(view, hostname)]
        if view is not None and view.complete:
            found += gauges.installation(view)
        return Response(prometheus.text(found), headers={"Content-Type": CONTENT_TYPE})

    async def healthy(request: Request) -> Response:
        told = report(await fresh(showcase), health)
        return JSONResponse(told, 200 if told["ok"] else 503, headers={"Cache-Control": "no-store"})

    # FastAPI's own pages of documentation load their scripts from elsewhere, so there are none.
    return FastAPI(
        title="nodepool",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={404: _not_found, NothingYet: _nothing_yet},
        routes=[
            *compat.routes(),
            *Past(history).routes(),
            *Why(showcase, clock, told).routes(),
            Route("/metrics", metrics),
            Route("/health", healthy),
            Route("/", live.page),
            Route("/events", live.events),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
    )


def report(view: View | None, health: Health) -> dict[str, Any]:
    """Return what `/health` answers. Providers in trouble are told of, but are not this process's illness."""
    troubles = {
        "reconciler": None if view is not None else "does not answer",
        "zookeeper": None if view is None or view.complete else "is not connected, or not all of it is known yet",
        **health.troubles(),
    }
    known = view.settings.providers if view is not None else {}
    providers = {}
    for name in known:
        facts = view.facts.get(name) if view is not None else None
        listed = facts.listed if facts else None
        providers[name] = {
            "ok": facts is not None and facts.error is None,
            "ours": view is not None and name in view.leased,
            "error": facts.error if facts else None,
            "listed": None if listed is None or view is None else round(max(view.now - listed, 0.0), 1),
        }
    return {
        "ok": not any(troubles.values()),
        "loops": {name: {"ok": trouble is None, "trouble": trouble} for name, trouble in troubles.items()},
        "providers": providers,
    }


async def _not_found(request: Request, error: Exception) -> Response:
    return PlainTextResponse("There is nothing here.\n", 404)


async def _nothing_yet(request: Request, error: Exception) -> Response:
    return PlainTextResponse("The launcher has nothing to show yet.\n", 503, headers={"Retry-After": "1"})
