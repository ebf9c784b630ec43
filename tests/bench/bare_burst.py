"""The floor of a burst and of steady state: a script that makes the calls and writes which requests ask for, and those
which a node's end asks for, and decides nothing.

Run it as `python -m tests.bench.bare_burst NODEPOOL_YAML [seeing]`: it has a process of its own, as a launcher has,
says when it is there, and serves each request with a server of the one label there is, of its providers in turn. It
uses the same client, driver and codec, as many threads, and lists servers twice a second, as a launcher does for
requests. A `seeing` one also keeps a mirror of the whole tree, as a launcher has to, and hears of requests from that.
"""

from __future__ import annotations

import itertools
import json
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from nodepool_ng.config.loading import load
from nodepool_ng.daemon.process import collect_garbage_seldom
from nodepool_ng.drivers import Driver, Marks, ServerOrder
from nodepool_ng.drivers.registry import make
from nodepool_ng.model.ids import AttemptId, InstallationId, NodeId, RequestId, ServerId
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.pace import MOST_THREADS
from nodepool_ng.model.server import ServerStatus
from nodepool_ng.model.settings import Pool, PoolLabel, Provider, Settings
from nodepool_ng.plan.looks import LIST_FOR_REQUESTS_EVERY
from nodepool_ng.zk import paths
from nodepool_ng.zk.changes import Entry, NodeChange, RequestChange, SessionChange
from nodepool_ng.zk.client import KazooStore
from nodepool_ng.zk.codec import decode_node, encode_node
from nodepool_ng.zk.mirror import Message, Mirror
from nodepool_ng.zk.store import (
    Answer,
    Answers,
    Changed,
    Commit,
    Committed,
    Create,
    Delete,
    Get,
    Got,
    Kind,
    News,
    SessionNews,
    SessionState,
    Set,
    Verb,
)
from tests.bench.bare import CONTENDER

THERE = "there"
"""The line that tells that requests may come."""
SEEING = "seeing"


