"""How one pool could serve one request: with which ready nodes, which launches, or why not."""

from collections.abc import Iterable
from dataclasses import dataclass

from nodepool_ng.model.action import Launch, node_subject
from nodepool_ng.model.ids import LabelName, NodeId
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import Resources, left, total
from nodepool_ng.model.reason import Code, Reason, at
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.settings import Pool
from nodepool_ng.model.snapshot import Snapshot
from nodepool_ng.plan.capacity import Ledger
from nodepool_ng.plan.pace import Agenda
from nodepool_ng.plan.registry import rendezvous


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a pool would do for a request. `picks` has a node for each label that a ready one serves, else None.

    `obstacle` says why it cannot start now. With `picks` complete there is none.
    """

    pool: Pool
    picks: tuple[Node | None, ...]
    launches: tuple[Launch, ...]
    needs: Resources
    obstacle: Reason | None

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        return tuple(node.id for node in self.picks if node is not None)


def never(s: Snapshot, ledger: Ledger, pool: Pool, labels: tuple[LabelName, ...]) -> Reason | None:
    """Return why the pool cannot serve such a request, however long it waits; None when it might.

    That the pool has the labels at all is the caller's to know.
    """
    if pool.disabled:
        return at(pool.key, Code.POOL_DISABLED)
    if s.settings.providers[pool.provider].max_concurrency == 0:
        return at(pool.key, Code.OUT_OF_SERVICE)
    facts = s.facts.get(pool.provider)
    for label in dict.fromkeys(labels):
        image = pool.labels[label].diskimage
        if image is not None and (image, pool.provider) not in s.uploads:
            return at(pool.key, Code.NO_IMAGE, label=label)
        known = facts.labels.get(label) if facts else None
        if known is not None and known.broken is not None:
            return at(pool.key, Code.LABEL_BROKEN, label=label, detail=known.broken)
    if facts is None or facts.limits_read is None or facts.listed is None:
        return None
    return ledger.never_fits(pool, needs_of(s, pool, labels))


def needs_of(s: Snapshot, pool: Pool, labels: tuple[LabelName, ...]) -> Resources:
    """Return what launching all of the labels takes."""
    facts = s.facts[pool.provider]
    return total(facts.labels[label].needs for label in labels if label in facts.labels)


def offer(s: Snapshot, agenda: Agenda, ledger: Ledger, pool: Pool, request: NodeRequest) -> Offer:
    """Return what the pool would do for the request now."""
    picks = _pick(s, agenda, pool, request.labels) if request.reuse else (None,) * len(request.labels)
    missing = tuple(label for label, node in zip(request.labels, picks, strict=True) if node is None)
    if not missing:
        return Offer(pool=pool, picks=picks, launches=(), needs=Resources(), obstacle=None)
    facts = s.facts.get(pool.provider)
    if facts is None or facts.limits_read is None or facts.full_listed is None:
        unknown = Reason(
            code=Code.CLOUD_UNKNOWN,
            provider=pool.provider,
            pool=pool.name,
            detail=(facts.error if facts and facts.error else "no answer yet"),
        )
        return Offer(pool=pool, picks=picks, launches=(), needs=Resources(), obstacle=unknown)
    zone = next((node.az for node in picks if node is not None), None) or pick_zone(s, pool, request.id)
    launches = tuple(Launch(label=label, zone=zone, needs=facts.labels[label].needs) for label in missing)
    needs = total(launch.needs for launch in launches)
    return Offer(pool=pool, picks=picks, launches=launches, needs=needs, obstacle=ledger.obstacle(pool, missing, needs))


def pick_zone(s: Snapshot, pool: Pool, thing: str) -> str | None:
    """Return the availability zone for something that is launched, spread evenly; None leaves it to the cloud."""
    facts = s.facts.get(pool.provider)
    zones = pool.availability_zones or (facts.zones if facts else ())
    return max(zones, key=lambda zone: rendezvous(thing, zone), default=None)


def _pick(s: Snapshot, agenda: Agenda, pool: Pool, labels: tuple[LabelName, ...]) -> tuple[Node | None, ...]:
    """Choose ready nodes, all of one zone: of the zone where most of the labels are to be had, oldest first."""
    spare = s.nodes.spare.get(pool.key)
    if not spare:
        return (None,) * len(labels)
    best: tuple[Node | None, ...] = (None,) * len(labels)
    score = 0
    tried: set[str | None] = set()
    for node in spare.values():
        if node.az in tried or not _available(s, agenda, node) or not set(node.labels) & set(labels):
            continue
        tried.add(node.az)
        picks = _pick_in_zone(s, agenda, spare.values(), labels, node.az)
        found = sum(pick is not None for pick in picks)
        if found > score:
            best, score = picks, found
        if score == len(labels):
            break
    return best


def _pick_in_zone(
    s: Snapshot, agenda: Agenda, spare: Iterable[Node], labels: tuple[LabelName, ...], zone: str | None
) -> tuple[Node | None, ...]:
    picks: list[Node | None] = [None] * len(labels)
    missing = len(labels)
    for node in spare:
        if node.az != zone or not _available(s, agenda, node):
            continue
        for index, label in enumerate(labels):
            if picks[index] is None and label in node.labels:
                picks[index] = node
                missing -= 1
                break
        if not missing:
            break
    return tuple(picks)


def _available(s: Snapshot, agenda: Agenda, node: Node) -> bool:
    return node.id not in s.node_locks and agenda.free(node_subject(node.id))


def spares_to_give_up(s: Snapshot, agenda: Agenda, ledger: Ledger, pool: Pool, chosen: Offer) -> tuple[Node, ...]:
    """Return the fewest spare nodes, oldest first, whose places let the offer start once they are gone.

    Empty when what is on its way out suffices already, or when even all spares would not.
    """
    coming = total(
        node.resources or Resources()
        for node in s.nodes.in_state(NodeState.DELETING, NodeState.USED)
        if node.provider == pool.provider
    )
    wanted = left(chosen.needs, coming)
    if ledger.shortage(pool, wanted) is None:
        return ()
    given_up: list[Node] = []
    for node in s.nodes.spare.get(pool.key, {}).values():
        if node.id in chosen.nodes or not _available(s, agenda, node):
            continue
        given_up.append(node)
        wanted = left(wanted, node.resources or Resources())
        if ledger.shortage(pool, wanted) is None:
            return tuple(given_up)
    return ()
