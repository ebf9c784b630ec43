"""Growth: what a node costs in memory, in the mirror and in a plan, at 100, 1,000 and 10,000 nodes.

Runs in this process on the store in memory, so that it measures our code and neither ZooKeeper nor clouds; the plans
are those of `plan_cost`.
"""

import gc
import math
import time
import tracemalloc
from collections import deque
from collections.abc import Sequence

from nodepool_ng.daemon.process import collect_garbage_seldom
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
    collect_garbage_seldom()
    sizes = SIZES[:2] if quick else SIZES
    walked = walks(sizes)
    for size in sizes:
        walk, each = walked[size]
        snapshot, before = installation(size, size // 5).snapshot(), slowness()
        planned = cost(snapshot, ROUNDS) / ((before + slowness()) / 2)
        figures[str(size)] = {"walk_us": walk, "bytes": each, "plan_ms": planned}
        goal = 50 if size == 10_000 else ""
        rows += [
            (f"{size} nodes: mirror, µs of CPU per node", walk, ""),
            (f"{size} nodes: bytes of memory per node", each, ""),
            (
                f"{size} nodes, {size // 5} requests, full: ms of CPU per plan",
                planned,
                goal,
            ),
        ]
    report("growth", "growth (on an idle machine)", rows, figures)
    return figures


def walks(sizes: Sequence[int]) -> dict[int, tuple[float, float]]:
    """Return for each size the CPU time of a walk in µs per node, and the bytes that the mirror keeps per node.

    There are as many nodes of each size, in one large tree or in many small ones: what is read comes from equally far
    away, and only what keeps it differs. The sizes take turns, and the quickest round of each counts, since a machine
    is not always equally fast.
    """
    most = max(sizes)
    trees = {size: [planted(size) for _ in range(most // size)] for size in sizes}
    took = dict.fromkeys(sizes, math.inf)
    slow = slowness()
    for _ in range(ROUNDS):
        for size in sizes:
            seconds = 0.0
            for tree in trees[size]:
                walked, seen = walk(tree)
                assert len(seen.picture.nodes) == size
                seconds += walked
            took[size] = min(took[size], seconds / most * 1e6)
        slow = min(slow, slowness())
    return {size: (took[size] / slow, kept(trees[size][0]) / size) for size in sizes}


def planted(size: int) -> Tree:
    """Return a tree with so many nodes."""
    tree = Tree(Eager())
    writer = MemoryStore(tree)
    writer.start()
    for path in (paths.ROOT, paths.NODES, paths.REQUESTS, paths.OURS):
        writer.submit([Commit((Create(path),))], lambda answers: None)
    for number, node in enumerate(installation(size, 0).snapshot().nodes.nodes.values()):
        path = paths.node(NodeId(f"{number:010d}"))
        ops = (Create(path, encode_node(node)), Create(f"{path}/lock"))
        writer.submit([Commit(ops)], lambda answers: None)
    return tree


def walk(tree: Tree) -> tuple[float, Mirror]:
    """Walk a tree as a launcher does that starts: no path is known yet. Return the CPU seconds, and what was found."""
    paths.parse.cache_clear()
    letters: deque[Message] = deque()
    store = MemoryStore(tree)
    seen = Mirror(store, letters.append)
    began = time.process_time()
    seen.start()
    store.start()
    while letters:
        seen.take(letters.popleft())
    took = time.process_time() - began
    assert seen.complete
    return took, seen


def kept(tree: Tree) -> int:
    """Return how many bytes the mirror of a tree is."""
    gc.collect()
    tracemalloc.start()
    _, seen = walk(tree)
    paths.parse.cache_clear()
    gc.collect()
    bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen.complete
    return bytes
