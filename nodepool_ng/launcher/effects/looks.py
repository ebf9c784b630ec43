"""Looking at a cloud, and cleaning up in it."""

import logging

from nodepool_ng.drivers import DriverError, Swept
from nodepool_ng.drivers.calls import ListAll, Look, SweepNetwork
from nodepool_ng.launcher.outcome import CapacityRead, CloudFailed, Done, Listed, Outcome, SweptUp
from nodepool_ng.launcher.world import World
from nodepool_ng.model import action as do
from nodepool_ng.shell.effect import Effect, call, commit, fence
from nodepool_ng.zk import paths
from nodepool_ng.zk.store import Delete

_log = logging.getLogger("nodepool.launcher")


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


def sweep_network(world: World, action: do.SweepNetwork) -> Effect[Outcome]:
    """Delete ports and volumes of servers of ours that have been gone for a whole interval, and floating IPs of ours
    that lead nowhere."""
    provider = world.settings.providers.get(action.provider)
    gone = world.memory.gone_for(action.provider, provider.port_cleanup_interval if provider else 0, world.now)
    answer = yield from call(action.provider, SweepNetwork(world.installation, gone, action.ports, action.floating_ips))
    if isinstance(answer, DriverError):
        _log.warning("Provider %s: what was left behind cannot be swept now: %s", action.provider, answer)
        return CloudFailed(answer)
    assert isinstance(answer, Swept)
    if answer.machines:
        _log.warning("Provider %s: put %d machines to work again that had failed", action.provider, answer.machines)
    if answer.ports or answer.floating_ips or answer.volumes:
        _log.warning(
            "Provider %s: deleted what servers had left behind: ports %d, floating IPs %d, volumes %d",
            action.provider,
            answer.ports,
            answer.floating_ips,
            answer.volumes,
        )
    return SweptUp(answer)


def forget_confirmation(world: World, action: do.ForgetConfirmation) -> Effect[Outcome]:
    yield from commit(Delete(paths.confirmed(action.provider)))
    return Done()
