"""What a new configuration would change, told before it is in force; pure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from nodepool_ng.explain.scene import Scene
from nodepool_ng.model.lifecycle import RequestState
from nodepool_ng.model.settings import Label, Pool, Provider, Settings


class Weight(StrEnum):
    """How much care a change asks for."""

    NOTE = "note"
    CARE = "care"
    """Something is deleted, or fails that did not."""


@dataclass(frozen=True, slots=True)
class Effect:
    weight: Weight
    about: str
    sentence: str


def effects(scene: Scene, new: Settings) -> list[Effect]:
    """Return what follows from going from the scene's settings to the new ones, with what is there now."""
    found = [
        *_labels(scene, new),
        *_providers(scene, new),
        *_images(scene, new),
        *_requests(scene, new),
        *_limits(scene.settings, new),
    ]
    return sorted(found, key=lambda effect: effect.weight is not Weight.CARE)


def served_by(settings: Settings, label: str) -> list[str]:
    """Return the pools that can have a label, as `provider/pool`."""
    return [
        f"{provider.name}/{pool.name}"
        for provider in settings.providers.values()
        for pool in provider.pools.values()
        if label in {str(name) for name in pool.labels} and not pool.disabled and provider.max_concurrency != 0
    ]


def _labels(scene: Scene, new: Settings) -> Iterator[Effect]:
    old = scene.settings
    before = {str(name) for name in old.labels} | _offered(old)
    after = {str(name) for name in new.labels} | _offered(new)
    for name in sorted(before | after):
        had, has = served_by(old, name), served_by(new, name)
        about = f"label {name}"
        if had and not has:
            yield Effect(Weight.CARE, about, "no pool can serve it any more: requests for it fail")
        elif not had and has:
            yield Effect(Weight.NOTE, about, f"can be served by {', '.join(has)}")
        elif set(had) != set(has):
            gone, came = sorted(set(had) - set(has)), sorted(set(has) - set(had))
            words = [f"not by {', '.join(gone)} any more"] if gone else []
            words += [f"also by {', '.join(came)}"] if came else []
            yield Effect(Weight.NOTE, about, f"is served {' and '.join(words)}")
        yield from _min_ready(scene, name, old.labels.get(name), new.labels.get(name))  # type: ignore[call-overload]


def _offered(settings: Settings) -> set[str]:
    return {str(name) for one in settings.providers.values() for pool in one.pools.values() for name in pool.labels}


def _min_ready(scene: Scene, name: str, old: Label | None, new: Label | None) -> Iterator[Effect]:
    before, after = old.min_ready if old else 0, new.min_ready if new else 0
    about = f"label {name}"
    if before != after:
        ready = sum(node.free for node in scene.nodes.values() if name in node.labels)
        more = f": {after - ready} more are launched" if after > ready else ""
        yield Effect(Weight.NOTE, about, f"min-ready goes from {before} to {after}; {ready} are ready now{more}")
    old_age, new_age = (old.max_ready_age if old else 0), (new.max_ready_age if new else 0)
    if new_age and new_age != old_age:
        late = [n for n in scene.nodes.values() if n.free and name in n.labels and scene.now - n.state_time > new_age]
        if late:
            yield Effect(Weight.CARE, about, f"{len(late)} ready nodes are older than max-ready-age and are replaced")


def _providers(scene: Scene, new: Settings) -> Iterator[Effect]:
    old = scene.settings
    for name in sorted({str(one) for one in (*old.providers, *new.providers)}):
        before = old.providers.get(name)  # type: ignore[call-overload]
        after = new.providers.get(name)  # type: ignore[call-overload]
        about = f"provider {name}"
        nodes = Counter(node.state for node in scene.nodes.values() if node.provider == name)
        there = ", ".join(f"{count} {state}" for state, count in sorted(nodes.items()))
        if after is None:
            ready = nodes["ready"]  # type: ignore[index]
            tail = (
                f" It has {there}; the {ready} ready ones are deleted at once, the others when used." if nodes else ""
            )
            uploads = sum(upload.provider == name for upload in scene.uploads)
            images = f" Its {uploads} uploads stay in the cloud unless builders can still reach it." if uploads else ""
            yield Effect(Weight.CARE, about, f"is gone.{tail}{images}")
        elif before is None:
            yield Effect(Weight.NOTE, about, f"is new, with pools {', '.join(after.pools) or 'none'}")
        else:
            yield from _provider(scene, before, after)


def _provider(scene: Scene, before: Provider, after: Provider) -> Iterator[Effect]:
    about = f"provider {before.name}"
    changed = _changed(before, after, {"pools", "images", "cloud_images"})
    if changed:
        anew = any(name in changed for name in ("cloud", "region_name", "driver"))
        weight = Weight.CARE if anew else Weight.NOTE
        tail = "; what is known of the cloud is read again" if anew else ""
        yield Effect(weight, about, f"{_told(before, after, changed)}{tail}")
    for name in sorted({*before.pools, *after.pools}):
        old, new = before.pools.get(name), after.pools.get(name)
        where = f"pool {before.name}/{name}"
        nodes = [n for n in scene.nodes.values() if n.provider == before.name and n.pool == name]
        if new is None:
            yield Effect(Weight.CARE, where, f"is gone; it has {len(nodes)} nodes, which stay until they are used")
        elif old is None:
            yield Effect(Weight.NOTE, where, "is new")
        else:
            yield from _pool(where, len(nodes), old, new)


