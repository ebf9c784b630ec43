"""What one launcher knows: the mirror of ZooKeeper, the facts about clouds, and what it remembers of its own doings.

Owned by the reconciler's thread. It takes in changes and outcomes, keeps what is derived from them, and gives out
snapshots; it decides nothing and does no I/O. Whatever it remembers beyond ZooKeeper and the clouds may be lost with
the process: it only saves work.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain
from typing import TypeVar

from nodepool_ng.drivers import DriverError, Listing, Misconfigured, Throttled
from nodepool_ng.launcher.attempts import Attempts
from nodepool_ng.launcher.backings import Backings
from nodepool_ng.launcher.canaries import Canaries
from nodepool_ng.launcher.clouds import CloudFacts, grown, shifted
from nodepool_ng.launcher.hosts import HostFacts
from nodepool_ng.launcher.memory import Memory
from nodepool_ng.launcher.outcome import (
    Addressed,
    Adopted,
    Advanced,
    Asked,
    CanaryChecked,
    CapacityRead,
    CloudFailed,
    ConsoleKept,
    Done,
    HostLooked,
    HostSilent,
    Listed,
    Lost,
    NotBacked,
    NotMade,
    Outcome,
    Scanned,
    SweptUp,
)
from nodepool_ng.launcher.pacing import News
from nodepool_ng.launcher.requests import Requests
from nodepool_ng.launcher.resting import Resting
from nodepool_ng.launcher.spans import Spans
from nodepool_ng.launcher.timetable import at_this_hour
from nodepool_ng.model import action as do
from nodepool_ng.model.action import Action, Subject, subjects
from nodepool_ng.model.census import Census, PoolKey
from nodepool_ng.model.freeze import NOT_FROZEN, Freeze
from nodepool_ng.model.gate import proves
from nodepool_ng.model.ids import (
    ImageName,
    InstallationId,
    NodeId,
    PoolId,
    ProviderName,
    RequestId,
    Seconds,
    ServerId,
    Timestamp,
)
from nodepool_ng.model.image import Upload
from nodepool_ng.model.lifecycle import NodeState, RequestState
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.reason import Code
from nodepool_ng.model.server import Server, ServerStatus
from nodepool_ng.model.settings import Settings
from nodepool_ng.model.snapshot import Backoff, Side, Snapshot
from nodepool_ng.shell.contender import is_contender_of
from nodepool_ng.zk import paths
from nodepool_ng.zk.changes import (
    Change,
    ComponentChange,
    Contenders,
    Entry,
    GhostChange,
    LockChange,
    NodeChange,
    OrderChange,
    RequestChange,
    UploadChange,
)
from nodepool_ng.zk.picture import Picture

_R = TypeVar("_R")

OWNER_KEY = "nodepool_ng_process"
"""In our components: which process registered it."""
COOL_FIRST: Seconds = 0.1
COOL_MOST: Seconds = 10.0
"""How long an action that was lost keeps its subjects from being acted upon again."""


class World:
    """The state of one launcher; see the module's text."""

    def __init__(
        self,
        *,
        settings: Settings,
        installation: InstallationId,
        owner: str,
        picture: Picture,
        new_id: Callable[[], str],
        pool_ids: Mapping[PoolKey, PoolId],
        now: Timestamp,
    ) -> None:
        self.settings = settings
        self.installation = installation
        self.owner = owner
        self.picture = picture
        self.pool_ids: dict[PoolKey, PoolId] = dict(pool_ids)
        self.now = now
        """The instant of the letter being dealt with; set by the reconciler."""
        self.clouds = CloudFacts(installation)
        self.hosts = HostFacts(settings)
        self.backings = Backings(settings)
        self.canaries = Canaries()
        self.census = Census(self._cost)
        self.uploads: dict[tuple[ImageName, ProviderName], Upload] = {}
        self.leased: set[ProviderName] = set()
        self.leaving: set[ProviderName] = set()
        """Providers that were taken out of the configuration and still have nodes that we clean away."""
        self.tells_numbers = False
        """Whether this launcher stands for telling the numbers of the whole installation."""
        self.memory = Memory()
        self.attempts = Attempts(new_id)
        self.requests = Requests()
        self.resting = Resting()
        self.spans = Spans()
        self.web: str | None = None
        """Where this launcher serves pages, as others reach it."""
        self.broken_files = ""
        """What is wrong with the files of the configuration, while what they said before is in force."""
        self._timed: tuple[Settings, Timestamp, Settings, Timestamp | None] | None = None
        self._node_locks: dict[NodeId, Side] = {}
        self._held: dict[NodeId, None] = {}
        self._unlocked: set[NodeId] = set()
        self._recorded: set[NodeId] = set()
        self._bereft: set[NodeId] = set()
        self._registry: frozenset[PoolId | None] = frozenset()
        self._registry_changed = now
        self._cooling: dict[Subject, Backoff] = {}

    def replaced(self, node: Node, **changes: object) -> Node:
        return replace(node, **changes)  # type: ignore[arg-type]

    def is_ours(self, contender: str) -> bool:
        return is_contender_of(self.owner, contender)

    def contenders_on_node(self, node: NodeId) -> tuple[str, ...]:
        return self.picture.node_contenders.get(node, ())

    def contenders_on_request(self, request: RequestId) -> tuple[str, ...]:
        return self.picture.request_contenders.get(request, ())

    def our_contender_on_node(self, node: NodeId) -> str | None:
        """Return the path of our contender, if the lock is ours."""
        return self._ours(paths.node_lock(node), self.contenders_on_node(node))

    def our_contender_on_request(self, request: RequestId) -> str | None:
        return self._ours(paths.request_lock(request), self.contenders_on_request(request))

    def lease_contender(self, provider: ProviderName) -> str | None:
        """Return the path of our contender for a provider's lease, if it is ours."""
        return self._ours(paths.lease(provider), self.lease_queue(provider))

    def lease_queue(self, provider: ProviderName) -> tuple[str, ...]:
        """Return the contenders for a provider's lease."""
        return self.picture.locks.get(paths.LeaseAt(provider), ())

    def stats_queue(self) -> tuple[str, ...]:
        """Return who stands for telling the numbers of the whole installation, the elected one first."""
        return self.picture.locks.get(paths.StatsElectionAt(), ())

    def has_node_lock_dir(self, node: NodeId) -> bool:
        return node in self.picture.node_contenders

    def has_request_lock_dir(self, request: RequestId) -> bool:
        return request in self.picture.request_contenders

    def pool_id(self, node: Node) -> PoolId | None:
        """Return our own id for the pool of a node."""
        if node.provider is None or node.pool is None:
            return node.launcher
        return self.pool_ids.get((node.provider, node.pool), node.launcher)

    def server(self, node: Node, server: ServerId) -> Server | None:
        facts = self.clouds.facts.get(node.provider) if node.provider else None
        return facts.servers.get(server) if facts else None

    def changed(self, change: Change) -> News:
        """Bring what is derived up to date with one change in the tree; tell how soon that asks for a plan.

        A lock that was taken never lets anything be done that could not be done before, so it asks for none.
        """
        match change:
            case NodeChange(id=node_id, before=before, after=after):
                self.spans.saw(_record(before), _record(after), self.now)
                self.node_changed(node_id)
                matters = _record(before) is not _record(after) or node_id not in self._node_locks
                return News.SOON if matters else News.NONE
            case RequestChange(id=request_id, before=before, after=after):
                self.request_changed(request_id)
                if _record(before) is _record(after) and request_id in self.requests.locks:
                    return News.NONE
                asked = after is not None and after.record.state is RequestState.REQUESTED
                return News.NOW if asked and not self.requests.joins_a_queue(request_id) else News.SOON
            case LockChange(of=paths.RequestAt(request_id)):
                self.request_changed(request_id)
                return News.NONE if request_id in self.requests.locks else News.SOON
            case LockChange(of=paths.LeaseAt()):
                self.leases_changed()
            case LockChange(of=paths.StatsElectionAt()):
                return News.SOON if self.tells_numbers else News.NONE
            case UploadChange():
                self.images_changed()
            case ComponentChange():
                self.registry_changed()
            case OrderChange():
                self.memory.confirmations(self.picture.confirmed, self.now)
            case GhostChange():
                pass
            case _:
                return News.NONE
        return News.SOON

    def node_changed(self, node_id: NodeId) -> None:
        """Bring indexes up to date with the mirror's record and lock of a node."""
        self.resting.stirred(node_id)
        entry = self.picture.nodes.get(node_id)
        before = self.census.nodes.get(node_id)
        if before is not None and before.attempt and (entry is None or entry.record.attempt != before.attempt):
            self.attempts.forget(before.attempt)
            self.memory.forget(before.attempt)
        if entry is None:
            self.census.drop(node_id)
            self.hosts.gone(node_id)
            self.canaries.gone(node_id)
        elif entry.record is not before:
            self.census.put(entry.record)
            if entry.record.attempt is None:
                self._recorded.add(node_id)
        contenders = self.contenders_on_node(node_id)
        self.backings.changed(node_id, entry.record if entry is not None else None, contenders)
        self._locked(node_id, self._side(contenders), recorded=entry is not None)

    def _locked(self, node_id: NodeId, side: Side | None, *, recorded: bool) -> None:
        """Note who holds the lock of a node, and whether there is a record of it."""
        if side is None:
            self._node_locks.pop(node_id, None)
        else:
            self._node_locks[node_id] = side
        if side is Side.OURS:
            self._held[node_id] = None
        else:
            self._held.pop(node_id, None)
        if side is None and recorded:
            self._unlocked.add(node_id)
        else:
            self._unlocked.discard(node_id)

    def request_changed(self, request_id: RequestId) -> None:
        """Bring indexes up to date with the mirror's record and lock of a request."""
        entry = self.picture.requests.get(request_id)
        side = self._side(self.contenders_on_request(request_id))
        lockable = self.has_request_lock_dir(request_id)
        self.requests.changed(request_id, _record(entry), side, self.now, lockable=lockable)

    def images_changed(self) -> None:
        """Find the upload to boot from, for each image and provider: the ready one that became so last."""
        self.uploads = self.canaries.sorted_out(entry.record for entry in self.picture.uploads.values())

    def upload_at(self, path: str) -> Upload | None:
        """Return the upload whose record is at a path."""
        at = paths.parse(path)
        entry = self.picture.uploads.get(at) if isinstance(at, paths.UploadAt) else None
        return entry.record if entry is not None else None

    def _is_canary(self, node_id: NodeId) -> bool:
        node = self.census.nodes.get(node_id)
        return node is not None and proves(node) is not None

    def registry_changed(self) -> None:
        pools = frozenset(entry.record.id for entry in self.picture.components.values() if entry.record.id)
        if pools != self._registry:
            self._registry = pools
            self._registry_changed = self.now

    def leases_changed(self) -> None:
        names = (*self.settings.providers, *self.leaving)
        self.leased = {name for name in names if self.lease_contender(name) is not None}
        self.resting.all_stirred()

    def farewell(self) -> None:
        """Be done with providers that left and have no node any more, or that another launcher has: it goes on."""
        for name in list(self.leaving):
            elsewhere = any(
                entry.record.provider_name == name and entry.record.extra.get(OWNER_KEY) != self.owner
                for entry in self.picture.components.values()
            )
            over = not self.backings.has(name) and not any(n.provider == name for n in self.census.nodes.values())
            if elsewhere or over:
                self.leaving.discard(name)
                self.leases_changed()

    def reconfigured(self, settings: Settings, pool_ids: Mapping[PoolKey, PoolId]) -> None:
        """Go by new settings; facts about providers that changed are read again."""
        for name, provider in self.settings.providers.items():
            if settings.providers.get(name) != provider:
                self.clouds.forget(name)
        self.leaving |= {name for name in self.leased if name not in settings.providers}
        self.leaving -= settings.providers.keys()
        self.settings = settings
        self.broken_files = ""
        self.hosts.reconfigured(settings)
        self.backings.reconfigured(settings)
        for node_id, entry in self.picture.nodes.items():
            self.backings.changed(node_id, entry.record, self.contenders_on_node(node_id))
        self.pool_ids = dict(pool_ids)
        self.leases_changed()

    def clock_jumped(self, by: Seconds) -> None:
        """Put right what is remembered of instants. Records keep theirs: others read them, too."""
        self.clouds.clock_jumped(by)
        self.memory.clock_jumped(by)
        self.attempts.clock_jumped(by)
        self.requests.clock_jumped(by)
        self._cooling = {key: shifted(each, by) for key, each in self._cooling.items()}
        self._registry_changed += by
        self.resting.all_stirred()
        self.hosts.clock_jumped(by)
        self.backings.clock_jumped(by)

    def came(self, action: Action, outcome: Outcome) -> None:
        """Take in what came of an action."""
        self.memory.answered(action, outcome, self.now)
        self.resting.came(action)
        if isinstance(outcome, Lost):
            for subject in subjects(action):
                self._cooling[subject] = grown(self._cooling.get(subject), self.now, COOL_FIRST, COOL_MOST, outcome.why)
            return
        for subject in subjects(action):
            self._cooling.pop(subject, None)
        match outcome:
            case Asked(attempt):
                self.attempts.asked(attempt, self.now)
            case NotMade(attempt, error):
                assert isinstance(action, do.CreateServer)
                self.attempts.not_made(attempt, error, self.now)
                self.clouds.refused(action.provider, error, self.now)
            case Scanned(attempt, keys, error):
                self.attempts.scanned(attempt, keys, error)
            case Listed(listing) if listing.asked > self.now:
                pass  # the clock went back meanwhile: nobody can say what the list is evidence for
            case Listed(listing):
                assert isinstance(action, do.ListServers)
                recorded = {*self.picture.nodes, *self._unreadable()}
                known = self.clouds.facts.get(action.provider)
                for server in self.clouds.listed(action.provider, listing, recorded, self._recorded):
                    self.memory.went(action.provider, server, self.now)
                there = self.clouds.facts[action.provider]
                self.resting.listed(known.servers if known else {}, there.servers)
                self.attempts.listed(chain.from_iterable(there.by_node.values()), self.now)
                self._note_bereft(action.provider, listing)
            case CapacityRead(capacity):
                assert isinstance(action, do.ReadCapacity)
                self.clouds.capacity_read(action.provider, capacity)
            case Addressed(attempt, error):
                self.memory.addressed(attempt, self.now, error)
                if isinstance(error, Throttled | Misconfigured):
                    assert isinstance(action, do.AttachAddress)
                    self.clouds.refused(action.provider, error, self.now)
            case Advanced(attempt, error):
                self.memory.advanced(attempt, self.now, error)
                if isinstance(error, Throttled | Misconfigured):
                    assert isinstance(action, do.AdvanceServer)
                    self.clouds.refused(action.provider, error, self.now)
            case ConsoleKept(attempt, text):
                self.memory.consoles.add(attempt)
                if isinstance(action, do.KeepConsole) and self._is_canary(action.node):
                    self.canaries.came_up_short(action.node, text)
            case CanaryChecked(node, found):
                self.canaries.checked[node] = found
            case CloudFailed(error):
                self._cloud_failed(action, error)
            case HostLooked(seen):
                assert isinstance(action, do.LookAtHost)
                self.hosts.looked(action.provider, seen)
            case NotBacked(attempts, detail):
                self.attempts.not_backed(attempts, detail, self.now)
            case SweptUp():
                assert isinstance(action, do.SweepNetwork)
                self.memory.swept[action.provider] = self.now
            case HostSilent(node, met):
                self.hosts.did_not_answer(node, met)
            case Done() | Adopted():
                self._done(action)

    def snapshot(self, in_flight: Mapping[Subject, Action], registry_settle: Seconds) -> Snapshot:
        """Return what is known now; the views stay as they are until the next letter is taken in."""
        for subject in [subject for subject, cooling in self._cooling.items() if cooling.until < self.now - COOL_MOST]:
            del self._cooling[subject]
        settings, until = self._settings_now()
        self._look_at_slots(settings)
        return Snapshot(
            now=self.now,
            settings=settings,
            settings_until=until,
            installation=self.installation,
            leased=self.leased,
            pool_ids=self.pool_ids,
            components={f"{at.kind}/{at.key}": entry.record for at, entry in self.picture.components.items()},
            registry_changed=self._registry_changed,
            registry_settle=registry_settle,
            nodes=self.census,
            node_locks=self._node_locks,
            held=self._held,
            unlocked=self._unlocked,
            ghosts=self._ghosts(),
            unreadable=self._unreadable(),
            requests=self.requests.records,
            request_locks=self.requests.locks,
            unlocked_since=self.requests.unlocked_since,
            uploads=self.uploads,
            at_gate=self.canaries.at_gate,
            checked=self.canaries.checked,
            facts=self.clouds.facts,
            in_flight=in_flight,
            attempts=self.attempts.states,
            scans=self.attempts.scans,
            resting=self.resting.nodes,
            first_active=self.attempts.first_active,
            launch_backoff=self.clouds.launch_backoff,
            provider_backoff=self.clouds.provider_backoff,
            delete_backoff=self.clouds.delete_backoff,
            suspects=self.clouds.suspects,
            foreign_use=self.clouds.foreign_use,
            away=self.clouds.away,
            recorded=self._recorded,
            bereft=self._bereft,
            sweeps_confirmed=self.memory.confirmed_since,
            addressing=self.memory.addressing,
            stepping=self.memory.stepping,
            consoles=self.memory.consoles,
            swept=self.memory.swept,
            frozen=self.frozen(),
            cordons=self.picture.cordons,
            quickest_boots=self.spans.quickest,
            paces=self.memory.paces.view(self.now),
            orphan_locks=self.requests.orphan_locks,
            hosts=self.hosts.seen,
            silent=self.hosts.silent,
            without_cloud=self.hosts.providers,
            backings=self.backings.view(self.now),
            kept=self.backings.kept,
            cooling={subject: cooling.until for subject, cooling in self._cooling.items()},
        )

    def _look_at_slots(self, settings: Settings) -> None:
        """Bring the facts about metastatic providers up to date: they are in the records."""
        for name in self.backings.providers:
            if name in settings.providers:
                self.clouds.facts[name] = self.backings.facts(settings.providers[name], self.installation, self.now)
        if self.backings.providers:
            self._bereft |= self.backings.bereft()

    def _settings_now(self) -> tuple[Settings, Timestamp | None]:
        """Return the settings with what timetables say at this hour, and when they say something else."""
        known = self._timed
        if known is None or known[0] is not self.settings or not known[1] <= self.now < (known[3] or math.inf):
            known = self._timed = (self.settings, self.now, *at_this_hour(self.settings, self.now))
            self.resting.all_stirred()
        return known[2], known[3]

    def frozen(self) -> dict[ProviderName, Freeze]:
        """Return what operators have frozen, by provider."""
        orders = self.picture.freezes
        if not orders:
            return {}
        everywhere = orders.get(paths.ALL, NOT_FROZEN)
        names = {*self.settings.providers, *self.leaving}
        return {
            name: orders.get(name, NOT_FROZEN) | everywhere for name in names if name in orders or paths.ALL in orders
        }

    def _ghosts(self) -> set[NodeId]:
        return {at.id for path in self.picture.ghosts if isinstance(at := paths.parse(path), paths.NodeAt)}

    def _unreadable(self) -> set[NodeId]:
        """Return the nodes whose records are damaged: they are there, though nobody can tell what they say."""
        return {at.id for path in self.picture.damaged if isinstance(at := paths.parse(path), paths.NodeAt)}

    def _ours(self, directory: str, contenders: tuple[str, ...]) -> str | None:
        return f"{directory}/{contenders[0]}" if contenders and self.is_ours(contenders[0]) else None

    def _side(self, contenders: Contenders) -> Side | None:
        """Return who holds a lock: in the mirror the owner comes first."""
        if not contenders:
            return None
        return Side.OURS if self.is_ours(contenders[0]) else Side.FOREIGN

    def _cost(self, node: Node) -> Resources:
        facts = self.clouds.facts.get(node.provider) if node.provider else None
        label = facts.label(node.pool, node.label) if facts and node.label else None
        return label.needs if label else Resources({"instances": 1})

    def _cloud_failed(self, action: Action, error: DriverError) -> None:
        match action:
            case do.DeleteServer():
                self.clouds.deleted(action.server, self.now)
                if isinstance(error, Throttled):
                    self.clouds.failed(action.provider, error, self.now)
            case do.ListServers() | do.ReadCapacity():
                self.clouds.failed(action.provider, error, self.now)
            case do.SweepNetwork():
                self.memory.swept[action.provider] = self.now
            case _:
                pass

    def _done(self, action: Action) -> None:
        match action:
            case do.DeleteServer():
                self.clouds.deleted(action.server, self.now)
            case do.RegisterNodes(provider=provider, host=host):
                self.hosts.spent((provider, host.key))
            case do.RetireNode(why=why) if why.code in (Code.LAUNCH_FAILED, Code.ATTEMPT_FAILED):
                if why.provider and why.pool and why.label:
                    self.clouds.launch_failed((why.provider, why.pool, why.label), self.now, why.detail)
            case do.RecordReady(why=why) if why.provider and why.pool and why.label:
                self.clouds.launched((why.provider, why.pool, why.label))
            case _:
                pass

    def _note_bereft(self, provider: ProviderName, listing: Listing) -> None:
        """Remember which ready nodes have no working server any more. A list that was asked for before a node became
        ready says nothing about it."""
        servers = self.clouds.facts[provider].servers
        if listing.full:
            ready = [node for key, found in self.census.spare.items() if key[0] == provider for node in found.values()]
            ready += [node for node in self.census.allocated.values() if node.provider == provider]
        else:
            told = [self.census.nodes.get(server.node) for server in listing.servers if server.node is not None]
            ready = [
                node
                for node in told
                if node is not None and node.state is NodeState.READY and node.provider == provider
            ]
        for node in ready:
            server = servers.get(ServerId(node.server_id)) if node.server_id else None
            lost = server is None or server.status is ServerStatus.FAILED
            if lost and node.server_id and listing.asked > node.state_time:
                self._bereft.add(node.id)
        self._bereft &= self.census.nodes.keys()


def _record(entry: Entry[_R] | None) -> _R | None:
    return entry.record if entry is not None else None
