"""Letters to the thread that owns the data."""

import threading
from collections import deque
from typing import Generic, TypeVar

Message = TypeVar("Message")


class Inbox(Generic[Message]):
    """Unbounded on purpose: every letter answers something that is bounded itself (verbs under way, API threads,
    watched znodes that changed), and dropping one would lose an answer."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._arrived = threading.Event()

    def post(self, message: Message) -> None:
        """Put a letter in, from any thread."""
        self._messages.append(message)
        self._arrived.set()

    def take(self, timeout: float | None) -> list[Message]:
        """Return all letters there are, in order; wait up to `timeout` seconds for the first (None: for ever)."""
        if not self._messages:
            self._arrived.wait(timeout)
        self._arrived.clear()
        taken = []
        while self._messages:
            taken.append(self._messages.popleft())
        return taken

    def __len__(self) -> int:
        return len(self._messages)
