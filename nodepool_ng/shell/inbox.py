"""Letters to the thread that owns the data."""

from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

Message = TypeVar("Message")


class Inbox(Generic[Message]):
    """Unbounded on purpose: every letter answers something that is bounded itself (verbs under way, API threads,
    watched znodes that changed), and dropping one would lose an answer."""

    def __init__(self) -> None:
        self._messages: SimpleQueue[Message] = SimpleQueue()
        self.post = self._messages.put
        """Put a letter in, from any thread."""

    def take(self, timeout: float | None) -> list[Message]:
        """Return all letters there are, in order; wait up to `timeout` seconds for the first (None: for ever)."""
        taken = []
        try:
            taken.append(self._messages.get(timeout=timeout))
            while True:
                taken.append(self._messages.get_nowait())
        except Empty:
            return taken

    def __len__(self) -> int:
        return self._messages.qsize()
