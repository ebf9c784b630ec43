"""What a builder tells about its work to whoever looks: what is under way and how far it has come, and what waits for
what, and until when."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nodepool_ng
from nodepool_ng.builder.outcome import Done, Lost, Outcome
from nodepool_ng.builder.sheet import KEEP, Sheet
from nodepool_ng.builder.world import World
from nodepool_ng.model.action import Subject
from nodepool_ng.model.ids import Seconds, Timestamp
from nodepool_ng.model.reason import Code, Reason, sentence
from nodepool_ng.plan.images import ImagePlan
from nodepool_ng.shell.effect import Effect, ask
from nodepool_ng.shell.facts import Telling, write_down
from nodepool_ng.zk import paths
from nodepool_ng.zk.facts import encode_facts
from nodepool_ng.zk.store import Children, Commit, Create, Delete, Failure, Get, Got, Names, Problem, Set

AT_MOST_EVERY: Seconds = 1.5
FACTS: Subject = ("facts", "")
_NOT_WORTH_TELLING = frozenset({Code.NOT_DUE, Code.NOT_OURS, Code.NOT_SEEN_YET, Code.IMAGE_LOCKED})


@dataclass(frozen=True, slots=True)
class TellSheet:
    """The sheet of a build is to be written."""

    sheet: Sheet

    @property
    def subject(self) -> Subject:
        return ("sheet", f"{self.sheet.image}-{self.sheet.build}")


def document_of(world: World, plan: ImagePlan, work: Mapping[str, Any]) -> dict[str, Any]:
    """Return all of it; JSON knows every value in it."""
    return {
        "version": nodepool_ng.__version__,
        "hostname": world.hostname,
        "builder-id": world.builder_id,
        "build-workers": world.build_workers,
        "upload-workers": world.upload_workers,
        "builds": list(work.get("builds", ())),
        "uploads": list(work.get("uploads", ())),
        "waiting": [
            *(
                {"image": str(image), "provider": None, **_told(why, world.now)}
                for image, why in sorted(plan.builds.items())
                if why.code not in _NOT_WORTH_TELLING
            ),
            *(
                {"image": str(to.image), "build": str(to.build), "provider": str(to.provider), **_told(why, world.now)}
                for to, why in sorted(plan.uploads.items(), key=str)
                if why.code not in _NOT_WORTH_TELLING
            ),
        ],
        "alarms": {str(provider): alarm for provider, alarm in sorted(plan.alarms.items())},
    }


def _told(why: Reason, now: Timestamp) -> dict[str, Any]:
    """Return a reason that reads the same a second later: an instant takes the place of a countdown."""
    if why.code is not Code.IMAGE_BACKOFF:
        return {"code": why.code.value, "sentence": sentence(why), "until": None}
    times = "once" if why.used == 1 else f"{why.used:g} times"
    said = f"it failed {times}, the last time because {why.detail}"
    return {"code": why.code.value, "sentence": said, "until": math.ceil(now + why.wanted)}


def tell_facts(telling: Telling) -> Effect[Outcome]:
    trouble = yield from write_down(telling, paths.builder_facts)
    return Done() if trouble is None else Lost(trouble)


def tell_sheet(telling: TellSheet) -> Effect[Outcome]:
    """Write a sheet; with the last word on a build, the oldest sheets of its image go."""
    sheet = telling.sheet
    parts = encode_facts(sheet.document)
    if len(parts) > 1:
        parts = encode_facts(sheet.without_packages().document)
    path = paths.sheet(sheet.image, sheet.build)
    answers = yield from ask(
        Commit((Create(paths.sheets(sheet.image)),)), Commit((Create(path, parts[0]),)), Commit((Set(path, parts[0]),))
    )
    if isinstance(answers[-1], Failure):
        return Lost(str(answers[-1]))
    if sheet.over:
        yield from _prune(sheet)
    return Done()


def _prune(sheet: Sheet) -> Effect[None]:
    folder = paths.sheets(sheet.image)
    (names,) = yield from ask(Children(folder))
    if not isinstance(names, Names) or len(names.names) <= KEEP:
        return
    found = [f"{folder}/{name}" for name in names.names]
    answers = yield from ask(*(Get(path) for path in found))
    ages = sorted(
        (answer.stat.ctime, path) for path, answer in zip(found, answers, strict=True) if isinstance(answer, Got)
    )
    doomed = [path for _, path in ages[:-KEEP]]
    for answer in (yield from ask(*(Commit((Delete(path),)) for path in doomed))):
        if isinstance(answer, Failure) and answer.problem is not Problem.NO_NODE:
            return
