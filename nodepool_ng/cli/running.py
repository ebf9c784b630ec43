"""Running a build in the foreground: its log line by line to whoever listens, Ctrl-C to its end."""

import contextlib
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator

from nodepool_ng.builder import dib, leftovers
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.listing.table import printable

KEPT = 100
"""Lines of the log that are kept to be shown when it fails."""


def run_here(order: dib.BuildOrder, hear: Callable[[str], bool]) -> tuple[dib.BuildResult, list[str]]:
    """Build, and return what came of it with the last lines of the log that `hear` thought worth keeping.

    Raises:
        Failed: the build could not be started.
    """
    order.log.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(order.log, 0o600)
    # not waiting for a writer: there may never be one
    reading = os.open(order.log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    kept: deque[str] = deque(maxlen=KEPT)
    with open(reading, encoding="utf-8", errors="replace") as lines, contextlib.ExitStack() as after:
        after.callback(order.log.unlink, missing_ok=True)
        try:
            running = dib.start(order, os.environ)
        except (OSError, ValueError) as error:
            raise Failed(f"The build could not be started: {printable(str(error))}.") from None
        os.set_blocking(reading, True)

        def listen() -> None:
            kept.extend(line for line in lines if hear(line))

        listening = threading.Thread(target=listen, name="log", daemon=True)
        listening.start()
        with _ending_on_signals(running):
            result = running.wait()
        listening.join(leftovers.COMMAND_TIMEOUT)
        return result, list(kept)


@contextlib.contextmanager
def _ending_on_signals(running: dib.RunningBuild) -> Iterator[None]:
    """Let Ctrl-C and TERM end the build, which then cleans up, rather than us."""
    before = {
        number: signal.signal(number, lambda *_: running.cancel(by_order=True))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
