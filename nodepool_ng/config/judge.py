"""A document against its schema: complaints about all that does not belong, and the model of what remains.

Strict validation and the daemons differ only in what they make of a complaint, so there is one pass: each error of
pydantic becomes a complaint, the document is mended there, and what remains is judged again until nothing is left to
complain about. What cannot be mended is taken out after its fatal complaint, so that the rest is still looked at.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from nodepool_ng.config.complaint import Complaint, Gravity
from nodepool_ng.config.document import Document, Loc
from nodepool_ng.config.kinds import AsWritten, Drop, Odd, Use

ROUNDS = 20
"""Each round mends one layer of the nesting, or more; a handful is enough."""

Model = TypeVar("Model", bound=BaseModel)


def judge(
    document: Document, model: type[Model], loc: Loc = (), *, unknown: Gravity = Gravity.REFUSED
) -> tuple[Model | None, list[Complaint]]:
    """Return the model of the value at `loc`, or None where none can be made, and everything wrong with it.

    The document is mended in place. `unknown` is the gravity of keys that the model does not have.
    """
    complaints: list[Complaint] = []
    told: dict[Entry, int] = {}
    for _ in range(ROUNDS):
        try:
            return model.model_validate(document.at(loc)), complaints
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
        cuts: dict[Entry, Any] = {}
        hopeless = False
        for details in found:
            where: Loc = loc + details["loc"]
            kind, odd = details["type"], _odd(model, details, unknown)
            entry = _entry(document, where) if where else None
            missing = kind == "missing"
            if missing and entry in told:
                # Its value was dropped in an earlier round, and nobody can do without it.
                complaints[told[entry]] = replace(complaints[told[entry]], gravity=Gravity.FATAL, meanwhile="")
            else:
                complaints.append(_complaint(document, where, odd, missing=missing, key=kind == "extra_forbidden"))
            if entry is not None:
                told.setdefault(entry, len(complaints) - 1)
            broken = where[:-1] if missing else where
            if odd.mend is None and len(broken) <= len(loc):
                hopeless = True
            else:
                _mend(document, broken, odd, cuts)
        if hopeless:
            return None, complaints
        for entry in sorted(cuts, key=_position, reverse=True):
            document.cut(cuts[entry], entry[1])
    raise AssertionError(f"mending does not end: {found}")


Entry: TypeAlias = tuple[int, int | str]
"""An entry of a container: the container's identity, since its index changes when others are cut, and the key. An
alias is the same entry in several places."""


def _entry(document: Document, loc: Loc) -> Entry:
    return id(document.at(loc[:-1])), loc[-1]


def _position(entry: Entry) -> int:
    return entry[1] if isinstance(entry[1], int) else -1


def _mend(document: Document, loc: Loc, odd: Odd, cuts: dict[Entry, Any]) -> None:
    match odd.mend:
        case Use(value=value):
            document.put(loc, value)
        case AsWritten():
            document.put(loc, document.written(loc))
        case Drop() | None:
            cuts[_entry(document, loc)] = document.at(loc[:-1])


def _complaint(document: Document, loc: Loc, odd: Odd, *, missing: bool = False, key: bool = False) -> Complaint:
    at = loc[:-1] if missing else loc
    return Complaint(
        place=document.place(at, key=key),
        gravity=odd.gravity,
        what=f"{document.path(at) or 'the file'} {odd.what}",
        remedy=odd.remedy,
        meanwhile=odd.mend.said if odd.mend else "",
        loc=loc,
    )


_NO_MAPPING = Odd("is not a mapping", "write keys with values", Gravity.FATAL, None)
PYDANTIC: Mapping[str, Odd] = MappingProxyType({"model_type": _NO_MAPPING, "dict_type": _NO_MAPPING})


def _odd(model: type[BaseModel], details: ErrorDetails, unknown: Gravity) -> Odd:
    loc = details["loc"]
    match details["type"]:
        case "odd":
            odd: Odd = details["ctx"]["odd"]
            return odd
        case "missing":
            return Odd(f"has no {loc[-1]}", f"add {loc[-1]}", Gravity.FATAL, None)
        case "extra_forbidden":
            near = difflib.get_close_matches(str(loc[-1]), known_keys(model, loc[:-1]), 1)
            return Odd("is not a known key", f"did you mean {near[0]}?" if near else "remove it", unknown, Drop())
        case kind:
            return PYDANTIC.get(kind, Odd(f"is wrong: {details['msg']}", "correct it", Gravity.FATAL, None))


def known_keys(model: type[BaseModel], loc: tuple[int | str, ...] = ()) -> list[str]:
    """Return the keys that the mapping at `loc` of a model may have."""
    for step in loc:
        fields = {field.alias: field.annotation for field in model.model_fields.values()}
        model = next(nested_models(fields.get(str(step))), model) if isinstance(step, str) else model
    return [field.alias for field in model.model_fields.values() if field.alias]


def nested_models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in a field's annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from nested_models(inner)
