"""How one pool could serve one request: with which ready nodes, which launches, or why not."""

from dataclasses import dataclass

from nodepool_ng.model.action import Launch
from nodepool_ng.model.ids import LabelName, NodeId
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import NONE, Resources, total
from nodepool_ng.model.reason import Code, Reason, at
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.settings import Pool
from nodepool_ng.model.snapshot import Snapshot
from nodepool_ng.plan.capacity import Ledger, cordoned
from nodepool_ng.plan.registry import rendezvous
from nodepool_ng.plan.shelf import Shelf, matched

IMPATIENT = "NodePool:min-ready"
"""The requestor of Nodepool 11's own requests for ready nodes. They expect to be declined where there is no room: what
waited would keep places from clients, and send other ready nodes away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a pool would do for a request. `picks` has a node for each label that a ready one serves, else None, and
    `missing` are the labels that have to be launched.

    `needs` is what the launches take, `gives` what all of the nodes use. `obstacle` says why it cannot start now.
    """

    pool: Pool
    picks: tuple[Node | None, ...]
    missing: tuple[LabelName, ...] = ()
    needs: Resources = NONE
    gives: Resources = NONE
    obstacle: Reason | None = None

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        return tuple(node.id for node in self.picks if node is not None)

    def launches(self, s: Snapshot, request: NodeRequest) -> tuple[Launch, ...]:
        """Return what is to be launched, all of it in the zone of the nodes that are ready."""
        zone = next((node.az for node in self.picks if node is not None), None)
        return launches(s, self.pool, self.missing, zone or pick_zone(s, self.pool, request.id))


def never(s: Snapshot, ledger: Ledger, pool: Pool, labels: tuple[LabelName, ...]) -> Reason | None:
    """Return why the pool cannot serve such a request, however long it waits; None when it might.

    That the pool has the labels at all is the caller's to know.
    """
    where = (pool.key, labels)
    if where not in ledger.ruled_out:
        ledger.ruled_out[where] = _never(s, ledger, pool, labels)
    return ledger.ruled_out[where]


def _never(s: Snapshot, ledger: Ledger, pool: Pool, labels: tuple[LabelName, ...]) -> Reason | None:
    reason = unable(s, pool, labels)
    if reason is not None:
        return reason
    facts = s.facts.get(pool.provider)
    if facts is None:
        return None
    for label in dict.fromkeys(labels):
        known = facts.label(pool.name, label)
        if known is not None and known.broken is not None:
            return at(pool.key, Code.LABEL_BROKEN, label=label, detail=known.broken)
    if facts.limits_read is None or facts.full_listed is None:
        return None
    needs = [known.needs for label in labels if (known := facts.label(pool.name, label)) is not None]
    return ledger.never_fits(pool, needs[0] if len(needs) == 1 else total(needs))


def unable(s: Snapshot, pool: Pool, labels: tuple[LabelName, ...]) -> Reason | None:
    """Return why a pool cannot make nodes of the labels, as far as that shows without asking its cloud."""
    if pool.disabled:
        return at(pool.key, Code.POOL_DISABLED)
    if s.settings.providers[pool.provider].max_concurrency == 0:
        return at(pool.key, Code.OUT_OF_SERVICE)
    if pool.hosts is not None:
        slots = [host for host in pool.hosts for _ in range(host.slots)]
        places = sum(place is not None for place in matched(labels, slots))
        if places < len(labels):
            code = Code.TOO_FEW_HOSTS
            return Reason(code=code, provider=pool.provider, pool=pool.name, limit=places, wanted=len(labels))
    for label in dict.fromkeys(labels):
        if without_image(s, pool, label):
            return at(pool.key, Code.NO_IMAGE, label=label)
    return None


def without_image(s: Snapshot, pool: Pool, label: LabelName) -> bool:
    """Tell whether a label boots from an image of ours that has no ready upload in the pool's provider."""
    image = pool.labels[label].diskimage
    return image is not None and (image, pool.provider) not in s.uploads


def offer(s: Snapshot, ledger: Ledger, shelf: Shelf, pool: Pool, request: NodeRequest) -> Offer:
    """Return what the pool would do for the request now."""
    barred = cordoned(s, pool, request.labels)
    if barred is not None:
        nothing = (None,) * len(request.labels)
        return Offer(pool=pool, picks=nothing, missing=request.labels, obstacle=barred)
    # Where nothing can be launched, whoever wants a new node gets a ready one; min-ready of Nodepool 11 gets none.
    reuse = request.reuse or (pool.hosts is not None and request.requestor != IMPATIENT)
    picks = shelf.pick(pool.key, request.labels) if reuse else (None,) * len(request.labels)
    kept = NONE
    missing = request.labels
    if any(picks) or not picks:
        kept = total(s.nodes.uses(node.id) for node in picks if node is not None)
        missing = tuple(label for label, node in zip(request.labels, picks, strict=True) if node is None)
    if not missing:
        return Offer(pool=pool, picks=picks, gives=kept)
    if pool.hosts is not None:
        obstacle = at(pool.key, Code.NO_FREE_NODE, label=missing[0])
        return Offer(pool=pool, picks=picks, missing=missing, gives=kept, obstacle=obstacle)
    needs = ledger.cost(pool.key, missing)
    if isinstance(needs, str):
        return Offer(pool=pool, picks=picks, gives=kept, obstacle=at(pool.key, Code.CLOUD_UNKNOWN, detail=needs))
    return Offer(
        pool=pool,
        picks=picks,
        missing=missing,
        needs=needs,
        gives=kept + needs if kept.amounts else needs,
        obstacle=ledger.obstacle(pool, missing, needs),
    )


def launches(s: Snapshot, pool: Pool, labels: tuple[LabelName, ...], zone: str | None) -> tuple[Launch, ...]:
    """Return launches of labels whose cost is known."""
    facts = s.facts[pool.provider]
    known = ((label, facts.label(pool.name, label)) for label in labels)
    return tuple(Launch(label=label, zone=zone, needs=costs.needs) for label, costs in known if costs is not None)


def pick_zone(s: Snapshot, pool: Pool, thing: str) -> str | None:
    """Return the availability zone for something that is launched, spread evenly; None leaves it to the cloud."""
    facts = s.facts.get(pool.provider)
    zones = pool.availability_zones or (facts.zones if facts else ())
    return max(zones, key=lambda zone: rendezvous(thing, zone), default=None)
