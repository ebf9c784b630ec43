"""What is known of the clouds: facts taken in from lists and readings, and how long to leave a cloud alone."""

from collections.abc import Mapping, Set
from dataclasses import replace

from nodepool_ng.drivers import Capacity, DriverError, Listing, Misconfigured, NoCapacity, Refused, Throttled
from nodepool_ng.model.ids import InstallationId, LabelName, NodeId, ProviderName, Seconds, ServerId, Timestamp
from nodepool_ng.model.quota import Resources, total
from nodepool_ng.model.server import ProviderFacts, Server, ServerStatus
from nodepool_ng.model.snapshot import QUARANTINED_AFTER, Backoff

CALL_BACKOFF_MAX: Seconds = 60.0
DELETE_BACKOFF: Seconds = 5.0
DELETE_BACKOFF_MAX: Seconds = 300.0
LAUNCH_BACKOFF: Seconds = 1.0
LAUNCH_BACKOFF_MAX: Seconds = 300.0


def grown(previous: Backoff | None, now: Timestamp, first: Seconds, most: Seconds, detail: str) -> Backoff:
    """Return the next back-off: twice as long as the previous one, within limits."""
    failures = previous.failures + 1 if previous else 1
    return Backoff(until=now + min(first * 2.0 ** (failures - 1), most), failures=failures, detail=detail)


def shifted(backoff: Backoff, by: Seconds) -> Backoff:
    return replace(backoff, until=backoff.until + by)


def _rises(known: ProviderFacts, server: Server) -> bool:
    """Tell whether a server that is marked as the provider's is up, and was not when we last heard of it."""
    if server.status is not ServerStatus.ACTIVE or server.provider != known.provider:
        return False
    before = known.servers.get(server.id)
    return before is None or before.status is not ServerStatus.ACTIVE


