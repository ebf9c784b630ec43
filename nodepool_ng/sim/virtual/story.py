"""A history told as a story: what happened, what the launchers decided and why, what they wrote, what clouds were
asked. Made by letting the history happen once more."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nodepool_ng.drivers import Listing
from nodepool_ng.drivers import calls as cloud
from nodepool_ng.model.ids import NodeId, ProviderName, RequestId
from nodepool_ng.model.node import Node
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.sim.virtual.history import History, Stage, Verdict
from nodepool_ng.sim.virtual.timeline import EPOCH
from nodepool_ng.sim.virtual.witness import Deed, Written, reading
from nodepool_ng.zk import paths

LOGGERS = ("nodepool.launcher", "nodepool.builder")


def tell(history: History, say: Callable[[str], None] = print) -> Verdict:
    """Let a history happen, saying a line for everything of note, with the second it happens at."""
    stage: list[Stage] = []

    def line(text: str) -> None:
        now = stage[0].place.timeline.now() - EPOCH if stage else 0.0
        say(f"{now:9.3f}  {text}")

    stage.append(Stage(history, told=lambda text: line(f"* {text}")))
    place = stage[0].place
    judge, ended, called = place.tree.judge, place.tree.ended, place.called

    def judged(deed: Deed) -> None:
        process = place.process_of(deed.session)
        who = process.name if process else f"session {deed.session}"
        for written in deed.nodes:
            line(f"    {who} writes {_node(written)}")
        for written in deed.requests:
            line(f"    {who} writes {_request(written)}")
        for written in deed.images:
            line(f"    {who} writes {_image(written)}")
        judge(deed)

    def over(session: int) -> None:
        line(f"    session {session} is over")
        ended(session)

    def answered(name: str, provider: ProviderName, call: cloud.Call, answer: object) -> None:
        line(f"    {name} calls {provider}: {_call(call)} -> {_short(answer)}")
        called(name, provider, call, answer)

    place.tree.judge, place.tree.ended, place.called = judged, over, answered
    with _listening(stage[0], line):
        verdict = stage[0].play()
    for breach in verdict.breaches:
        line(f"! {breach}")
    return verdict


def setting(history: History) -> Iterator[str]:
    """Yield what a story needs to be understood: who is there, and what is configured."""
    setup = history.setup
    for name, chosen in setup.launchers.items():
        yield f"launcher {name} has {', '.join(chosen.providers)}"
    if setup.old:
        yield "a launcher of Nodepool 11 shares the first project"
    for provider in setup.settings.providers.values():
        for pool in provider.pools.values():
            yield (
                f"provider {provider.name}: labels {', '.join(pool.labels)}, max-servers "
                f"{pool.limits.get('instances'):g}, priority {pool.priority}, "
                f"launch-retries {provider.launch_retries}, max-concurrency {provider.max_concurrency}"
            )
    for label in setup.settings.labels.values():
        yield f"label {label.name}: min-ready {label.min_ready}, max-ready-age {label.max_ready_age:g}"


class _Listener(logging.Handler):
    def __init__(self, stage: Stage, line: Callable[[str], None]) -> None:
        super().__init__()
        self._stage = stage
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        who = next((each.name for each in self._stage.place.processes() if each.busy), "?")
        self._line(f"  {who}: {record.getMessage()}")


@contextmanager
def _listening(stage: Stage, line: Callable[[str], None]) -> Iterator[None]:
    handler = _Listener(stage, line)
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    disabled = logging.root.manager.disable
    logging.disable(logging.NOTSET)
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
    try:
        yield
    finally:
        logging.disable(disabled)
        for logger, level, propagate in before:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


def _node(written: Written) -> str:
    def said(data: bytes | None) -> str:
        found = reading(written.path, paths.NodeAt(NodeId(written.id)), data) if data else None
        if not isinstance(found, Node):
            return "nothing" if not data else "something damaged"
        more = f" for {found.allocated_to}" if found.allocated_to else ""
        attempt = f" attempt {found.attempt[:4]}" if found.attempt else ""
        return f"{found.state}{more}{attempt}"

    return f"node {written.id}: {said(written.before)} -> {said(written.after)}"


def _request(written: Written) -> str:
    def said(data: bytes | None) -> str:
        found = reading(written.path, paths.RequestAt(RequestId(written.id)), data) if data else None
        if not isinstance(found, NodeRequest):
            return "nothing"
        return f"{found.state} {','.join(found.nodes)}".strip()

    return f"request {written.id}: {said(written.before)} -> {said(written.after)}"


def _image(written: Written) -> str:
    def said(data: bytes | None) -> str:
        at = paths.parse(written.path)
        found = reading(written.path, at, data) if data and isinstance(at, paths.BuildAt | paths.UploadAt) else None
        return str(getattr(found, "state", "nothing"))

    kind = "upload" if "/providers/" in written.path else "build"
    return f"{kind} {written.path.removeprefix(paths.IMAGES)}: {said(written.before)} -> {said(written.after)}"


def _call(call: cloud.Call) -> str:
    match call:
        case cloud.Create(order):
            return f"create {order.name} attempt {(order.marks.attempt or '')[:4]}"
        case cloud.Remove(server):
            return f"delete server {server[:8]}"
        case cloud.ListAll(since):
            return "list all" if since is None else "list changes"
        case _:
            return type(call).__name__


def _short(answer: object) -> str:
    match answer:
        case str():
            return answer[:8]
        case Exception():
            return f"{type(answer).__name__}: {answer}"
        case Listing(servers=servers):
            return f"{len(servers)} servers"
        case _:
            return "done"
