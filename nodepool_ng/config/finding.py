"""What the cross checks find, before it has a place."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nodepool_ng.config.complaint import Complaint, Gravity
from nodepool_ng.config.document import Document, Loc


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` continues a sentence that starts with the path of `loc`."""

    loc: Loc
    what: str
    remedy: str
    gravity: Gravity = Gravity.REFUSED
    meanwhile: str = ""
    key: bool = False
    """The key is at fault, not its value."""


def complaint(document: Document, finding: Finding) -> Complaint:
    """Return the complaint that an operator reads."""
    return Complaint(
        place=document.place(finding.loc, key=finding.key),
        gravity=finding.gravity,
        what=f"{document.path(finding.loc)} {finding.what}",
        remedy=finding.remedy,
        meanwhile=finding.meanwhile,
        loc=finding.loc,
    )


def twice(loc: Loc, names: Iterable[tuple[int, str]], key: str = "name") -> Iterator[Finding]:
    """Yield a finding for each entry of the list at `loc` whose name an earlier entry has."""
    seen: set[str] = set()
    for index, name in names:
        if name in seen:
            at = (*loc, index, key)
            what = f"is a name that an entry above has already: {name}"
            yield Finding(at, what, "give each its own name", meanwhile="the last one counts")
        seen.add(name)
