"""Joining a tree: what must be there before anything else, and whose tree it is."""

import logging
import uuid

from nodepool_ng.model.component import KINDS
from nodepool_ng.model.ids import InstallationId
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.blocking import call, wait_connected
from nodepool_ng.zk.store import Commit, Create, Failure, Get, Got, Problem, Store

WAIT_EVERY = 10.0  # seconds

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
)
"""What daemons find there; parents come first."""


def join(store: Store) -> InstallationId:
    """Wait for ZooKeeper, for as long as it takes; create the folders that are missing, and return the
    installation's id, making it when this is a new tree. Blocks."""
    while not wait_connected(store, WAIT_EVERY):
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
            raise SystemExit(f"{decoded}: restore it, or delete it to become a new installation")
        _log.warning("ZooKeeper did not answer (%s); asking again", trouble)
        wait_connected(store, WAIT_EVERY)
