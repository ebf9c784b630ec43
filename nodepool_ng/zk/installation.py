"""Joining a tree: what must be there before anything else, and whose tree it is."""

import logging
import uuid
from collections.abc import Callable

from nodepool_ng.model.component import KINDS
from nodepool_ng.model.ids import InstallationId, Seconds
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.blocking import call, wait_connected
from nodepool_ng.zk.store import Commit, Create, Failure, Get, Got, Problem, Store

CONNECT_LOOK = 1.0  # seconds
WARN_EVERY = 10
"""Looks after which waiting is worth a line in the log."""
RETRY_AFTER = 5.0  # seconds

_log = logging.getLogger("nodepool.zk")

BASE = (
    paths.ROOT,
    paths.NODES,
    paths.REQUESTS,
    paths.REQUEST_LOCKS,
    paths.IMAGES,
    paths.COMPONENTS,
    *(paths.components(kind) for kind in KINDS),
    paths.OURS,
    paths.LEASES,
    paths.FREEZES,
    paths.CORDONS,
    paths.CONFIRMED,
    paths.FACTS,
    paths.BUILDER_FACTS,
    paths.SHEETS,
    paths.CANCELS,
    paths.CANARIES,
)
"""What daemons find there; parents come first."""


class Stopped(Exception):
    """The process was told to stop while it waited for ZooKeeper."""


class UnknownInstallation(Exception):
    """The tree does not say whose it is; the text says what to do."""


def join(store: Store, stopping: Callable[[Seconds], bool]) -> InstallationId:
    """Wait for ZooKeeper, for as long as it takes; create the folders that are missing, and return the
    installation's id, making it when this is a new tree. Blocks.

    `stopping` waits for so many seconds and tells whether the process is to stop.

    Raises:
        Stopped: it is to stop.
        UnknownInstallation: the id is there and cannot be read.
    """
    waits = 0
    while not wait_connected(store, CONNECT_LOOK):
        if stopping(0.0):
            raise Stopped
        waits += 1
        if waits % WARN_EVERY == 0:
            _log.warning("Waiting for ZooKeeper")
    while True:
        answers = call(
            store,
            [
                *(Commit((Create(path),)) for path in BASE),
                Commit((Create(paths.INSTALLATION, codec.encode_installation(InstallationId(uuid.uuid4().hex))),)),
                Get(paths.INSTALLATION),
            ],
        )
        found = answers[-1]
        trouble = next((a for a in answers if isinstance(a, Failure) and a.problem is not Problem.NODE_EXISTS), None)
        if isinstance(found, Got) and trouble is None:
            decoded = codec.decode_installation(found.data)
            if isinstance(decoded, str):
                return InstallationId(decoded)
            raise UnknownInstallation(f"{decoded}: restore it, or delete it to become a new installation")
        if isinstance(trouble, Failure) and trouble.problem is Problem.NO_NODE:
            _log.error("The chroot does not exist in ZooKeeper; create it, or correct zookeeper-servers")
        else:
            _log.warning("ZooKeeper did not answer: %s", trouble)
        if stopping(RETRY_AFTER):
            raise Stopped