def _pool(where: str, nodes: int, old: Pool, new: Pool) -> Iterator[Effect]:
    for resource in sorted({*old.limits.amounts, *new.limits.amounts}):
        before, after = old.limits.amounts.get(resource), new.limits.amounts.get(resource)
        if before != after:
            words = f"the limit of {resource} goes from {_limit(before)} to {_limit(after)}"
            if resource == "instances" and after is not None and after < nodes:
                words += f"; {nodes} are there: nothing is launched until enough of them are gone"
            yield Effect(Weight.NOTE, where, words)
    changed = _changed(old, new, {"limits", "labels", "hosts"})
    if changed:
        yield Effect(Weight.NOTE, where, _told(old, new, changed))
    for label in sorted(set(old.labels) & set(new.labels)):
        different = _changed(old.labels[label], new.labels[label], set())
        if different:
            told = _told(old.labels[label], new.labels[label], different)
            yield Effect(Weight.NOTE, f"{where}, label {label}", f"{told}; for nodes that are launched from then on")


def _images(scene: Scene, new: Settings) -> Iterator[Effect]:
    old = scene.settings
    for name in sorted({*old.diskimages, *new.diskimages}):
        builds = sum(build.image == name for build in scene.builds)
        uploads = sum(upload.image == name for upload in scene.uploads)
        about = f"image {name}"
        before, after = old.diskimages.get(name), new.diskimages.get(name)
        if after is None:
            yield Effect(Weight.CARE, about, f"is gone: its {builds} builds and {uploads} uploads are deleted")
            continue
        if before is None:
            yield Effect(Weight.NOTE, about, "is new: it is built as soon as a builder has it")
        else:
            changed = _changed(before, after, {"env_vars"})
            if before.env_vars != after.env_vars:
                changed = [*changed, "env_vars"]
            if changed:
                words = ", ".join(_key(each) for each in changed)
                yield Effect(Weight.NOTE, about, f"{words} changed: it counts from the next build on")
        had = {p.name for p in old.providers.values() if name in p.images and p.name in new.providers}
        has = {p.name for p in new.providers.values() if name in p.images}
        for provider in sorted(had - has):
            mine = sum(u.image == name and u.provider == provider for u in scene.uploads)
            yield Effect(Weight.CARE, about, f"its {mine} uploads in {provider} are deleted")
        for provider in sorted(has - had - ({p.name for p in old.providers.values()} - had - has)):
            if provider in old.providers:
                yield Effect(Weight.NOTE, about, f"is uploaded to {provider}")


def _requests(scene: Scene, new: Settings) -> Iterator[Effect]:
    waiting = [one for one in scene.requests.values() if one.state in (RequestState.REQUESTED, RequestState.PENDING)]
    lost = [
        one for one in waiting if not set.intersection(*(set(served_by(new, label)) for label in one.labels or ("",)))
    ]
    for one in sorted(lost, key=lambda one: one.id):
        yield Effect(Weight.CARE, f"request {one.id}", f"no pool has all of {', '.join(one.labels)}: it fails")


def _limits(old: Settings, new: Settings) -> Iterator[Effect]:
    for tenant in sorted({*old.tenant_limits, *new.tenant_limits}):
        before, after = old.tenant_limits.get(tenant), new.tenant_limits.get(tenant)
        if before != after:
            told = ", ".join(f"{k} {v:g}" for k, v in after.amounts.items()) if after else "none"
            yield Effect(Weight.NOTE, f"tenant {tenant}", f"its limits become: {told}")
    if old.zookeeper != new.zookeeper:
        yield Effect(Weight.CARE, "ZooKeeper", "is another one: daemons have to be restarted to use it")
    changed = [
        name for name in ("max_hold_age", "images_dir", "build_log_dir", "elements_dir") if _differs(old, new, name)
    ]
    for name in changed:
        yield Effect(Weight.NOTE, _key(name), f"goes from {getattr(old, name)} to {getattr(new, name)}")


def _changed(old: Any, new: Any, but: set[str]) -> list[str]:
    return [each.name for each in fields(old) if each.name not in but and _differs(old, new, each.name)]


def _differs(old: Any, new: Any, name: str) -> bool:
    return bool(getattr(old, name) != getattr(new, name))


def _told(old: Any, new: Any, changed: list[str]) -> str:
    shown = []
    for name in changed:
        before, after = getattr(old, name), getattr(new, name)
        hidden = isinstance(before, Mapping) or isinstance(after, Mapping) or name == "userdata"
        shown.append(f"{_key(name)} changes" if hidden else f"{_key(name)} goes from {before} to {after}")
    return ", ".join(shown)


def _key(name: str) -> str:
    return name.replace("_", "-")


def _limit(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"
