"""The kinds of values that configuration keys have: what each accepts, and what it tolerates as what.

Nodepool 11 checks types in its validator only; its daemons take a value as it is. So each kind says, for a value that
does not belong, how strict validation judges it and how the daemons mend it. A mended value is of the right kind.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import Formatter
from types import MappingProxyType
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import BeforeValidator, PlainValidator
from pydantic_core import PydanticCustomError

from nodepool_ng.config.complaint import Gravity
from nodepool_ng.model.ids import Json


@dataclass(frozen=True, slots=True)
class Use:
    """Take this value in place of the one written."""

    value: Any
    said: str


@dataclass(frozen=True, slots=True)
class AsWritten:
    """Take the characters of the file as text."""

    said: str = "it is taken as written"


@dataclass(frozen=True, slots=True)
class Drop:
    """Go on as if the key were not there."""

    said: str = "it is ignored"


Mend: TypeAlias = "Use | AsWritten | Drop | None"
"""None: there is no way to go on with this."""


@dataclass(frozen=True, slots=True)
class Odd:
    """What does not belong about a value. `what` continues a sentence that starts with the path."""

    what: str
    remedy: str
    gravity: Gravity = Gravity.REFUSED
    mend: Mend = Drop()


def odd(what: str, remedy: str, gravity: Gravity = Gravity.REFUSED, mend: Mend = Drop()) -> PydanticCustomError:
    """Return the exception by which a kind refuses a value."""
    return PydanticCustomError(
        "odd", "odd", {"odd": Odd(what, remedy, Gravity.FATAL if mend is None else gravity, mend)}
    )


KINDS: Mapping[type, str] = MappingProxyType(
    {
        bool: "a yes/no value",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a mapping",
        type(None): "empty",
    }
)
FLAG_WORDS: Mapping[str, bool] = MappingProxyType(
    dict.fromkeys(("true", "yes", "on", "y", "1"), True) | dict.fromkeys(("false", "no", "off", "n", "0", ""), False)
)
IMAGE_NAME_PARTS = MappingProxyType({"image_name": "name", "upload_id": "0000000001", "timestamp": "1700000000"})
_NUMBER = re.compile(r"\s*[+-]?\d{1,15}(\.\d{1,15})?\s*", re.ASCII)
_SPEC = re.compile(r"[^{}]{0,4}")
"""A longer format specification could make a name of gigabytes."""
LARGEST = 2**53
"""The last whole number up to which a float is exact."""
_NEED_LIST = "write a list of entries"


def _is(value: object) -> str:
    return KINDS[type(value)]


def number(value: Any, *, unusable: Mend, word: str) -> int | float:
    """Return a number for anything that means one.

    Raises:
        PydanticCustomError: it is something else, or written as something else.
    """
    match value:
        case bool():
            said = f"it counts as {int(value)}"
            raise odd(f"is a yes/no value, not {word}", f"write {int(value)}", Gravity.NOTE, Use(int(value), said))
        case int() | float():
            return value
        case str() if _NUMBER.fullmatch(value):
            meant = float(value) if "." in value else int(value)
            raise odd(f"is text, not {word}", "take the quotes away", mend=Use(meant, f"it is read as {meant:g}"))
        case _:
            raise odd(f"is {_is(value)}, not {word}", f"write {word}, or remove the key", mend=unusable)


def whole(*, low: int = -LARGEST, high: int = LARGEST, unusable: Mend = Drop()) -> Callable[[object], int]:
    """Return the kind of whole numbers within bounds. `unusable` mends what is none, or is out of bounds."""

    def check(value: object) -> int:
        amount = number(value, unusable=Drop() if value is None and unusable else unusable, word="a whole number")
        if not isinstance(amount, int):
            if not math.isfinite(amount):
                endless = Drop() if amount == math.inf else unusable or Drop()
                raise odd("is not finite", "write a whole number, or remove the key", mend=endless)
            near = int(amount)
            raise odd("has a fraction", f"write {near}", mend=Use(near, f"it is read as {near}"))
        if not low <= amount <= high:
            bound = f"{low} or more" if amount < low else f"{high} or less"
            mend = Drop() if amount > high else unusable or Drop()
            raise odd("is too small" if amount < low else "is too large", f"write {bound}", mend=mend)
        return amount

    return check


def number_in_effect(*, quoted: bool, low: float) -> Callable[[object], float]:
    """Return the kind of numbers that Nodepool 11 converts when it loads, so that junk is fatal there and here.
    `quoted`: text with a number in it is fine."""

    def check(value: object) -> float:
        if quoted and isinstance(value, str) and _NUMBER.fullmatch(value):
            value = float(value)
        amount = number(value, unusable=None, word="a number")
        if not low <= amount <= LARGEST:
            raise odd("is out of bounds", f"write a number of {low:g} or more")
        return float(amount)

    return check


@dataclass(frozen=True, slots=True)
class Timed:
    """An entry of a timetable."""

    cron: str
    min_ready: int


def min_ready(value: object) -> int | tuple[Timed, ...]:
    """A whole number, or a timetable: entries of `cron` and `min-ready`. Nodepool 11 has no timetables, so there is
    nothing to be lenient for: one that cannot be understood stops the reload."""
    if not isinstance(value, list):
        return whole()(value)
    return tuple(_timed(number, entry) for number, entry in enumerate(value, 1))


def _timed(number: int, entry: object) -> Timed:
    # Commands read configurations without timetables, too, and should not wait for this library.
    from apscheduler.triggers.cron import CronTrigger

    match entry:
        case {"cron": str(cron), "min-ready": int(count), **rest} if not rest and not isinstance(count, bool):
            pass
        case _:
            raise odd(
                f"has an entry ({number}) that is none of a timetable",
                "write `cron` and `min-ready` in each",
                mend=None,
            )
    if count < 0:
        raise odd(f"has an entry ({number}) with a negative number", "write 0 or more", mend=None)
    try:
        CronTrigger.from_crontab(cron, timezone="UTC")
    except (ValueError, LookupError):
        remedy = "write minute, hour, day, month and day of the week, as in `0 8 * * mon-fri`"
        raise odd(f"has an entry ({number}) whose `cron` cannot be understood", remedy, mend=None) from None
    return Timed(cron, count)


def flag(value: object) -> bool:
    match value:
        case bool():
            return value
        case None:
            raise odd("is empty", "write true or false, or remove the key")
        case _:
            meant = FLAG_WORDS.get(value.strip().lower(), True) if isinstance(value, str) else bool(value)
            said = f"it counts as {str(meant).lower()}"
            raise odd(f"is {_is(value)}, not true or false", f"write {str(meant).lower()}", mend=Use(meant, said))


def text(value: object) -> str:
    match value:
        case str():
            return value
        case bool() | int() | float():
            raise odd(f"is {_is(value)}, not text", "put it in quotes", mend=AsWritten())
        case _:
            raise odd(f"is {_is(value)}, not text", "write text, or remove the key")


def release(value: object) -> str:
    """A release may be a number: 9 means "9"."""
    whole_number = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST
    return str(value) if whole_number else text(value)


def image_name_format(value: object) -> str:
    """Text whose placeholders are those that an upload's name is made from."""
    template = text(value)
    try:
        fields = [(name, spec or "") for _, name, spec, _ in Formatter().parse(template) if name is not None]
        if all(name in IMAGE_NAME_PARTS and _SPEC.fullmatch(spec) for name, spec in fields):
            template.format(**IMAGE_NAME_PARTS)
            return template
    except (ValueError, LookupError):
        pass
    known = ", ".join(f"{{{name}}}" for name in IMAGE_NAME_PARTS)
    raise odd("has placeholders that an upload cannot fill", f"use only {known}")


