"""A small vocabulary to say what is there: one provider with a pool, and whatever a test adds.

A `Scene` is what a planner sees, piece by piece; `plan()` asks it what is to be done.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from nodepool_ng.model.action import Action, Claim, Decline, HandOut, Subject, subjects
from nodepool_ng.model.census import Census, PoolKey
from nodepool_ng.model.component import POOL, Component
from nodepool_ng.model.image import Upload
from nodepool_ng.model.lifecycle import ImageState, NodeState, RequestState
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.server import Addresses, LabelFacts, ProviderFacts, Server, ServerStatus
from nodepool_ng.model.settings import Label, Pool, PoolLabel, Provider, Settings
from nodepool_ng.model.snapshot import Attempt, AttemptState, Backoff, Side, Snapshot
from nodepool_ng.plan import Plan
from nodepool_ng.plan import plan as make_plan
from nodepool_ng.plan.registry import SOFTWARE

NOW = 1_000_000.0
OURS = "this-installation"
SETTLE = 15.0
NEEDS = {
    "small": Resources({"instances": 1, "cores": 1, "ram": 1000}),
    "large": Resources({"instances": 1, "cores": 4, "ram": 4000}),
}
UP = Addresses(interface_ip="192.0.2.7")

_Action = TypeVar("_Action")


def key(place: str) -> PoolKey:
    """Return the key of `provider/pool`."""
    provider, _, pool = place.partition("/")
    return provider, pool  # type: ignore[return-value]


def instances(count: float) -> Resources:
    return Resources({"instances": count})


class Scene:
    """What the planner sees. Pieces are added by the methods named like them, and may be changed in place."""

    def __init__(self) -> None:
        self.now = NOW
        self.labels: dict[str, Label] = {}
        self.providers: dict[str, Provider] = {}
        self.tenants: dict[str, Resources] = {}
        self.max_hold_age = 0.0
        self.leased: set[str] = set()
        self.pool_ids: dict[PoolKey, str] = {}
        self.components: dict[str, Component] = {}
        self.registry_changed = NOW - 1000
        self.nodes: dict[str, Node] = {}
        self.requests: dict[str, NodeRequest] = {}
        self.facts: dict[str, ProviderFacts] = {}
        self.servers: dict[str, dict[str, Server]] = {}
        self.node_locks: dict[str, Side] = {}
        self.request_locks: dict[str, Side] = {}
        self.in_flight: dict[Subject, Action] = {}
        self.attempts: dict[str, Attempt] = {}
        self.uploads: dict[tuple[str, str], Upload] = {}
        self.more: dict[str, Any] = {}
        self.last_node = 1000
        self.last_attempt = 0
        for label in NEEDS:
            self.label(label)
        self.provider("acme")
        self.pool("acme/main")

    def label(self, name: str, **changes: Any) -> None:
        self.labels[name] = Label(name=name, **changes)  # type: ignore[arg-type]

    def provider(self, name: str, *, leased: bool = True, quota: Resources | None = None, **changes: Any) -> None:
        """Add a provider whose cloud has told everything just now."""
        before = self.providers.get(name)
        pools = before.pools if before else {}
        self.providers[name] = Provider(name=name, **{"pools": pools, **changes})  # type: ignore[arg-type]
        if leased:
            self.leased.add(name)
        self.facts[name] = ProviderFacts(
            provider=name,  # type: ignore[arg-type]
            listed=NOW,
            full_listed=NOW,
            limits_read=NOW,
            limits=Resources({"instances": 10, "cores": 40, "ram": 40000}) if quota is None else quota,
            labels={label: LabelFacts(needs=needs) for label, needs in NEEDS.items()},  # type: ignore[misc]
        )

    def pool(self, place: str, *labels: str, registered: bool = True, **changes: Any) -> None:
        """Add a pool of ours to its provider, and its registration."""
        provider, name = key(place)
        made = {
            label: PoolLabel(name=label, cloud_image="stock")  # type: ignore[arg-type]
            for label in labels or NEEDS
        }
        pool = Pool(name=name, provider=provider, **{"labels": made, **changes})
        before = self.providers[provider]
        self.providers[provider] = replace(before, pools={**before.pools, name: pool})
        self.pool_ids[key(place)] = f"us-{place}"
        if registered:
            self.registration(
                place, f"us-{place}", *made, priority=changes.get("priority", 100), software=SOFTWARE, paused=False
            )

    def registration(self, place: str, id: str, *labels: str, **changes: Any) -> None:
        """Add a registered pool: somebody else's unless said otherwise, and of Nodepool 11 unless said otherwise."""
        provider, name = key(place)
        self.components[id] = Component(
            key=id,
            kind=POOL,
            hostname="host",
            state="running",
            id=id,  # type: ignore[arg-type]
            name=name,
            provider_name=provider,
            supported_labels=frozenset(labels or NEEDS),  # type: ignore[arg-type]
            **changes,
        )

    def rival(self, place: str, *labels: str, **changes: Any) -> None:
        """Add a pool of another launcher of this software."""
        self.registration(place, f"rival-{place}", *labels, **{"software": SOFTWARE, **changes})

    def node(self, number: int, state: NodeState | str = NodeState.READY, label: str = "small", **changes: Any) -> Node:
        """Add a node of `acme/main`, or of `at`; one that is not ready or held has an attempt. `lock` says whose."""
        state = NodeState(state)
        provider, pool = key(changes.pop("at", "acme/main"))
        lock = changes.pop("lock", None)
        node_id = f"{number:010d}"
        default: dict[str, Any] = {
            "id": node_id,
            "state": state,
            "state_time": NOW - 10,
            "provider": provider,
            "pool": pool,
            "labels": (label,),
            "resources": NEEDS.get(label),
            "attempt": f"try-{number}",
            "attempts": 1,
        }
        node = Node(**{**default, **changes})
        self.nodes[node_id] = node
        if lock is not None:
            self.node_locks[node_id] = lock
        return node

    def building(self, number: int, attempt: AttemptState | None = AttemptState.ASKED, **changes: Any) -> Node:
        """Add a node that we are building; `since` is when its attempt was asked for."""
        since = changes.pop("since", NOW - 10)
        detail = changes.pop("detail", "")
        answered = changes.pop("answered", False)
        node = self.node(number, NodeState.BUILDING, **{"lock": Side.OURS, **changes})
        if attempt is not None and node.attempt is not None:
            self.attempts[node.attempt] = Attempt(state=attempt, since=since, detail=detail, answered=answered)
        return node

    def request(self, number: int, *labels: str, **changes: Any) -> NodeRequest:
        """Add a request of priority 100 that has waited for a while. `lock` says whose."""
        lock = changes.pop("lock", None)
        default: dict[str, Any] = {
            "id": f"{changes.pop('priority', '100')}-{number:010d}",
            "state": RequestState.REQUESTED,
            "state_time": NOW - 5,
            "labels": labels,
        }
        request = NodeRequest(**{**default, **changes, "state": RequestState(changes.get("state", "requested"))})
        self.requests[request.id] = request
        if lock is not None:
            self.request_locks[request.id] = lock
        return request

    def pending(self, number: int, *labels: str, **changes: Any) -> NodeRequest:
        """Add a request that we hold."""
        return self.request(number, *labels, **{"state": RequestState.PENDING, "lock": Side.OURS, **changes})

    def server(self, number: int, status: str = "active", **changes: Any) -> Server:
        """Add the server of a node's first attempt, up unless said otherwise; the marks may be changed."""
        provider = changes.pop("at", "acme")
        default: dict[str, Any] = {
            "id": f"server-{number}",
            "name": f"np{number:010d}",
            "status": ServerStatus(status),
            "provider": provider,
            "node": f"{number:010d}",
            "attempt": f"try-{number}",
            "installation": OURS,
            "addresses": UP,
            "created": NOW - 8,
        }
        server = Server(**{**default, **changes})
        self.servers.setdefault(provider, {})[server.id] = server
        return server

    def upload(self, image: str, provider: str = "acme") -> None:
        self.uploads[image, provider] = Upload(
            image=image,  # type: ignore[arg-type]
            build="b",  # type: ignore[arg-type]
            provider=provider,  # type: ignore[arg-type]
            id="0000000001",  # type: ignore[arg-type]
            state=ImageState.READY,
            state_time=NOW - 100,
        )

    def cloud(self, provider: str = "acme", **changes: Any) -> None:
        """Change what is known of a provider."""
        self.facts[provider] = replace(self.facts[provider], **changes)

    def fly(self, action: Action) -> None:
        """Have an action in flight."""
        self.in_flight.update(dict.fromkeys(subjects(action), action))

    def backoff(self, seconds: float, place: str = "acme/main", label: str = "small") -> None:
        self.more["launch_backoff"] = {(*key(place), label): Backoff(until=self.now + seconds, failures=1, detail="no")}

    def snapshot(self) -> Snapshot:
        facts = {}
        for name, known in self.facts.items():
            facts[name] = known.with_servers(self.servers.get(name, {}))  # type: ignore[arg-type]
        settings = Settings(
            labels=self.labels,  # type: ignore[arg-type]
            providers=self.providers,  # type: ignore[arg-type]
            tenant_limits=self.tenants,  # type: ignore[arg-type]
            max_hold_age=self.max_hold_age,
        )
        known: dict[str, Any] = {
            "now": self.now,
            "settings": settings,
            "installation": OURS,
            "leased": self.leased,
            "pool_ids": self.pool_ids,
            "components": self.components,
            "registry_changed": self.registry_changed,
            "registry_settle": SETTLE,
            "nodes": Census.of(self.nodes.values(), lambda node: NEEDS.get(node.label or "", Resources())),
            "node_locks": self.node_locks,
            "held": [node for node, side in self.node_locks.items() if side is Side.OURS],
            "unlocked": self.nodes.keys() - self.node_locks.keys(),
            "ghosts": set(),
            "requests": self.requests,
            "request_locks": self.request_locks,
            "unlocked_since": {},
            "uploads": self.uploads,
            "facts": facts,
            "in_flight": self.in_flight,
            "attempts": self.attempts,
        }
        return Snapshot(**{**known, **self.more})

    def plan(self) -> Plan:
        return make_plan(self.snapshot())

    def does(self, *kinds: type) -> tuple[Action, ...]:
        """Return what is planned; only actions of some kinds, if any are named."""
        actions = self.plan().actions
        return tuple(action for action in actions if not kinds or isinstance(action, kinds))

    def one(self, kind: type[_Action]) -> _Action:
        """Return the one action of a kind that is planned."""
        found = [action for action in self.plan().actions if isinstance(action, kind)]
        assert len(found) == 1, found
        return found[0]

    def why(self, request: NodeRequest) -> list[str]:
        """Return the codes of the reasons why a request waits."""
        return [reason.code.value for reason in self.plan().verdicts.get(request.id, ())]


def ids(*numbers: int) -> tuple[str, ...]:
    return tuple(f"{number:010d}" for number in numbers)


SERVED = (HandOut, Claim, Decline)


def served(scene: Scene) -> list[str]:
    """Return the sequence numbers of the waiting requests that something is done for, in order."""
    return [str(int(action.request[-10:])) for action in scene.plan().actions if isinstance(action, SERVED)]
