"""The application of a builder: numbers and health. Pages are the launcher's."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from nodepool_ng.telemetry.health import Health
from nodepool_ng.telemetry.prometheus import CONTENT_TYPE, Prometheus


def make_app(prometheus: Prometheus, health: Health) -> FastAPI:
    """Return the application."""

    async def metrics(request: Request) -> Response:
        return Response(prometheus.text(), headers={"Content-Type": CONTENT_TYPE})

    async def healthy(request: Request) -> Response:
        troubles = health.troubles()
        told = {
            "ok": not any(troubles.values()),
            "loops": {name: {"ok": trouble is None, "trouble": trouble} for name, trouble in troubles.items()},
        }
        return JSONResponse(told, 200 if told["ok"] else 503, headers={"Cache-Control": "no-store"})

    async def nothing(request: Request, error: Exception) -> Response:
        return PlainTextResponse("There is nothing here.\n", 404)

    return FastAPI(
        title="nodepool-builder",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={404: nothing},
        routes=[Route("/metrics", metrics), Route("/health", healthy)],
    )
