"""How a process knows its own contenders among those of a lock directory."""

from collections.abc import Iterable

from nodepool_ng.zk.locks import in_order

_MARK = "__lock__"


def prefix(owner: str) -> str:
    """Return what to create, with a sequence, in a lock directory; `owner` is 32 hex digits of this process."""
    return f"{owner}{_MARK}"


def is_contender_of(owner: str, name: str) -> bool:
    return name.startswith(owner + _MARK)


def holder(names: Iterable[str]) -> str | None:
    """Return the contender that holds the lock, None where there is none."""
    return next(iter(in_order(names)), None)
