"""What launchers tell about themselves, read from their documents. Another version may have written one: whatever is
missing or of another kind counts as not told."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from nodepool_ng.model.quota import NONE, Resources

Deciles: TypeAlias = tuple[float, ...]
"""Eleven numbers: the least, nine in between, and the most that was seen."""
BOOT, LIFE, DELETE = "boot", "life", "delete"
"""Stages of a node's life: until it is ready, with a job, until it is gone."""


def _nothing() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why a request waits, as a launcher's planner had it. Which figures are set depends on the code."""

    code: str
    sentence: str
    place: str = ""
    resource: str = ""
    limit: float = 0
    used: float = 0
    wanted: float = 0
    request: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTold:
    """One pool, as the launcher tells that acts for it. `spans` are seconds, by stage and label."""

    name: str
    short: bool = False
    limits: Resources = NONE
    quota: Resources = NONE
    foreign: Resources = NONE
    used: Resources = NONE
    room: Resources = NONE
    """What is left of the pool's own limits."""
    provider_room: Resources = NONE
    """What is left of the provider's quota."""
    binding: str | None = None
    priority: float = 100
    costs: Mapping[str, Resources] = field(default_factory=_nothing)
    broken: Mapping[str, str] = field(default_factory=_nothing)
    spans: Mapping[str, Mapping[str, Deciles]] = field(default_factory=_nothing)

    @property
    def provider(self) -> str:
        return self.name.partition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTold:
    name: str
    launcher: str
    error: str | None = None
    alarm: str | None = None
    leaving: bool = False
    launching: int = 0
    concurrency: int = -1
    calls_per_second: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """All documents together. `web` are the addresses of launchers that serve pages."""

    launchers: tuple[str, ...] = ()
    pools: Mapping[str, PoolTold] = field(default_factory=_nothing)
    providers: Mapping[str, ProviderTold] = field(default_factory=_nothing)
    waiting: Mapping[str, tuple[Verdict, ...]] = field(default_factory=_nothing)
    web: Mapping[str, str] = field(default_factory=_nothing)


def read(documents: Mapping[str, Mapping[str, Any]]) -> Told:
    """Return what the documents say, by launcher."""
    pools: dict[str, PoolTold] = {}
    providers: dict[str, ProviderTold] = {}
    waiting: dict[str, list[Verdict]] = {}
    web: dict[str, str] = {}
    for launcher, document in sorted(documents.items()):
        for name, one in _items(document.get("pools")):
            pools[name] = _pool(name, one)
        for name, one in _items(document.get("providers")):
            providers[name] = _provider(name, launcher, one)
        verdicts = [_verdict(one) for one in _list(document.get("reasons")) if isinstance(one, dict)]
        for request, numbers in _mapping(document.get("waiting")).items():
            found = [verdicts[n] for n in _list(numbers) if isinstance(n, int) and 0 <= n < len(verdicts)]
            waiting.setdefault(str(request), []).extend(found)
        if isinstance(address := document.get("web"), str):
            web[launcher] = address
    return Told(
        launchers=tuple(sorted(documents)),
        pools=pools,
        providers=providers,
        waiting={request: tuple(dict.fromkeys(found)) for request, found in waiting.items()},
        web=web,
    )


def _pool(name: str, told: Mapping[str, Any]) -> PoolTold:
    room = {key: _resources(told.get(key)) for key in ("limits", "quota", "foreign", "used", "room", "provider-room")}
    spans = {
        stage: {str(label): found for label, values in _mapping(labels).items() if len(found := _floats(values)) == 11}
        for stage, labels in _mapping(told.get("spans")).items()
    }
    return PoolTold(
        name=name,
        short=told.get("short") is True,
        binding=_text(told.get("binding")),
        priority=_number(told.get("priority"), 100),
        limits=room["limits"],
        quota=room["quota"],
        foreign=room["foreign"],
        used=room["used"],
        room=room["room"],
        provider_room=room["provider-room"],
        costs={str(label): _resources(amounts) for label, amounts in _mapping(told.get("costs")).items()},
        broken={str(label): str(why) for label, why in _mapping(told.get("broken")).items()},
        spans=spans,
    )


def _provider(name: str, launcher: str, told: Mapping[str, Any]) -> ProviderTold:
    pace = told.get("calls-per-second")
    return ProviderTold(
        name=name,
        launcher=launcher,
        error=_text(told.get("error")),
        alarm=_text(told.get("alarm")),
        leaving=told.get("leaving") is True,
        launching=int(_number(told.get("launching"), 0)),
        concurrency=int(_number(told.get("concurrency"), -1)),
        calls_per_second=None if pace is None else _number(pace, 0),
    )


def _verdict(told: Mapping[str, Any]) -> Verdict:
    names = [name for key in ("provider", "pool") if (name := _text(told.get(key)))]
    return Verdict(
        code=str(told.get("code", "")),
        sentence=str(told.get("sentence", "")),
        place="/".join(names),
        resource=_text(told.get("resource")) or "",
        limit=_number(told.get("limit"), 0),
        used=_number(told.get("used"), 0),
        wanted=_number(told.get("wanted"), 0),
        request=_text(told.get("request")) or "",
        detail=_text(told.get("detail")) or "",
    )


def _items(value: object) -> Iterable[tuple[str, Mapping[str, Any]]]:
    return [(str(name), one) for name, one in _mapping(value).items() if isinstance(one, dict)]


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: object, default: float) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else default


def _floats(value: object) -> Deciles:
    return tuple(_number(each, 0) for each in _list(value))


def _resources(value: object) -> Resources:
    return Resources({str(name): _number(amount, 0) for name, amount in _mapping(value).items()})
