"""Many histories, on several cores. What fails comes back as a few words; it can be played again at will."""

import gc
import logging
import multiprocessing
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

from nodepool_ng.model.ids import Seconds
from nodepool_ng.sim.virtual import chance
from nodepool_ng.sim.virtual.history import History, play
from nodepool_ng.sim.virtual.promise import Breach
from nodepool_ng.sim.virtual.scenes import Case

CHUNK = 25
"""Histories that a process is given at a time."""

Task: TypeAlias = int | Case
"""A seed, or a point of a scene."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one history. `busy` are the seconds of a core that it took."""

    task: Task
    breach: Breach | None
    rested: Seconds
    busy: Seconds
    servers: int


def history_of(task: Task) -> History:
    return chance.history(task) if isinstance(task, int) else task.history()


def command(task: Task, only: Sequence[int] | None = None) -> str:
    """Return what replays a history as a story."""
    if isinstance(task, Case):
        return f"python -m nodepool_ng.sim.virtual {task}"
    some = "" if only is None else f" --only {','.join(map(str, only)) or 'none'}"
    return f"python -m nodepool_ng.sim.virtual --seed {task}{some}"


def try_out(task: Task) -> Result:
    """Play one history."""
    began = time.process_time()
    verdict = play(history_of(task))
    breach = verdict.breaches[0] if verdict.breaches else None
    return Result(task, breach, verdict.rested, time.process_time() - began, verdict.servers)


def try_all(tasks: Iterable[Task], processes: int) -> Iterator[Result]:
    """Play histories on so many cores; results come in the order of the tasks."""
    everything = list(tasks)
    chunks = [tuple(everything[at : at + CHUNK]) for at in range(0, len(everything), CHUNK)]
    if processes <= 1:
        for chunk in chunks:
            yield from _chunk(chunk)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for results in pool.map(_chunk, chunks):
            yield from results


def _chunk(tasks: tuple[Task, ...]) -> tuple[Result, ...]:
    """Play some histories in this process, undisturbed by the garbage collector and by logs."""
    collecting, disabled = gc.isenabled(), logging.root.manager.disable
    gc.disable()
    logging.disable(logging.CRITICAL)
    try:
        return tuple(try_out(task) for task in tasks)
    finally:
        logging.disable(disabled)
        gc.collect()
        if collecting:
            gc.enable()