def texts(value: object) -> object:
    """A list of texts, or one text alone; each entry is judged by itself later."""
    match value:
        case list():
            return value
        case bool() | int() | float() | str():
            raise odd(f"is {_is(value)}, not a list", "write it as a list", mend=Use([value], "it is a list of one"))
        case _:
            raise odd(f"is {_is(value)}, not a list", "write a list, or remove the key")


def words(value: object) -> object:
    """A list of texts, or a text of words separated by blanks."""
    return value.split() if isinstance(value, str) else texts(value)


def one_or_more(value: object) -> object:
    """A list of texts, or one text which is an entry."""
    return [value] if isinstance(value, str) else texts(value)


def mapping(value: object) -> object:
    if isinstance(value, dict):
        return value
    what = f"is {_is(value)}, not a mapping"
    raise odd(what, "write keys with values, or remove the key", mend=Drop() if value is None else None)


def properties(value: object) -> dict[str, Json]:
    """Any mapping; what JSON has no word for (infinity) becomes text."""
    checked = mapping(value)
    assert isinstance(checked, dict)
    return {name: _jsonable(entry) for name, entry in checked.items()}


def _jsonable(value: Any) -> Json:
    match value:
        case dict():
            return {name: _jsonable(entry) for name, entry in value.items()}
        case list():
            return [_jsonable(entry) for entry in value]
        case float() if not math.isfinite(value):
            return str(value)
        case _:
            return value  # type: ignore[no-any-return]


