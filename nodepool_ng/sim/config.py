"""The file that describes the simulated clouds, and what is said when it is wrong.

    seed: 1
    clouds:
      acme:
        projects: [ci, other]
        defaults: {quota: {instances: 20}, latency: {calls: {server.create: 0.1}}}
        regions:
          north: {boot: {uniform: [2, 8]}}
          south: {boot: 60, ssh: true, faults: [{call: server.create, fate: error, probability: 0.02}]}

An empty file is one cloud `sim` with one region `RegionOne`. A file that cannot be used gets one sentence,
`file:line:column: where: what`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from nodepool_ng.sim.settings import RegionSettings, Settings

PathName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=60)]
OUR_WORDS = {"extra_forbidden": "there is no such setting", "missing": "this is needed"}
RESERVED_REGION = "identity"  # its place in the URL is taken by Keystone


class ConfigError(Exception):
    """The file cannot be used; the text says where and why."""


class CloudSettings(Settings):
    """A cloud: one user with access to all projects, and regions that start from `defaults`."""

    user: str = "ci"
    password: str = "simulated"
    projects: Annotated[tuple[PathName, ...], Field(min_length=1)] = ("ci", "other")
    token_life: Annotated[float, Field(gt=0)] = 86400.0
    defaults: RegionSettings = RegionSettings()
    regions: Annotated[Mapping[PathName, RegionSettings], Field(min_length=1)] = {"RegionOne": RegionSettings()}

    @model_validator(mode="before")
    @classmethod
    def _regions_start_from_defaults(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return {} if value is None else value
        defaults, regions = value.get("defaults") or {}, value.get("regions") or {"RegionOne": {}}
        if not isinstance(defaults, Mapping) or not isinstance(regions, Mapping):
            return value
        filled = {
            name: {**defaults, **(own or {})} if isinstance(own, Mapping | None) else own
            for name, own in regions.items()
        }
        return {**value, "defaults": defaults, "regions": filled}

    @model_validator(mode="after")
    def _no_reserved_names(self) -> Self:
        if RESERVED_REGION in self.regions:
            raise ValueError(f"a region cannot be called {RESERVED_REGION}")
        return self


class SimSettings(Settings):
    """The whole file."""

    seed: int = 1
    clouds: Annotated[Mapping[PathName, CloudSettings], Field(min_length=1)] = {"sim": CloudSettings()}

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, value: Any) -> Any:
        return {} if value is None else value


def load(path: Path) -> SimSettings:
    """Read a file; raises ConfigError."""
    try:
        return parse(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def parse(text: str, name: str = "<text>") -> SimSettings:
    """Read the text of a file called name; raises ConfigError."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_repeated_keys(root, name)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise ConfigError(f"{at}: this is not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: this is not YAML: {error}") from error
    try:
        return SimSettings.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where, mark_at = _place(root, first["loc"])
        said = OUR_WORDS.get(first["type"], first["msg"].removeprefix("Value error, "))
        raise ConfigError(f"{name}:{mark_at}: {where or 'the file'}: {said}") from error


def _place(node: yaml.Node | None, loc: tuple[int | str, ...]) -> tuple[str, str]:
    """Return the path of keys as people write it, and line:column of the deepest part that exists."""
    path: list[str] = []
    mark = node.start_mark if node is not None else None
    for part in loc:
        found: yaml.Node | None = None
        match node:
            case yaml.MappingNode():
                for key, value in node.value:
                    if key.value == str(part):
                        found, mark = value, key.start_mark
            case yaml.SequenceNode() if isinstance(part, int) and part < len(node.value):
                found = node.value[part]
                mark = found.start_mark
        path.append(str(part))
        if found is None:
            # A setting of `defaults` is reported for the region that inherited it: stay at the deepest known place.
            break
        node = found
    return ".".join(path), f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"


def _refuse_repeated_keys(node: yaml.Node | None, name: str) -> None:
    match node:
        case yaml.MappingNode():
            seen: set[Hashable] = set()
            for key, value in node.value:
                if key.value in seen:
                    at = f"{name}:{key.start_mark.line + 1}:{key.start_mark.column + 1}"
                    raise ConfigError(f"{at}: the key {key.value} is here twice")
                seen.add(key.value)
                _refuse_repeated_keys(value, name)
        case yaml.SequenceNode():
            for item in node.value:
                _refuse_repeated_keys(item, name)
