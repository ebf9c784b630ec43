"""What is wrong with a configuration, where, and what to do about it.

A complaint has one of three gravities, since two readers judge the same file: the daemons load whatever Nodepool 11
loads, `nodepool config-validate` is strict. Complaints name keys and names, never values that could be a secret.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Gravity(StrEnum):
    """The values are the words that operators read."""

    FATAL = "fatal"
    """Nobody can work with this: nothing is loaded."""
    REFUSED = "error"
    """Strict validation refuses it; the daemons carry on as the complaint's `meanwhile` says."""
    NOTE = "warning"
    """Accepted by both, and probably not what was meant."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a file as an editor counts it, from 1; line 0 stands for the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    place: Place
    gravity: Gravity
    what: str
    remedy: str = ""
    meanwhile: str = ""
    """What the daemons make of it as long as it is there."""
    loc: tuple[int | str, ...] = ()
    """Keys and list indexes that lead to it, empty where the file itself is meant."""

    def __str__(self) -> str:
        remedy = f"; {self.remedy}" if self.remedy else ""
        meanwhile = f" (until then {self.meanwhile})" if self.meanwhile else ""
        return _on_one_line(f"{self.place}: {self.gravity}: {self.what}{remedy}{meanwhile}")


def _on_one_line(text: str) -> str:
    return "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in text)


class ConfigError(Exception):
    """The configuration cannot be loaded. `complaints` has all that was found, not only the fatal ones."""

    def __init__(self, complaints: Iterable[Complaint]) -> None:
        self.complaints = tuple(complaints)
        super().__init__(render(self.complaints))


def render(complaints: Iterable[Complaint]) -> str:
    """Return the complaints as text, one to a line."""
    return "\n".join(str(complaint) for complaint in complaints)


def refused(complaints: Iterable[Complaint]) -> bool:
    """Tell whether strict validation fails (exit status 1)."""
    return any(complaint.gravity is not Gravity.NOTE for complaint in complaints)


def fatal(complaints: Iterable[Complaint]) -> bool:
    """Tell whether the daemons cannot load this."""
    return any(complaint.gravity is Gravity.FATAL for complaint in complaints)
