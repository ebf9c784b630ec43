"""YAML as plain values that know where they were written.

PyYAML's safe loader returns values without places, its node graph recurses as deep as the file says. So this module
builds values from the parser's events, and differs from the safe loader in four points, each of them on purpose: keys
are always text (`NO: x` in `env-vars` is the variable NO), a date stays the text it was written as, a key written twice
is noted, and nesting and aliases that only an attack or an accident would produce are refused.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import yaml

from nodepool_ng.config.complaint import Complaint, ConfigError, Gravity, Place
from nodepool_ng.config.source import Source, encodable

Loc: TypeAlias = tuple[int | str, ...]
"""The way from the root to a value: keys and list indexes."""

DEEPEST = 60
"""Levels of nesting; a configuration has about eight."""
LARGEST = 2_000_000
"""Values once all aliases are expanded; ten thousand labels in a hundred pools are half of this."""

_TAG = "tag:yaml.org,2002:"
_MERGE = _TAG + "merge"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONSTRUCT = yaml.constructor.SafeConstructor()
_RESOLVE = yaml.resolver.Resolver()


def _text(node: yaml.ScalarNode) -> str:
    return str(node.value)


SCALARS: Mapping[str, Callable[[yaml.ScalarNode], object]] = {
    _TAG + "null": _CONSTRUCT.construct_yaml_null,
    _TAG + "bool": _CONSTRUCT.construct_yaml_bool,
    _TAG + "int": _CONSTRUCT.construct_yaml_int,
    _TAG + "float": _CONSTRUCT.construct_yaml_float,
    _TAG + "str": _text,
    _TAG + "timestamp": _text,
    _TAG + "value": _text,
    _MERGE: _text,
}


@dataclass(frozen=True, slots=True)
class Spot:
    """Where one value of a container is: offsets of its key (of the value itself in a list) and of its value, the
    scalar as written ("" for a container), and for a list's entry its index in the file."""

    key: int
    value: int
    text: str = ""
    number: int = 0


@dataclass(slots=True)
class Document:
    """A parsed file. `root` may be mended in place, entries that were cut out do not move the places of others."""

    source: Source
    root: object = None
    start: int = 0
    spots: dict[int, dict[int | str, Spot]] = field(default_factory=dict)
    """By identity of the container, which lives as long as the document, then by key or index."""
    notes: list[Complaint] = field(default_factory=list)

    def at(self, loc: Loc) -> Any:
        """Return the value at `loc`; `LookupError` where nothing is."""
        value: Any = self.root
        for step in loc:
            value = value[step]
        return value

    def place(self, loc: Loc, *, key: bool = False) -> Place:
        """Return where the value (or its key) at `loc` was written; where it is missing, what it is missing from."""
        spot = self._spot(loc)
        offset = self.start if spot is None else spot.key if key else spot.value
        return self.source.place(offset)

    def written(self, loc: Loc) -> str:
        """Return a scalar as it stands in the file, without quotes."""
        spot = self._spot(loc)
        return spot.text if spot else ""

    def path(self, loc: Loc) -> str:
        """Return `loc` as operators say it: `providers[east].pools[main].max-servers`."""
        value: Any = self.root
        said = ""
        for step in loc:
            spots = self.spots.get(id(value), {})
            value = _step(value, step)
            if isinstance(step, str):
                said += f".{step}" if said else step
                continue
            name = value.get("name") if isinstance(value, dict) else None
            said += f"[{name}]" if isinstance(name, str) else f"[{spots[step].number if step in spots else step}]"
        return said

    def put(self, loc: Loc, value: object) -> None:
        """Replace the value at `loc`; a new list's entries stand where the old value stood."""
        holder, spot = self.at(loc[:-1]), self._spot(loc)
        holder[loc[-1]] = value
        if isinstance(value, list) and spot is not None:
            self.spots[id(value)] = dict.fromkeys(range(len(value)), spot)

    def cut(self, holder: Any, last: int | str) -> None:
        """Take an entry of a container away."""
        spots = self.spots.get(id(holder), {})
        if isinstance(holder, dict):
            holder.pop(last, None)
        elif isinstance(last, int) and last < len(holder):
            del holder[last]
            kept = [spot for step, spot in sorted(spots.items(), key=lambda item: item[0]) if step != last]
            self.spots[id(holder)] = dict(enumerate(kept))

    def _spot(self, loc: Loc) -> Spot | None:
        value: Any = self.root
        found = None
        for step in loc:
            spot = self.spots.get(id(value), {}).get(step)
            if spot is None:
                return found
            found, value = spot, _step(value, step)
        return found


def _step(value: Any, step: int | str) -> Any:
    try:
        return value[step]
    except (LookupError, TypeError):
        return None


def parse(source: Source) -> Document:
    """Return the values of a file; an empty one is None.

    Raises:
        ConfigError: it is not YAML, or not the part of it that a configuration may use.
    """
    document = Document(source)
    document.notes += (
        Complaint(
            place=source.place(offset),
            gravity=Gravity.NOTE,
            what=f"the environment has no variable {name}",
            remedy="set it, or remove the token",
            meanwhile="the token stays as it is",
        )
        for name, offset in source.unset
    )
    if not encodable(source.text):
        _refuse(source, 0, "the text has characters that are not Unicode", "save it as UTF-8")
    try:
        _Composer(document, yaml.parse(source.text, Loader=_LOADER)).compose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(filter(None, [error.context, error.problem]))
        _refuse(source, mark.index if mark else 0, f"this is not YAML: {problem}", "correct the syntax")
    except yaml.reader.ReaderError as error:
        _refuse(source, error.position, f"this is not YAML: {error.reason}", "remove the character")
    return document


