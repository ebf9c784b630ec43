"""Growth: what a node costs in memory, in the mirror and in a plan, at 100, 1,000 and 10,000 nodes.

Runs in this process on the store in memory, so that it measures our code and neither ZooKeeper nor clouds; the plans
are those of `plan_cost`.
"""

import gc
import os
import time
import tracemalloc
from pathlib import Path

from nodepool_ng.model.ids import NodeId
from nodepool_ng.zk import paths
from nodepool_ng.zk.codec import encode_node
from nodepool_ng.zk.memory import MemoryStore
from nodepool_ng.zk.mirror import Message, Mirror
from nodepool_ng.zk.store import Commit, Create
from nodepool_ng.zk.tree import Eager, Tree
from tests.bench.figures import Row, report, slowness
from tests.bench.plan_cost import cost, installation

SIZES = (100, 1000, 10_000)
ROUNDS = 9


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    figures: dict[str, object] = {}
    rows: list[Row] = []
    for size in SIZES[:2] if quick else SIZES:
        slow = slowness()
        walk, each = mirror(size)
        snapshot, before = installation(size, size // 5).snapshot(), slowness()
        planned = cost(snapshot, ROUNDS) / ((before + slowness()) / 2)
        figures[str(size)] = {"walk_us": walk / slow, "bytes": each, "plan_ms": planned}
        goal = 50 if size == 10_000 else ""
        rows += [
            (f"{size} nodes: mirror, µs of CPU per node", walk / slow, ""),
            (f"{size} nodes: bytes of memory per node", each, ""),
            (
                f"{size} nodes, {size // 5} requests, full: ms of CPU per plan",
                planned,
                goal,
            ),
        ]
    report("growth", "growth (on an idle machine)", rows, figures)
    return figures


def mirror(size: int) -> tuple[float, float]:
    """Return the CPU time of a walk in µs per node, and the bytes that the mirror keeps per node."""
    tree = Tree(Eager())
    writer = MemoryStore(tree)
    writer.start()
    nodes = list(installation(size, 0).snapshot().nodes.nodes.values())
    for path in (paths.ROOT, paths.NODES, paths.REQUESTS, paths.OURS):
        writer.submit([Commit((Create(path),))], lambda answers: None)
    for number, node in enumerate(nodes):
        path = paths.node(NodeId(f"{number:010d}"))
        ops = (Create(path, encode_node(node)), Create(f"{path}/lock"))
        writer.submit([Commit(ops)], lambda answers: None)
    letters: list[Message] = []
    gc.collect()
    tracemalloc.start()
    store = MemoryStore(tree)
    seen = Mirror(store, letters.append)
    began = time.process_time()
    seen.start()
    store.start()
    while letters:
        seen.take(letters.pop(0))
    tracemalloc.stop()
    took, kept = walk_again(tree)
    assert seen.complete
    assert len(seen.picture.nodes) == len(nodes), time.process_time() - began
    return took / len(nodes) * 1e6, kept / len(nodes)


def walk_again(tree: Tree) -> tuple[float, float]:
    """Walk without the watcher of memory for the time, then look how much memory the mirror is."""
    before = _memory()
    letters: list[Message] = []
    store = MemoryStore(tree)
    seen = Mirror(store, letters.append)
    began = time.process_time()
    seen.start()
    store.start()
    while letters:
        seen.take(letters.pop(0))
    took = time.process_time() - began
    return took, max(_memory() - before, 0)


def _memory() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
