"""The form of every answer; what shows it decides how it looks."""

from dataclasses import asdict, dataclass
from typing import Any

from nodepool_ng.explain.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Why:
    """One reason, and the pool or provider that it is about."""

    place: str
    code: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`summary` says in a sentence what is the case. `estimate` is None where there is none; `unknown` says why.
    `changes` would serve it, the smallest first."""

    kind: str
    name: str
    summary: str
    facts: tuple[tuple[str, str], ...] = ()
    why: tuple[Why, ...] = ()
    binding: tuple[str, ...] = ()
    ahead: tuple[str, ...] = ()
    estimate: Estimate | None = None
    unknown: str = ""
    changes: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Return values that JSON and YAML know."""
        found = asdict(self)
        for key in ("why", "binding", "ahead", "changes"):
            found[key] = list(found[key])
        found["facts"] = dict(self.facts)
        return found
