"""Two rigs with the same verbs: one makes clients of the in-memory tree, one of a real ZooKeeper behind a proxy."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from nodepool_ng.zk.client import KazooStore, close_session
from nodepool_ng.zk.memory import MemoryStore, Tree
from tests.support.proxy import Proxy
from tests.support.zookeeper import Peer, fresh_chroot


class MemoryRig:
    def __init__(self) -> None:
        self.tree = Tree()

    def peer(self, session_timeout: float = 10.0) -> Peer:
        return Peer(MemoryStore(self.tree), self.tree.run)

    def cut(self, peer: Peer) -> None:
        peer.store.suspend()

    def mend(self, peer: Peer) -> None:
        peer.store.resume()

    def expire(self, peer: Peer) -> None:
        peer.store.expire()

    def lapse(self, peer: Peer) -> None:
        """Let the session of a suspended client expire."""
        peer.store.expire()

    def close(self) -> None:
        pass


class RealRig:
    def __init__(self, server) -> None:
        self.server = server
        self.settings = fresh_chroot(server)
        self._proxies: dict[Peer, Proxy] = {}

    def peer(self, session_timeout: float = 10.0, **options) -> Peer:
        proxy = Proxy(("127.0.0.1", self.server.port))
        settings = replace(self.settings, hosts=(proxy.address,), session_timeout=session_timeout)
        store = KazooStore(settings, **options)
        peer = Peer(store)
        self._proxies[peer] = proxy
        return peer

    def proxy(self, peer: Peer) -> Proxy:
        return self._proxies[peer]

    def cut(self, peer: Peer) -> None:
        self._proxies[peer].cut()

    def mend(self, peer: Peer) -> None:
        self._proxies[peer].mend()

    def expire(self, peer: Peer) -> None:
        """End the session behind the client's back: what else only time does."""
        assert close_session(self.settings, *peer.store.client_id)

    def lapse(self, peer: Peer) -> None:
        """A suspended client's session expires by itself."""

    def close(self) -> None:
        for peer, proxy in self._proxies.items():
            proxy.mend()
            peer.store.stop()
            proxy.close()


@pytest.fixture
def real_rig(zookeeper_server) -> Iterator[RealRig]:
    rig = RealRig(zookeeper_server)
    yield rig
    rig.close()


@pytest.fixture(params=["memory", pytest.param("zookeeper", marks=pytest.mark.zookeeper)])
def rig(request) -> Iterator[MemoryRig | RealRig]:
    if request.param == "memory":
        yield MemoryRig()
    else:
        yield request.getfixturevalue("real_rig")
