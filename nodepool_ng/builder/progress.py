"""How far a build has come, read off its log as diskimage-builder writes it. Pure: text goes in.

A wrapper around diskimage-builder, or another program, may write anything: then there is no phase, and that is all.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

TAIL = 64 * 1024
"""Characters of a log that are kept to be shown."""

_STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? \| ")
_RUNNING = re.compile(r"^dib-run-parts Running (?:\S*/)?(?P<phase>[a-z-]+\.d)/(?P<hook>\S+)$")
_ELEMENTS = re.compile(r"^Expanded element dependencies to: (?P<names>.+)$")
_CONVERTING = re.compile(r"^Converting image using (?P<tool>\S+)")
_CREATED = re.compile(r"^Image file \S+\.(?P<format>[a-z0-9]+) created")

CONVERSION = "conversion"
"""What comes after the last phase."""


@dataclass(slots=True)
class LogStory:
    """What the log of one build has told so far."""

    phase: str = ""
    hook: str = ""
    elements: tuple[str, ...] = ()
    hooks_run: int = 0
    length: int = 0
    """Characters of the whole log so far."""
    tail: str = ""
    """The last of them."""
    _rest: str = field(default="", repr=False)

    def hear(self, text: str) -> None:
        """Take in what was written since the last time; it may end in the middle of a line."""
        self.length += len(text)
        self.tail = (self.tail + text)[-TAIL:]
        *lines, self._rest = (self._rest + text).split("\n")
        self._rest = self._rest[-TAIL:]
        for line in lines:
            self._line(_STAMP.sub("", line))

    def _line(self, line: str) -> None:
        if match := _RUNNING.match(line):
            self.phase, self.hook = match["phase"], match["hook"]
            self.hooks_run += 1
        elif match := _ELEMENTS.match(line):
            self.elements = tuple(match["names"].split())
        elif match := _CONVERTING.match(line):
            self.phase, self.hook = CONVERSION, match["tool"]
        elif match := _CREATED.match(line):
            self.phase, self.hook = CONVERSION, match["format"]


def element_of(phase: str, hook: str, elements: Iterable[str], has: Callable[[str], bool]) -> str | None:
    """Return the element that a hook comes from; `has` is asked for `<element>/<phase>/<hook>`.

    No two elements of one build have a hook of the same name in the same phase: diskimage-builder refuses that.
    """
    return next((name for name in elements if has(f"{name}/{phase}/{hook}")), None)


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast something goes that is counted in bytes."""

    done: int
    total: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds until it is done at this speed; None while nobody knows."""
        return (self.total - self.done) / self.per_second if self.per_second > 0 and self.total else None
