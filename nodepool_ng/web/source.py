"""Where pages get what they show."""

import asyncio
from concurrent.futures import Future
from typing import Protocol

from nodepool_ng.model.ids import Seconds
from nodepool_ng.model.view import View

PATIENCE: Seconds = 2.0
"""How long an answer may wait for the reconciler before it shows what was known last."""


class Showcase(Protocol):
    @property
    def latest(self) -> View | None: ...

    def look(self) -> Future[View]: ...


class NothingYet(Exception):
    """The launcher has not shown anything so far."""


async def fresh(showcase: Showcase, patience: Seconds = PATIENCE) -> View | None:
    """Return a fresh view; None when the reconciler does not answer in time."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(showcase.look()), patience)
    except TimeoutError:
        return None


async def newest(showcase: Showcase, patience: Seconds = PATIENCE) -> View:
    """Return a fresh view, or else the last one there was. Raises NothingYet when there never was one."""
    view = await fresh(showcase, patience) or showcase.latest
    if view is None:
        raise NothingYet
    return view