class CloudFacts:
    """Facts by provider, kept as answers arrive. Each `ProviderFacts` is replaced, never changed."""

    def __init__(self, installation: InstallationId) -> None:
        self._installation = installation
        self.facts: dict[ProviderName, ProviderFacts] = {}
        self.foreign_use: dict[ProviderName, Resources] = {}
        self.away: dict[ProviderName, Resources] = {}
        self.suspects: dict[tuple[ProviderName, ServerId], Timestamp] = {}
        self.provider_backoff: dict[ProviderName, Backoff] = {}
        self.delete_backoff: dict[ServerId, Backoff] = {}
        self.launch_backoff: dict[tuple[ProviderName, str, LabelName], Backoff] = {}

    def forget(self, provider: ProviderName) -> None:
        """Drop everything known of a provider whose configuration went or changed."""
        self.facts.pop(provider, None)
        self.foreign_use.pop(provider, None)
        self.away.pop(provider, None)
        self.provider_backoff.pop(provider, None)

    def clock_jumped(self, by: Seconds) -> None:
        """Forget what rests on the order of instants before and after a jump, and shift the others.

        A list that was asked for before is no evidence any more: whether it was before or after what a record tells
        of, the clock does not say.
        """
        for name, known in self.facts.items():
            self.facts[name] = replace(known, listed=None, full_listed=None, limits_read=None)
        self.suspects = {key: since + by for key, since in self.suspects.items()}
        self.provider_backoff = {key: shifted(backoff, by) for key, backoff in self.provider_backoff.items()}
        self.delete_backoff = {key: shifted(backoff, by) for key, backoff in self.delete_backoff.items()}
        self.launch_backoff = {key: shifted(backoff, by) for key, backoff in self.launch_backoff.items()}

    def listed(
        self, provider: ProviderName, listing: Listing, nodes: Set[NodeId], recorded: Set[NodeId]
    ) -> list[ServerId]:
        """Take in a list of servers; return those of ours that are gone. `nodes` are the records there are, `recorded`
        those there have been."""
        known = self.facts.get(provider) or ProviderFacts(provider=provider)
        servers = {} if listing.full else dict(known.servers)
        risen = sum(_rises(known, server) for server in listing.servers)
        for server in listing.servers:
            if server.status is ServerStatus.DELETED:
                servers.pop(server.id, None)
            else:
                servers[server.id] = server
        self.facts[provider] = replace(
            known.with_servers(servers),
            listed=listing.asked,
            risen=risen,
            full_listed=listing.asked if listing.full else known.full_listed,
            error=None,
        )
        # Nearly all are of nodes of ours; that is seen here, without asking for each.
        foreign = [
            server
            for server in servers.values()
            if (server.node not in nodes or server.installation != self._installation or server.provider != provider)
            and self._foreign(provider, server, nodes, recorded)
        ]
        self.foreign_use[provider] = total(server.resources for server in foreign if not server.returning)
        self.away[provider] = total(server.resources for server in foreign if server.returning)
        if listing.full:
            self._suspect(provider, servers, nodes, listing.asked)
        self.provider_backoff.pop(provider, None)
        for server_id in [key for key in self.delete_backoff if self._nowhere(key)]:
            del self.delete_backoff[server_id]
        return [
            server.id
            for server in known.servers.values()
            if server.id not in servers and server.installation == self._installation and server.provider == provider
        ]

    def capacity_read(self, provider: ProviderName, capacity: Capacity) -> None:
        known = self.facts.get(provider) or ProviderFacts(provider=provider)
        self.facts[provider] = replace(
            known,
            limits=capacity.limits,
            limits_read=capacity.asked,
            labels=dict(capacity.labels),
            pool_labels=dict(capacity.pool_labels),
            loose=capacity.loose,
            network=capacity.network,
            floating=capacity.floating,
            list_every=capacity.list_every,
            trouble=capacity.trouble,
            zones=capacity.zones,
            error=None,
        )
        self.provider_backoff.pop(provider, None)

    def stale(self, provider: ProviderName) -> None:
        """Have capacity and servers read again at once: the cloud said something that we did not expect."""
        known = self.facts.get(provider)
        if known is not None:
            self.facts[provider] = replace(known, limits_read=None, full_listed=None)

    def failed(self, provider: ProviderName, error: DriverError, now: Timestamp) -> None:
        """Leave a provider alone for a while after an error that concerns all of it."""
        previous = self.provider_backoff.get(provider)
        backoff = grown(previous, now, 1.0, CALL_BACKOFF_MAX, str(error))
        if isinstance(error, Throttled) and error.retry_after is not None:
            backoff = Backoff(until=now + error.retry_after, failures=1, detail=str(error))
        self.provider_backoff[provider] = backoff
        known = self.facts.get(provider) or ProviderFacts(provider=provider)
        self.facts[provider] = replace(known, error=str(error))

    def deleted(self, server: ServerId, now: Timestamp) -> None:
        """A deletion was asked for; ask again only after a while."""
        previous = self.delete_backoff.get(server)
        self.delete_backoff[server] = grown(previous, now, DELETE_BACKOFF, DELETE_BACKOFF_MAX, "not gone yet")

    def launch_failed(self, where: tuple[ProviderName, str, LabelName], now: Timestamp, detail: str) -> None:
        previous = self.launch_backoff.get(where)
        self.launch_backoff[where] = grown(previous, now, LAUNCH_BACKOFF, LAUNCH_BACKOFF_MAX, detail)

    def launched(self, where: tuple[ProviderName, str, LabelName]) -> None:
        self.launch_backoff.pop(where, None)

    def refused(self, provider: ProviderName, error: DriverError, now: Timestamp) -> None:
        """A create was not accepted; what does that say about the provider?"""
        match error:
            case Throttled():
                self.failed(provider, error, now)
            case NoCapacity():
                self.stale(provider)
            case Refused() | Misconfigured():
                self._doubted(provider)
            case _:
                pass

    def _doubted(self, provider: ProviderName) -> None:
        """Have capacity read again soon: a zone, flavor or image that an order named may be gone. What is known is used
        meanwhile, since most labels have nothing to do with it."""
        known = self.facts.get(provider)
        if known is not None and known.limits_read is not None:
            self.facts[provider] = replace(known, limits_read=0.0)

    def _foreign(self, provider: ProviderName, server: Server, nodes: Set[NodeId], recorded: Set[NodeId]) -> bool:
        """Tell whether a server's resources are used by somebody else. Orphans of ours are not foreign,
        unless the cloud does not get rid of them."""
        if server.provider != provider or server.node is None:
            return True
        if server.installation == self._installation:
            return server.node not in nodes and self._quarantined(server.id)
        return server.installation is not None or not (server.node in nodes or server.node in recorded)

    def _quarantined(self, server: ServerId) -> bool:
        backoff = self.delete_backoff.get(server)
        return backoff is not None and backoff.failures >= QUARANTINED_AFTER

    def _suspect(
        self,
        provider: ProviderName,
        servers: Mapping[ServerId, Server],
        nodes: Set[NodeId],
        asked: Timestamp,
    ) -> None:
        """Remember which servers had no record, since when; forget those that are gone. A record that comes later is of
        another server: on a ZooKeeper that was restored from a backup, numbers are given out a second time."""
        for key in [key for key in self.suspects if key[0] == provider and key[1] not in servers]:
            del self.suspects[key]
        for server in servers.values():
            if server.node and server.node not in nodes:
                self.suspects.setdefault((provider, server.id), asked)

    def _nowhere(self, server: ServerId) -> bool:
        return not any(server in facts.servers for facts in self.facts.values())
