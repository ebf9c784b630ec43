"""Looking at a cloud."""

from nodepool_ng.drivers import DriverError
from nodepool_ng.drivers.calls import ListAll, Look
from nodepool_ng.launcher.outcome import CapacityRead, CloudFailed, Listed, Outcome
from nodepool_ng.launcher.world import World
from nodepool_ng.model import action as do
from nodepool_ng.shell.effect import Effect, call, fence


def list_servers(world: World, action: do.ListServers) -> Effect[Outcome]:
    """List servers. A full list is held against a mirror that is at least as new: a server whose record we have not
    heard of yet is no leak."""
    answer = yield from call(action.provider, ListAll(action.since))
    if isinstance(answer, DriverError):
        return CloudFailed(answer)
    if answer.full:
        yield from fence()
    return Listed(answer)


def read_capacity(world: World, action: do.ReadCapacity) -> Effect[Outcome]:
    answer = yield from call(action.provider, Look())
    return CloudFailed(answer) if isinstance(answer, DriverError) else CapacityRead(answer)
