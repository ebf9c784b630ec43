"""How a daemon keeps its memory: one heap for all threads, and a collector that looks at what is new."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Mapping

import pytest

PROGRAM = """
import ctypes, sys, threading
from nodepool_ng.daemon.process import share_one_heap

if sys.argv[1] == "shared":
    share_one_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fdopen.restype = ctypes.c_void_p
all_there = threading.Barrier(5)

def take():
    all_there.wait()
    libc.malloc(1000)
    all_there.wait()

threads = [threading.Thread(target=take) for _ in range(4)]
for thread in threads:
    thread.start()
all_there.wait()
all_there.wait()
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


def heaps(how: str, env: Mapping[str, str]) -> int:
    told = subprocess.run([sys.executable, "-c", PROGRAM, how], env=dict(env), capture_output=True, check=True)
    return told.stdout.count(b"<heap nr=")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="the C library is not glibc")
def test_all_threads_share_one_heap_unless_the_environment_says_otherwise() -> None:
    assert heaps("own", {}) > 1
    assert heaps("shared", {}) == 1
    assert heaps("shared", {"MALLOC_ARENA_MAX": "3"}) == 3


COLLECTING = """
import gc, weakref
from nodepool_ng.daemon.process import collect_garbage_seldom

class Knot:
    def __init__(self):
        self.me = self

def collections():
    return [stats["collections"] for stats in gc.get_stats()]

before = weakref.ref(Knot())
collect_garbage_seldom()
assert before() is None
assert not gc.get_objects(), "what was there is looked at again"
began = collections()
kept = [[] for _ in range(5000)]
assert collections() == began, "the collector ran for a few thousand objects"
kept = [[] for _ in range(20000)]
assert collections()[0] > began[0], "the collector never runs"
after = weakref.ref(Knot())
gc.collect()
assert after() is None, "what came later is not collected"
"""


def test_collections_leave_out_what_a_daemon_is_made_of() -> None:
    subprocess.run([sys.executable, "-c", COLLECTING], check=True)