class _Site:
    """One provider."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.pool: Pool = next(iter(provider.pools.values()))
        self.label: PoolLabel = next(iter(self.pool.labels.values()))
        self.driver: Driver = make(provider)
        self.threads = ThreadPoolExecutor(MOST_THREADS)
        self.booting: dict[ServerId, _Served] = {}
        self.going: dict[ServerId, _Gone] = {}
        self.looking = False


@dataclass(slots=True)
class _Served:
    """A request on its way, and what was made for it."""

    site: _Site
    path: str
    record: dict[str, Any]
    request_lock: str = ""
    node: str = ""
    node_lock: str = ""


@dataclass(frozen=True, slots=True)
class _Gone:
    """A node whose server was asked to go, and the lock on it."""

    node: str
    lock: str


class BareBurst:
    """One thread owns all of it, as in a launcher; what other threads find out comes through the inbox."""

    def __init__(self, settings: Settings) -> None:
        assert settings.zookeeper is not None
        self._sites = [_Site(provider) for provider in settings.providers.values()]
        self._turns = itertools.cycle(self._sites)
        self._store = KazooStore(settings.zookeeper)
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def run(self) -> None:
        for site in self._sites:
            site.driver.connect()
            site.driver.capacity(time.time())
        self._listen()
        self._store.start()
        collect_garbage_seldom()
        while True:
            letters = [self._inbox.get()]
            while not self._inbox.empty():
                letters.append(self._inbox.get())
            with self._store.gathered():
                for letter in letters:
                    letter()

    def _listen(self) -> None:
        self._store.watch((paths.REQUESTS, paths.NODES), self._hear)

    def _submit(self, verbs: Sequence[Verb], done: Callable[[Answers], None]) -> None:
        self._store.submit(verbs, done)

    def _hear(self, news: News) -> None:
        match news:
            case SessionNews(SessionState.CONNECTED):
                self._prepare()
            case Changed(path, Kind.CREATED) if path.startswith(f"{paths.REQUESTS}/"):
                claim = self._told(lambda got: self._claim(path, json.loads(got.data)))
                self._inbox.put(lambda: self._submit([Get(path)], claim))
            case Changed(path, Kind.DELETED) if "/lock/" in path and CONTENDER not in path:
                node = path.partition("/lock/")[0]
                given_back = self._told(lambda got: self._given_back(node, got))
                self._inbox.put(lambda: self._submit([Get(node)], given_back))
            case _:
                pass

    def _given_back(self, node: str, got: Answer) -> None:
        """Look at a node that its client has unlocked."""
        record = decode_node(NodeId(node.rpartition("/")[2]), got.data) if isinstance(got, Got) else None
        if isinstance(record, Node) and record.state is NodeState.USED:
            self._retire(record)

    def _prepare(self) -> None:
        above = (paths.ROOT, paths.NODES, paths.REQUESTS, paths.REQUEST_LOCKS)
        self._store.submit([Commit((Create(path),)) for path in above], lambda answers: print(THERE, flush=True))

    def _told(self, go_on: Callable[[Any], None]) -> Callable[[Any], None]:
        return lambda answers: self._inbox.put(lambda: go_on(answers[0]))

    def _claim(self, path: str, record: dict[str, Any]) -> None:
        served = _Served(next(self._turns), path, record)
        lock = f"{paths.REQUEST_LOCKS}/{path.rpartition('/')[2]}"
        served.record |= {"state": "pending", "state_time": time.time()}
        ops = (
            Create(lock),
            Create(f"{lock}/{CONTENDER}", ephemeral=True, sequence=True),
            Set(path, json.dumps(served.record).encode()),
            Create(paths.NEW_NODE, _node(served.site, NodeState.INIT, ""), sequence=True),
        )
        self._submit([Commit(ops)], self._told(lambda made: self._lock(served, made)))

    def _lock(self, served: _Served, made: Committed) -> None:
        _, served.request_lock, _, served.node = (str(result) for result in made.results)
        directory = f"{served.node}/lock"
        ops = (
            Create(directory),
            Create(f"{directory}/{CONTENDER}", ephemeral=True, sequence=True),
            Set(served.node, _node(served.site, NodeState.BUILDING, "")),
        )
        self._submit([Commit(ops)], self._told(lambda locked: self._create(served, locked)))

    def _create(self, served: _Served, locked: Committed) -> None:
        served.node_lock = str(locked.results[1])
        site = served.site
        order = order_of(site.provider, site.pool, site.label, served.node.rpartition("/")[2])
        asked = site.threads.submit(site.driver.create_server, order)
        asked.add_done_callback(lambda done: self._inbox.put(lambda: self._asked(served, done.result())))

    def _asked(self, served: _Served, server: ServerId) -> None:
        site, record = served.site, _node(served.site, NodeState.BUILDING, server)
        self._submit([Commit((Set(served.node, record),))], lambda answers: None)
        site.booting[server] = served
        self._look_at(site)

    def _look_at(self, site: _Site) -> None:
        if not site.looking:
            site.looking = True
            self._look(site, None)

    def _look(self, site: _Site, since: float | None) -> None:
        began = time.time()
        listing = site.threads.submit(site.driver.list_servers, since, began)
        listing.add_done_callback(
            lambda done: self._inbox.put(lambda: self._listed(site, done.result().servers, began))
        )

    def _listed(self, site: _Site, servers: Any, began: float) -> None:
        for server in servers:
            if server.status is ServerStatus.ACTIVE and server.id in site.booting:
                self._fulfil(site.booting.pop(server.id), server.id)
            if server.status is ServerStatus.DELETED and server.id in site.going:
                self._forget(site.going.pop(server.id))
        site.looking = bool(site.booting or site.going)
        if site.looking:
            again = threading.Timer(
                max(began + LIST_FOR_REQUESTS_EVERY - time.time(), 0),
                lambda: self._inbox.put(lambda: self._look(site, began)),
            )
            again.daemon = True
            again.start()

    def _fulfil(self, served: _Served, server: ServerId) -> None:
        nodes = [served.node.rpartition("/")[2]]
        served.record |= {"state": "fulfilled", "nodes": nodes, "state_time": time.time()}
        ops = (
            Set(served.node, _node(served.site, NodeState.READY, server, served.path)),
            Delete(served.node_lock),
            Set(served.path, json.dumps(served.record).encode()),
            Delete(served.request_lock),
        )
        self._submit([Commit(ops)], lambda answers: None)

    def _retire(self, used: Node) -> None:
        """Lock a node that was used, and have its server deleted."""
        site = next(site for site in self._sites if site.provider.name == used.provider)
        node, server = paths.node(used.id), ServerId(str(used.external_id))
        directory = f"{node}/lock"
        ops = (
            Delete(directory),
            Create(directory),
            Create(f"{directory}/{CONTENDER}", ephemeral=True, sequence=True),
            Set(node, _node(site, NodeState.DELETING, server)),
        )
        self._submit([Commit(ops)], self._told(lambda locked: self._delete(site, node, server, locked)))

    def _delete(self, site: _Site, node: str, server: ServerId, locked: Committed) -> None:
        site.going[server] = _Gone(node, str(locked.results[2]))
        site.threads.submit(site.driver.delete_server, server).add_done_callback(
            lambda done: self._inbox.put(lambda: self._look_at(site))
        )

    def _forget(self, gone: _Gone) -> None:
        ops = (Delete(gone.lock), Delete(f"{gone.node}/lock"), Delete(gone.node))
        self._submit([Commit(ops)], lambda answers: None)


class SeeingBurst(BareBurst):
    """The same, with a mirror of the whole tree: what it costs to know, too."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._mirror = Mirror(self._store, lambda message: self._inbox.put(lambda: self._take(message)))

    def _listen(self) -> None:
        self._mirror.start()

    def _submit(self, verbs: Sequence[Verb], done: Callable[[Answers], None]) -> None:
        self._mirror.submit(verbs, done)

    def _take(self, message: Message) -> None:
        for change in self._mirror.take(message):
            match change:
                case SessionChange(SessionNews(SessionState.CONNECTED)):
                    self._prepare()
                case RequestChange(before=None, after=Entry(record=request)):
                    record = {"node_types": [*request.labels], "requestor": request.requestor, "declined_by": []}
                    self._claim(paths.request(request.id), record)
                case NodeChange(after=Entry(record=Node(state=NodeState.USED) as node, contenders=())):
                    self._retire(node)
                case _:
                    pass


def _node(site: _Site, state: NodeState, server: str, request: str = "") -> bytes:
    return encode_node(
        Node(
            id=NodeId(""),
            state=state,
            state_time=time.time(),
            provider=site.provider.name,
            pool=site.pool.name,
            labels=(site.label.name,),
            allocated_to=RequestId(request.rpartition("/")[2]) if request else None,
            external_id=server or None,
        )
    )


def order_of(provider: Provider, pool: Pool, label: PoolLabel, number: str) -> ServerOrder:
    """Return what asks for the server of one node."""
    marks = Marks(
        provider=provider.name,
        installation=InstallationId("floor"),
        node=NodeId(number),
        pool=pool.name,
        attempt=AttemptId(number),
    )
    return ServerOrder(
        name=f"np{number}", marks=marks, pool=pool, label=label, image=None, config_drive=None, zone=None
    )


if __name__ == "__main__":
    kind = SeeingBurst if SEEING in sys.argv[2:] else BareBurst
    kind(load(sys.argv[1]).settings).run()
