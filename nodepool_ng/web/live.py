"""The first page, and what keeps it up to date: server-sent events, made once however many look."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from nodepool_ng.model.ids import Seconds, Timestamp
from nodepool_ng.model.view import View
from nodepool_ng.web.page import Page, page_of
from nodepool_ng.web.source import NothingYet, Showcase, newest

EVERY: Seconds = 1.0
CLOCK_EVERY = 10
"""Rounds between two events that only tell the time, so that a broken connection is noticed."""
MOST_READERS = 100

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def _instant(since: Timestamp) -> str:
    """Return an instant for readers without a script. Records are written by others: it may be none."""
    try:
        return datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "?"


class Live:
    """The page as text, remembered until what it shows changes."""

    def __init__(self, showcase: Showcase) -> None:
        self._showcase = showcase
        self._templates = Environment(
            loader=PackageLoader("nodepool_ng.web"), autoescape=select_autoescape(), trim_blocks=True
        )
        self._templates.filters["instant"] = _instant
        self._shown: Page | None = None
        self._main = ""
        self._readers = 0

    async def page(self, request: Request) -> Response:
        """The page as a whole."""
        view = await newest(self._showcase)
        text = self._templates.get_template("page.html").render(page=page_of(view), now=view.now)
        return HTMLResponse(text, headers=HEADERS)

    async def events(self, request: Request) -> Response:
        """What changes, for as long as somebody listens."""
        if self._readers >= MOST_READERS:
            return Response("Too many are looking at this page.\n", 503, headers={"Retry-After": "30"})
        return StreamingResponse(self._stream(request), media_type="text/event-stream", headers=HEADERS)

    async def _stream(self, request: Request) -> AsyncIterator[str]:
        self._readers += 1
        sent: Any = None
        rounds = 0
        try:
            while not await request.is_disconnected():
                try:
                    view = await newest(self._showcase)
                except NothingYet:
                    await asyncio.sleep(EVERY)
                    continue
                main = self._rendered(view)
                if main is not sent:
                    yield event("page", main)
                    sent = main
                if rounds % CLOCK_EVERY == 0:
                    yield event("clock", f"{view.now:.3f}")
                rounds += 1
                await asyncio.sleep(EVERY)
        finally:
            self._readers -= 1

    def _rendered(self, view: View) -> str:
        page = page_of(view)
        if page != self._shown:
            self._shown = page
            self._main = self._templates.get_template("main.html").render(page=page)
        return self._main


def event(name: str, text: str) -> str:
    """Return a server-sent event."""
    lines = "".join(f"data: {line}\n" for line in text.splitlines())
    return f"event: {name}\n{lines}\n"
