"""A blocking front of the Store, for commands that ask one thing after the other.

Not for daemons: their one thread may not wait for ZooKeeper.
"""

import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from nodepool_ng.model.ids import Seconds
from nodepool_ng.zk.store import Answers, Failure, News, Problem, SessionNews, SessionState, Store, Verb, path_of

CALL_TIMEOUT = 30.0  # seconds


def call(store: Store, verbs: Sequence[Verb], timeout: Seconds = CALL_TIMEOUT) -> Answers:
    """Send `verbs` and wait for their answers; after `timeout` they are failures that say so. Raises nothing."""
    answers: SimpleQueue[Answers] = SimpleQueue()
    store.submit(verbs, answers.put)
    try:
        return answers.get(timeout=timeout)
    except Empty:
        return tuple(Failure(Problem.TIMED_OUT, path_of(verb)) for verb in verbs)


def wait_connected(store: Store, timeout: Seconds) -> bool:
    """Wait until a store that was started is connected; tell whether it is. For stores that nobody else watches."""
    connected = threading.Event()

    def on_news(news: News) -> None:
        if isinstance(news, SessionNews) and news.state is SessionState.CONNECTED:
            connected.set()

    store.watch((), on_news)
    return connected.wait(timeout)
