"""An operator's order to leave a provider alone at once, in force until it is taken back."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """What must not be done: create servers, delete servers. Nodes that are there are handed out all the same."""

    creates: bool
    deletes: bool

    def __or__(self, other: "Freeze") -> "Freeze":
        return Freeze(creates=self.creates or other.creates, deletes=self.deletes or other.deletes)


NOT_FROZEN = Freeze(creates=False, deletes=False)


def forbidden(freeze: Freeze) -> str:
    """Return what the order forbids, in words; "" for one that forbids nothing."""
    return " and ".join(word for word, on in (("created", freeze.creates), ("deleted", freeze.deletes)) if on)
