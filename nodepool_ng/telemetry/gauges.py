"""What can be counted by looking: a view goes in, samples come out. Pure; who sends them is not decided here."""

from collections import Counter
from collections.abc import Iterable, Iterator

from nodepool_ng.model.component import KINDS
from nodepool_ng.model.freeze import NOT_FROZEN
from nodepool_ng.model.gate import in_service
from nodepool_ng.model.ids import ImageName, ProviderName, Timestamp
from nodepool_ng.model.lifecycle import ImageState, NodeState, RequestState
from nodepool_ng.model.quota import CORES, INSTANCES, RAM, Resources
from nodepool_ng.model.reason import WAITING_CODES
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.settings import Provider
from nodepool_ng.model.view import View, pools
from nodepool_ng.telemetry import metrics
from nodepool_ng.telemetry.sample import Metric, Sample, sample

OPEN = (RequestState.REQUESTED, RequestState.PENDING)
USUAL = (INSTANCES, CORES, RAM)
"""Resources whose use is told for every provider and pool, also when it is 0."""

QUEUES = ("node_cache", "request_cache", "image_cache")


def installation(view: View) -> Iterator[Sample]:
    """Yield what is true for the whole installation; zeros too, since a gauge that is not sent keeps its value."""
    yield from _nodes(view)
    yield from _requests(view)
    kinds = Counter(component.kind for component in view.components.values())
    for kind in KINDS:
        yield sample(metrics.COMPONENTS, kinds[kind], kind=kind)
    yield from _images(view)


def launcher(view: View) -> Iterator[Sample]:
    """Yield what one launcher knows of itself and of its providers."""
    for provider in view.settings.providers.values():
        limit = most_servers(view, provider)
        if limit is not None:
            yield sample(metrics.MAX_SERVERS, limit, provider=provider.name)
        yield from _capacity(view, provider)
        if provider.name in view.leased:
            yield from _health(view, provider.name)
    for tenant, limits in view.settings.tenant_limits.items():
        for name, amount in limits.amounts.items():
            yield sample(metrics.TENANT_LIMIT, amount, tenant=tenant, limit=name)
    for label in view.settings.labels.values():
        yield sample(metrics.MIN_READY, label.min_ready, label=label.name)
    yield from _waiting(view)


def internals(view: View, hostname: str) -> Iterator[Sample]:
    """Yield how the launcher itself is doing."""
    backlog = view.backlog
    yield _queue(hostname, "client.connection_queue", backlog.verbs)
    for cache in QUEUES:
        yield _queue(hostname, f"{cache}.event_queue", backlog.reads)
        yield _queue(hostname, f"{cache}.playback_queue", backlog.letters)
    yield sample(metrics.IN_FLIGHT, backlog.calls, hostname=hostname)
    yield sample(metrics.CONNECTED, int(view.complete), hostname=hostname)
    yield sample(metrics.LEASES, len(view.leased), hostname=hostname)
    yield sample(metrics.BROKEN_FILES, int(bool(view.broken_files)), hostname=hostname)
    yield sample(metrics.ELECTED, int(view.elected), hostname=hostname)


def most_servers(view: View, provider: Provider) -> float | None:
    """Return how many servers the provider's pools may have together; None where nothing limits them."""
    limits = [pool.limits.amounts.get(INSTANCES) for pool in provider.pools.values()]
    if None not in limits:
        return sum(limit for limit in limits if limit is not None)
    facts = view.facts.get(provider.name)
    return facts.limits.amounts.get(INSTANCES) if facts else None


def _nodes(view: View) -> Iterator[Sample]:
    registered = pools(view)
    providers = {pool.provider_name for pool in registered if pool.provider_name}
    labels = {label for pool in registered for label in pool.supported_labels}
    nodes = view.nodes.values()
    # Counting whole lists at once is several times faster than one by one, and there may be ten thousand nodes.
    by_provider = Counter([(node.provider, node.state) for node in nodes])
    by_label = Counter([(label, node.state) for node in nodes for label in dict.fromkeys(node.labels)])
    by_state: Counter[NodeState] = Counter()
    for (provider, state), count in by_provider.items():
        by_state[state] += count
        if provider:
            providers.add(provider)
    labels.update(label for label, _ in by_label)
    for state in NodeState:
        yield sample(metrics.NODES, by_state[state], state=state)
        for name in sorted(providers):
            yield sample(metrics.PROVIDER_NODES, by_provider[name, state], provider=name, state=state)
        for label in sorted(labels):
            yield sample(metrics.LABEL_NODES, by_label[label, state], label=label, state=state)