def listed(*, empty: Mend) -> Callable[[object], object]:
    """Return the kind of lists of mappings. `empty` mends a key without a value."""

    def check(value: object) -> object:
        if isinstance(value, list):
            return value
        raise odd(f"is {_is(value)}, not a list", _NEED_LIST, mend=empty if value is None else None)

    return check


Entry = TypeVar("Entry")
Entries = Annotated[tuple[Entry, ...], BeforeValidator(listed(empty=Drop("it counts as an empty list")))]
"""A list whose key may stand without a value."""
Listed = Annotated[tuple[Entry, ...], BeforeValidator(listed(empty=None))]
"""A list whose key needs a value: an empty one would delete what the list held before."""

Section = Annotated[Entry, BeforeValidator(mapping)]

Whole = Annotated[int, PlainValidator(whole())]
MinReady = Annotated[int | tuple[Timed, ...], PlainValidator(min_ready)]
Count = Annotated[int, PlainValidator(whole(low=0))]
_STOP = Use(0, "nothing is allowed")
Limit = Annotated[int | None, PlainValidator(whole(low=0, unusable=_STOP))]
"""A limit that cannot be understood allows nothing; that costs less than allowing everything."""
Servers = Annotated[int | None, PlainValidator(whole(unusable=_STOP))]
"""Like a limit; zero and less take a pool out of service."""
MaybeWhole = Annotated[int | None, PlainValidator(whole())]
MaybeCount = Annotated[int | None, PlainValidator(whole(low=0))]
Port = Annotated[int, PlainValidator(whole(low=1, high=65535))]
MaybePort = Annotated[int | None, PlainValidator(whole(low=1, high=65535))]
SurePort = Annotated[int | None, PlainValidator(whole(low=1, high=65535, unusable=None))]
SureCount = Annotated[int, PlainValidator(whole(low=0, unusable=None))]
"""The last two are numbers that Nodepool 11 converts when it loads."""
Rate = Annotated[float | None, PlainValidator(number_in_effect(quoted=True, low=0))]
Timeout = Annotated[float, PlainValidator(number_in_effect(quoted=False, low=0.1))]
Flag = Annotated[bool, PlainValidator(flag)]
MaybeFlag = Annotated[bool | None, PlainValidator(flag)]
Text = Annotated[str, PlainValidator(text)]
MaybeText = Annotated[str | None, PlainValidator(text)]
ImageNameFormat = Annotated[str, PlainValidator(image_name_format)]
Release = Annotated[str, PlainValidator(release)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(texts)]
MaybeTexts = Annotated[tuple[Text, ...] | None, BeforeValidator(texts)]
Words = Annotated[tuple[Text, ...], BeforeValidator(words)]
OneOrMore = Annotated[tuple[Text, ...], BeforeValidator(one_or_more)]
EnvVars = Annotated[dict[str, Text], BeforeValidator(mapping)]
Properties = Annotated[dict[str, Any], PlainValidator(properties)]
MaybeProperties = Annotated[dict[str, Any] | None, PlainValidator(properties)]
