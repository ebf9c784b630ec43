"""What a service is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from devstack.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service: a program that runs until it is stopped.

    `needs` names services that must be up before; `up` tells whether it answers; `runs_in` whether it belongs to a
    place at all.
    """

    name: str
    argv: Callable[[Place], Sequence[str]]
    up: Callable[[Place], bool]
    needs: tuple[str, ...] = ()
    env: Callable[[Place], Mapping[str, str]] = field(default=lambda _: MappingProxyType({}))
    runs_in: Callable[[Place], bool] = field(default=lambda _: True)