def _requests(view: View) -> Iterator[Sample]:
    waiting = [request for request in view.requests.values() if request.state in OPEN]
    places = {
        (pool.provider_name, pool.name): pool.supported_labels
        for pool in pools(view)
        if pool.provider_name is not None and pool.name is not None
    }
    for (provider, name), labels in sorted(places.items()):
        served = sum(labels.issuperset(request.labels) for request in waiting)
        yield sample(metrics.ADDRESSABLE_REQUESTS, served, provider=provider, pool=name)
    states = Counter(request.state for request in view.requests.values())
    for state in RequestState:
        yield sample(metrics.REQUESTS, states[state], state=state)
    yield sample(metrics.OLDEST_REQUEST, max((_age(request, view.now) for request in waiting), default=0))


def _images(view: View) -> Iterator[Sample]:
    newest: dict[tuple[ImageName, ProviderName], Timestamp] = {}
    for upload in view.uploads:
        if in_service(upload):
            key = (upload.image, upload.provider)
            newest[key] = max(upload.state_time, newest.get(key, 0))
    for (image, provider), since in sorted(newest.items()):
        yield sample(metrics.IMAGE_AGE, max(view.now - since, 0), image=image, provider=provider)
    for image in sorted({build.image for build in view.builds}):
        yield sample(metrics.IMAGE_FAILURES, _failed_since(view, image), image=image)


def _failed_since(view: View, image: ImageName) -> int:
    builds = [build for build in view.builds if build.image == image]
    good = max((build.state_time for build in builds if build.state is ImageState.READY), default=0)
    return sum(build.state is ImageState.FAILED and build.state_time > good for build in builds)


def _capacity(view: View, provider: Provider) -> Iterator[Sample]:
    facts = view.facts.get(provider.name)
    foreign = view.foreign.get(provider.name)
    yield from _amounts(metrics.PROVIDER_USAGE, USUAL, view.used_in_provider.get(provider.name), provider=provider.name)
    if provider.name in view.leased:
        yield from _amounts(metrics.PROVIDER_FOREIGN, USUAL, foreign, provider=provider.name)
        yield from _amounts(metrics.PROVIDER_LIMIT, (), facts.limits if facts else None, provider=provider.name)
    for pool in provider.pools.values():
        place = {"provider": provider.name, "pool": pool.name}
        yield from _amounts(metrics.POOL_USAGE, USUAL, view.used.get(pool.key), **place)
        yield from _amounts(metrics.POOL_LIMIT, (), pool.limits, **place)


def _amounts(metric: Metric, always: Iterable[str], found: Resources | None, **place: str) -> Iterator[Sample]:
    amounts = found.amounts if found else {}
    for name in dict.fromkeys((*always, *amounts)):
        yield sample(metric, amounts.get(name, 0), resource=name, **place)


def _health(view: View, provider: ProviderName) -> Iterator[Sample]:
    facts = view.facts.get(provider)
    yield sample(metrics.PROVIDER_UP, int(facts is not None and facts.error is None), provider=provider)
    if facts is not None and facts.listed is not None:
        yield sample(metrics.PROVIDER_LIST_AGE, max(view.now - facts.listed, 0), provider=provider)
    yield sample(metrics.PROVIDER_ALARM, int(provider in view.alarms), provider=provider)
    frozen = view.frozen.get(provider, NOT_FROZEN)
    yield sample(metrics.PROVIDER_FROZEN, int(frozen.creates), provider=provider, what="creates")
    yield sample(metrics.PROVIDER_FROZEN, int(frozen.deletes), provider=provider, what="deletes")


def _waiting(view: View) -> Iterator[Sample]:
    counts = Counter(code for reasons in view.verdicts.values() for code in {reason.code for reason in reasons})
    for code in WAITING_CODES:
        yield sample(metrics.WAITING, counts[code], reason=code)


def _queue(hostname: str, name: str, length: int) -> Sample:
    return sample(metrics.ZK_QUEUE, length, hostname=hostname, queue=name)


def _age(request: NodeRequest, now: Timestamp) -> float:
    return max(now - (request.created_time or request.state_time), 0)
