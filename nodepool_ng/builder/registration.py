"""Being there: the component by which others see this builder. What should be registered is compared with what the
mirror shows, so a new session and a lost answer are mended by the same look."""

from dataclasses import dataclass

import nodepool_ng
from nodepool_ng.builder.outcome import Done, Lost, Outcome
from nodepool_ng.builder.world import World
from nodepool_ng.model.action import Subject
from nodepool_ng.model.component import BUILDER, Component
from nodepool_ng.shell.effect import Effect, commit
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.store import Create, Failure

OWNER_KEY = "nodepool_ng_process"
"""In our component: which process registered it."""
SUBJECT: Subject = ("component", BUILDER)


@dataclass(frozen=True, slots=True)
class Register:
    component: Component


def missing(world: World) -> Register | None:
    """Return what is to be registered."""
    for entry in world.picture.components.values():
        if entry.record.kind == BUILDER and entry.record.extra.get(OWNER_KEY) == world.owner:
            return None
    return Register(
        Component(
            key="",
            kind=BUILDER,
            hostname=world.hostname,
            state="running",
            version=nodepool_ng.__version__,
            extra={OWNER_KEY: world.owner, "model_api": 0},
        )
    )


def carry_out(chore: Register) -> Effect[Outcome]:
    path = paths.new_component(BUILDER, chore.component.hostname)
    create = Create(path, codec.encode_component(chore.component), ephemeral=True, sequence=True)
    answer = yield from commit(create)
    return Lost(str(answer)) if isinstance(answer, Failure) else Done()
