"""The threads that call clouds: as many as there is work for, within their limits, and none is waited for."""

import queue
import threading
import time
from typing import Any

from nodepool_ng.drivers import Throttled, Unavailable
from nodepool_ng.drivers.calls import Remove
from nodepool_ng.model.clock import SystemClock
from nodepool_ng.model.ids import ProviderName, ServerId
from nodepool_ng.model.pace import MOST_THREADS
from nodepool_ng.shell import api_threads
from nodepool_ng.shell.api_threads import BUDGET, LEAST, ApiThreads

PATIENCE = 10.0
NORTH, SOUTH = ProviderName("north"), ProviderName("south")


class Cloud:
    """Lets calls go only once so many are made at the same time."""

    def __init__(self, together: int) -> None:
        self.together = threading.Barrier(together)

    def connect(self) -> None: ...

    def delete_server(self, server: ServerId) -> None:
        try:
            self.together.wait(PATIENCE)
        except threading.BrokenBarrierError:
            raise Unavailable("too few came") from None


def calling(**clouds: Any) -> ApiThreads:
    threads = ApiThreads(SystemClock())
    threads.use({ProviderName(name): cloud for name, cloud in clouds.items()})
    return threads


def test_calls_that_are_queued_at_once_are_all_made_at_once():
    threads, answers = calling(north=Cloud(MOST_THREADS)), queue.SimpleQueue[Any]()
    for number in range(MOST_THREADS):
        threads.submit(NORTH, Remove(ServerId(str(number))), answers.put)
    assert [answers.get(timeout=PATIENCE) for _ in range(MOST_THREADS)] == [None] * MOST_THREADS
    assert threads.threads == MOST_THREADS
    threads.stop()


def test_a_thread_that_is_free_makes_the_next_call():
    threads, answers = calling(north=Cloud(1)), queue.SimpleQueue[Any]()
    for number in range(20):
        threads.submit(NORTH, Remove(ServerId(str(number))), answers.put)
        assert answers.get(timeout=PATIENCE) is None
    assert threads.threads < 10, "one that has just answered may not be back for the next call yet, but most are"
    threads.stop()


def test_a_provider_has_a_few_threads_even_when_another_uses_up_the_budget():
    clouds = {f"greedy{n}": Cloud(10_000) for n in range(2)}
    threads, answers = calling(south=Cloud(LEAST), **clouds), queue.SimpleQueue[Any]()
    for name in clouds:
        for number in range(MOST_THREADS + 1):
            threads.submit(ProviderName(name), Remove(ServerId(str(number))), lambda _: None)
    for number in range(LEAST):
        threads.submit(SOUTH, Remove(ServerId(str(number))), answers.put)
    assert [answers.get(timeout=PATIENCE) for _ in range(LEAST)] == [None] * LEAST
    assert threads.threads <= BUDGET + LEAST
    for cloud in clouds.values():
        cloud.together.abort()
    threads.stop()


def test_whoever_stops_answers_what_was_not_begun():
    threads, answers = calling(north=(cloud := Cloud(10_000))), queue.SimpleQueue[Any]()
    for number in range(MOST_THREADS * 2):
        threads.submit(NORTH, Remove(ServerId(str(number))), answers.put)
    threads.stop()
    said = [answers.get(timeout=PATIENCE) for _ in range(MOST_THREADS)]
    assert {str(each) for each in said} == {"the process is stopping"}
    threads.submit(NORTH, Remove(ServerId("late")), answers.put)
    assert isinstance(answers.get(timeout=PATIENCE), Unavailable)
    cloud.together.abort()


def test_a_call_that_waits_for_a_pause_to_end_is_answered_by_whoever_stops():
    calls = []

    class Busy:
        def connect(self) -> None: ...

        def delete_server(self, server: ServerId) -> None:
            calls.append(server)
            raise Throttled("too often", retry_after=60.0)

    threads, answers = calling(north=Busy()), queue.SimpleQueue[Any]()
    threads.submit(NORTH, Remove(ServerId("first")), answers.put)
    assert isinstance(answers.get(timeout=PATIENCE), Throttled)
    threads.submit(NORTH, Remove(ServerId("second")), answers.put)
    threads.stop()
    assert str(answers.get(timeout=PATIENCE)) == "the process is stopping"
    assert calls == ["first"]


def test_after_a_short_pause_calls_are_made():
    class Busy:
        pauses = 1

        def connect(self) -> None: ...

        def delete_server(self, server: ServerId) -> None:
            if self.pauses:
                self.pauses -= 1
                raise Throttled("too often", retry_after=0.05)

    threads, answers = calling(north=Busy()), queue.SimpleQueue[Any]()
    threads.submit(NORTH, Remove(ServerId("first")), answers.put)
    assert isinstance(answers.get(timeout=PATIENCE), Throttled)
    began = time.monotonic()
    threads.submit(NORTH, Remove(ServerId("second")), answers.put)
    assert answers.get(timeout=PATIENCE) is None
    assert time.monotonic() - began > 0.02
    threads.stop()


def test_threads_without_work_end_and_come_back(monkeypatch):
    monkeypatch.setattr(api_threads, "IDLE", 0.01)
    threads, answers = calling(north=Cloud(1)), queue.SimpleQueue[Any]()
    for _ in range(3):
        threads.submit(NORTH, Remove(ServerId("any")), answers.put)
        assert answers.get(timeout=PATIENCE) is None
        deadline = time.monotonic() + PATIENCE
        while threads.threads and time.monotonic() < deadline:
            time.sleep(0.005)
        assert threads.threads == 0
    threads.stop()
