"""Ending what an operator wants to end. What was being made ends by itself then, and writes down how."""

from nodepool_ng.builder.jobs import CancelWork
from nodepool_ng.builder.outcome import Done, Lost, Outcome
from nodepool_ng.builder.world import World
from nodepool_ng.model import image_action as do
from nodepool_ng.shell.effect import Effect, commit, work
from nodepool_ng.zk import paths
from nodepool_ng.zk.store import Delete, Failure, Problem


def cancel(world: World, action: do.Cancel) -> Effect[Outcome]:
    """Tell whoever is at it, then take the order away; done twice, it is the same."""
    if action.of is not None:
        yield from work(CancelWork(action.of))
    answer = yield from commit(Delete(paths.cancel(action.order)))
    if isinstance(answer, Failure) and answer.problem is not Problem.NO_NODE:
        return Lost(str(answer))
    return Done()
