"""What is known of the machines of static providers: the last look at each, and which did not answer."""

import logging
from dataclasses import replace

from nodepool_ng.model.hosts import HostAt, HostSeen
from nodepool_ng.model.ids import NodeId, ProviderName, Seconds
from nodepool_ng.model.settings import Settings

_log = logging.getLogger("nodepool.launcher")


class HostFacts:
    """Kept by the world as looks and knocks come back; may be lost with the process."""

    def __init__(self, settings: Settings) -> None:
        self.providers: set[ProviderName] = set()
        """All that were ever configured here, apart from those that have a cloud by now."""
        self.seen: dict[HostAt, HostSeen] = {}
        self.silent: dict[NodeId, str] = {}
        self.reconfigured(settings)

    def reconfigured(self, settings: Settings) -> None:
        self.providers -= {name for name, provider in settings.providers.items() if provider.has_cloud}
        self.providers |= {name for name, provider in settings.providers.items() if not provider.has_cloud}

    def clock_jumped(self, by: Seconds) -> None:
        """Move what is remembered of instants along."""
        self.seen = {where: replace(seen, at=seen.at + by) for where, seen in self.seen.items()}

    def looked(self, provider: ProviderName, seen: HostSeen) -> None:
        """Take in a look; what keeps a machine from being used is told when it begins and when it ends."""
        where = (provider, seen.host.key)
        before = self.seen.get(where)
        self.seen[where] = seen
        error = before.error if before is not None else None
        if seen.error is not None and seen.error != error:
            _log.warning("Provider %s: %s", provider, seen.error)
        elif seen.error is None and error is not None:
            _log.info("Provider %s: %s can be used again", provider, seen.host.name)

    def spent(self, where: HostAt) -> None:
        """Nodes were written after the last look."""
        if where in self.seen:
            self.seen[where] = replace(self.seen[where], spent=True)

    def did_not_answer(self, node: NodeId, met: str) -> None:
        _log.warning("[node: %s] Its machine does not answer: %s", node, met)
        self.silent[node] = met

    def gone(self, node: NodeId) -> None:
        self.silent.pop(node, None)
