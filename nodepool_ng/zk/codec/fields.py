"""Reading single keys of a JSON record: what is tolerated, what is a default, and what makes the record unusable.

Tolerated everywhere: an absent key, and a number written as a string. Anything else that is not of the key's type
raises `BadField`; records are never guessed at, since what was guessed would be written back.
"""

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar

from nodepool_ng.model.ids import Json
from nodepool_ng.model.node import NO_EXTRA

Record = Mapping[str, Json]
_S = TypeVar("_S", bound=StrEnum)
_T = TypeVar("_T", bound=str)


class BadField(Exception):
    """Why a record cannot be used, in half a sentence."""


def load(data: bytes) -> dict[str, Json]:
    """Return the JSON object in `data`; raise `BadField` when it is none."""
    try:
        record = json.loads(data.decode("utf-8"))
    except RecursionError:
        raise BadField("nested too deeply") from None
    except ValueError as error:
        raise BadField(f"not JSON: {error}") from None
    if not isinstance(record, dict):
        raise BadField("not a JSON object")
    return record


def dump(record: Mapping[str, object], *, sort_keys: bool = False) -> bytes:
    """Return the bytes that Nodepool 11 would write for the same values."""
    return json.dumps(record, sort_keys=sort_keys).encode("ascii")


def others(record: Record, known: Collection[str]) -> Mapping[str, Json]:
    """Return the keys that we do not know, to be kept when the record is written again."""
    unknown = {key: value for key, value in record.items() if key not in known}
    return MappingProxyType(unknown) if unknown else NO_EXTRA


def text(record: Record, key: str, default: str | None = None) -> str | None:
    """Return a string or null; the default stands for an absent key only."""
    value = record.get(key, default)
    if value is None or isinstance(value, str):
        return value
    raise BadField(f"{key}: expected a string, found {_shown(value)}")


def name(record: Record, key: str, kind: Callable[[str], _T]) -> _T | None:
    value = text(record, key)
    return None if value is None else kind(value)


def texts(record: Record, key: str) -> tuple[str, ...]:
    """Return a list of strings; null and absent are empty, a single string is a list of one (very old records)."""
    value = record.get(key)
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        strings = tuple(item for item in value if isinstance(item, str))
        if len(strings) == len(value):
            return strings
    raise BadField(f"{key}: expected a list of strings, found {_shown(value)}")


def number(record: Record, key: str, default: float = 0) -> float:
    """Return a finite number; null and absent are the default."""
    value = record.get(key)
    return default if value is None else _number(key, value)


def number_or_none(record: Record, key: str) -> float | None:
    value = record.get(key)
    return None if value is None else _number(key, value)


def whole(record: Record, key: str, default: int = 0) -> int:
    """Return an integer; null and absent are the default."""
    value = record.get(key)
    return default if value is None else _whole(key, value)


def whole_or_none(record: Record, key: str) -> int | None:
    value = record.get(key)
    return None if value is None else _whole(key, value)


def flag(record: Record, key: str, default: bool) -> bool:
    value = record.get(key)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    raise BadField(f"{key}: expected true or false, found {_shown(value)}")


def state(record: Record, known: Mapping[str, _S]) -> _S:
    """Return the record's state; one that is not in the table makes the record unusable."""
    value = record.get("state")
    found = known.get(value) if isinstance(value, str) else None
    if found is None:
        raise BadField("it has no state" if value is None else f"unknown state {_shown(value)}")
    return found


def by_word(states: Iterable[_S]) -> Mapping[str, _S]:
    return MappingProxyType({member.value: member for member in states})


def amounts(record: Record, key: str) -> Mapping[str, float] | None:
    """Return an object of finite numbers; a null amount is as good as none."""
    value = record.get(key)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadField(f"{key}: expected an object of numbers, found {_shown(value)}")
    return MappingProxyType({k: _number(f"{key}.{k}", v) for k, v in value.items() if v is not None})


def _number(key: str, value: Json) -> float:
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                raise BadField(f"{key}: expected a number, found {_shown(value)}") from None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value
    raise BadField(f"{key}: expected a number, found {_shown(value)}")


def _whole(key: str, value: Json) -> int:
    amount = _number(key, value)
    if isinstance(amount, float) and not amount.is_integer():
        raise BadField(f"{key}: expected an integer, found {_shown(value)}")
    return int(amount)


def _shown(value: Json) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
