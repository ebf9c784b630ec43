"""The vocabulary of histories: what is asked for, what goes wrong, what people do. All plain values.

`at` is seconds from the beginning. Every event tells in a phrase what it is; the phrases make up a story.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from nodepool_ng.model.ids import ImageName, LabelName, ProviderName, Seconds
from nodepool_ng.sim.calls import Call
from nodepool_ng.sim.calls import Fate as CloudFate
from nodepool_ng.sim.virtual.client import After
from nodepool_ng.sim.virtual.process import Fate


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJob:
    """A client asks for nodes. `withdraw` seconds later it loses interest, `revise` seconds later it hurries."""

    at: Seconds
    labels: tuple[LabelName, ...]
    seconds: Seconds
    after: After = After.RETURN
    hold: Seconds = 0
    priority: str = "200"
    provider: ProviderName | None = None
    reuse: bool = True
    withdraw: Seconds | None = None
    revise: Seconds | None = None

    def __str__(self) -> str:
        more = [f", needs them for {self.seconds:g} s and {self.after} them"]
        more += [f", prefers {self.provider}"] if self.provider else []
        more += [", wants fresh ones"] if not self.reuse else []
        more += [f", withdraws after {self.withdraw:g} s"] if self.withdraw is not None else []
        more += [f", hurries after {self.revise:g} s"] if self.revise is not None else []
        return f"a client asks for {', '.join(self.labels)}{''.join(more)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A launcher starts, unless it runs."""

    at: Seconds
    launcher: str

    def __str__(self) -> str:
        return f"{self.launcher} starts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """Something befalls a launcher at a moment; a killed one starts again after `restart` seconds, if that is set."""

    at: Seconds
    launcher: str
    fate: Fate
    restart: Seconds | None = None

    def __str__(self) -> str:
        again = "" if self.restart is None else f", and starts again {self.restart:g} s later"
        return f"{self.launcher} is {self.fate}{again}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StrikeAtPoint:
    """The same, at the n-th write or cloud call of a launcher, counted from `at` on."""

    at: Seconds
    launcher: str
    point: int
    fate: Fate
    restart: Seconds | None = None

    def __str__(self) -> str:
        again = "" if self.restart is None else f", and starts again {self.restart:g} s later"
        return f"{self.launcher} is {self.fate} at its {self.point}. point{again}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StandStill:
    """A launcher does nothing for a while; its connections are kept up."""

    at: Seconds
    launcher: str
    seconds: Seconds

    def __str__(self) -> str:
        return f"{self.launcher} stands still for {self.seconds:g} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """Messages between ZooKeeper and a launcher take up to `most` seconds longer, each one differently."""

    at: Seconds
    launcher: str
    seconds: Seconds
    most: Seconds

    def __str__(self) -> str:
        return f"{self.launcher} hears from ZooKeeper up to {self.most:g} s late, for {self.seconds:g} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """A launcher's clock jumps."""

    at: Seconds
    launcher: str
    seconds: Seconds

    def __str__(self) -> str:
        return f"the clock of {self.launcher} jumps by {self.seconds:+g} s"


class Change(StrEnum):
    """What an operator changes in the configuration."""

    MORE_READY = "wants two more ready nodes of each label"
    NONE_READY = "wants no ready nodes any more"
    LESS_ROOM = "halves max-servers"
    MORE_ROOM = "doubles max-servers"
    NO_BIG = "takes the label big out of all pools"
    AS_BEFORE = "puts the first configuration back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """The operator changes the configuration of all launchers."""

    at: Seconds
    change: Change

    def __str__(self) -> str:
        return f"the operator {self.change}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudFault:
    """The next `times` calls of a kind meet a fate."""

    at: Seconds
    provider: ProviderName
    call: Call
    fate: CloudFate
    times: int = 1
    status: int = 500
    seconds: Seconds = 30.0

    def __str__(self) -> str:
        how = f" ({self.status})" if self.fate in (CloudFate.REFUSED, CloudFate.ANSWER_LOST) else ""
        return f"{self.provider}: the next {self.times} {self.call} end as {self.fate}{how}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """For a while a cloud is slow, or the answers of its lists come late."""

    at: Seconds
    provider: ProviderName
    seconds: Seconds
    latency: Seconds = 0.05
    late_lists: Seconds = 0.0

    def __str__(self) -> str:
        return (
            f"{self.provider}: calls take {self.latency:g} s, lists are told {self.late_lists:g} s late, "
            f"for {self.seconds:g} s"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A cloud changes the project's quota."""

    at: Seconds
    provider: ProviderName
    instances: int

    def __str__(self) -> str:
        return f"{self.provider}: the quota is {self.instances} instances now"


class Deed(StrEnum):
    """What befalls one server of ours behind our back."""

    VANISH = "is deleted by somebody"
    BREAK = "goes to ERROR"
    FORGET = "loses its metadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """Something happens to one of a cloud's servers of ours; `which` counts them, the oldest first."""

    at: Seconds
    provider: ProviderName
    which: int
    deed: Deed

    def __str__(self) -> str:
        return f"{self.provider}: our server number {self.which} {self.deed}"


class Foreigner(StrEnum):
    """Servers of others in our project."""

    PLAIN = "without any metadata"
    OTHER_INSTALLATION = "of another installation, for a node of the same number"
    OLD_NODEPOOL = "of a Nodepool 11 with the same provider name, for a node that this tree never had"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """Somebody else makes a server in our project."""

    at: Seconds
    provider: ProviderName
    kind: Foreigner

    def __str__(self) -> str:
        return f"{self.provider}: somebody makes a server {self.kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildImage:
    """An operator asks for a build of an image."""

    at: Seconds
    image: ImageName

    def __str__(self) -> str:
        return f"the operator says image-build {self.image}"


class Order(StrEnum):
    """What an operator tells the command line."""

    DELETE = "delete"
    HOLD = "hold"
    ERASE = "erase"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operate:
    """An operator's command about one node (the `which`-th there is), or about the provider of that node."""

    at: Seconds
    order: Order
    which: int

    def __str__(self) -> str:
        return f"the operator says {self.order} (node number {self.which})"


Event: TypeAlias = (
    RunJob
    | Start
    | Strike
    | StrikeAtPoint
    | StandStill
    | Lag
    | Jump
    | Reload
    | CloudFault
    | Weather
    | Quota
    | Mishap
    | Plant
    | BuildImage
    | Operate
)