def _refuse(source: Source, offset: int, what: str, remedy: str) -> NoReturn:
    raise ConfigError([Complaint(place=source.place(offset), gravity=Gravity.FATAL, what=what, remedy=remedy)])


@dataclass(frozen=True, slots=True)
class _Found:
    value: Any
    offset: int
    text: str = ""
    tag: str = ""
    size: int = 1


def _at(event: yaml.Event) -> int:
    return event.start_mark.index if event.start_mark else 0


class _Composer:
    """Builds the values of one document out of parser events."""

    def __init__(self, document: Document, events: Iterator[yaml.Event]) -> None:
        self._document = document
        self._events = events
        self._anchors: dict[str, _Found | None] = {}

    def compose(self) -> None:
        begun = False
        for event in self._events:
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            if begun:
                self._refuse(event, "a second YAML document starts here", "keep one document in the file")
            begun = True
            found = self._value(next(self._events), 0)
            self._document.root, self._document.start = found.value, found.offset

    def _value(self, event: yaml.Event, depth: int) -> _Found:
        if depth > DEEPEST:
            self._refuse(event, f"this is nested more than {DEEPEST} levels deep", "make it flatter")
        match event:
            case yaml.AliasEvent(anchor=str(name)):
                known = self._anchors.get(name, ...)
                if known is ...:
                    self._refuse(event, f"there is no anchor &{name} above this alias", "define it before its use")
                if known is None:
                    self._refuse(event, f"the anchor &{name} contains itself", "take the alias out")
                return known
            case yaml.ScalarEvent():
                found = self._scalar(event)
            case yaml.SequenceStartEvent():
                self._open(event)
                found = self._sequence(event, depth)
            case yaml.MappingStartEvent():
                self._open(event)
                found = self._mapping(event, depth)
            case _:
                raise AssertionError(event)
        if found.size > LARGEST:
            self._refuse(event, "the aliases in here expand beyond all reason", "write it without them")
        if event.anchor:
            self._anchors[event.anchor] = found
        return found

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        if event.anchor:
            self._anchors[event.anchor] = None
        kind = "seq" if isinstance(event, yaml.SequenceStartEvent) else "map"
        if event.tag not in (None, "!", _TAG + kind):
            self._refuse(event, f"the tag {event.tag} means nothing here", "remove it")

    def _scalar(self, event: yaml.ScalarEvent) -> _Found:
        tag = event.tag
        if tag in (None, "!"):
            tag = _RESOLVE.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
        if tag not in SCALARS:
            self._refuse(event, f"the tag {tag} means nothing here", "remove it")
        if not encodable(event.value):
            self._refuse(event, "the text has characters that are not Unicode", "remove them")
        try:
            value = SCALARS[tag](yaml.ScalarNode(tag, event.value))
        except (ValueError, LookupError):
            self._refuse(event, f"this cannot be read as {tag.removeprefix(_TAG)}", "put it in quotes if it is text")
        return _Found(value, _at(event), event.value, tag)

    def _sequence(self, event: yaml.SequenceStartEvent, depth: int) -> _Found:
        values: list[object] = []
        spots: dict[int | str, Spot] = {}
        size = 1
        while not isinstance(event_ := next(self._events), yaml.SequenceEndEvent):
            found = self._value(event_, depth + 1)
            spots[len(values)] = Spot(_at(event_), _at(event_), found.text, len(values))
            values.append(found.value)
            size += found.size
        self._document.spots[id(values)] = spots
        return _Found(values, _at(event), size=size)

    def _mapping(self, event: yaml.MappingStartEvent, depth: int) -> _Found:
        values: dict[str, object] = {}
        spots: dict[int | str, Spot] = {}
        merged: list[dict[str, object]] = []
        size = 1
        while not isinstance(event_ := next(self._events), yaml.MappingEndEvent):
            key = self._value(event_, depth + 1)
            value_event = next(self._events)
            found = self._value(value_event, depth + 1)
            size += found.size
            if key.tag == _MERGE:
                merged += self._merged(value_event, found.value)
                continue
            if not key.tag:
                self._refuse(event_, "a list or mapping cannot be a key", "write a plain word")
            if key.text in values:
                self._note_twice(event_, key.text, spots[key.text])
            values[key.text] = found.value
            spots[key.text] = Spot(_at(event_), _at(value_event), found.text)
        for base in merged:
            for name in [name for name in base if name not in values]:
                values[name] = base[name]
                spots[name] = self._document.spots[id(base)][name]
        self._document.spots[id(values)] = spots
        return _Found(values, _at(event), size=size)

    def _merged(self, event: yaml.Event, value: Any) -> list[dict[str, object]]:
        bases = value if isinstance(value, list) else [value]
        if not all(isinstance(base, dict) for base in bases):
            self._refuse(event, "only mappings can be merged with <<", "name the anchor of a mapping")
        return bases

    def _note_twice(self, event: yaml.Event, key: str, first: Spot) -> None:
        place = self._document.source.place
        self._document.notes.append(
            Complaint(
                place=place(_at(event)),
                gravity=Gravity.NOTE,
                what=f"the key {key} is written twice, first in line {place(first.key).line}",
                remedy="keep one of them",
                meanwhile="the last one counts",
            )
        )

    def _refuse(self, event: yaml.Event, what: str, remedy: str) -> NoReturn:
        _refuse(self._document.source, _at(event), what, remedy)
