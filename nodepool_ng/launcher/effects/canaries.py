"""What a canary has shown: written into the upload's record, with the evidence beside it."""

from nodepool_ng.launcher.checks import RunCheck
from nodepool_ng.launcher.outcome import CanaryChecked, Done, Lost, Outcome
from nodepool_ng.launcher.world import World
from nodepool_ng.model import action as do
from nodepool_ng.model.gate import at_gate, waits_at_gate
from nodepool_ng.model.image import Upload
from nodepool_ng.model.snapshot import Checked
from nodepool_ng.shell.effect import Effect, ask, commit, work
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.facts import encode_facts
from nodepool_ng.zk.store import Check, Children, Commit, Create, Delete, Failure, Get, Got, Names, Set

REPORTS = 50
"""Canaries of which the evidence is kept."""


def check_canary(world: World, action: do.CheckCanary) -> Effect[Outcome]:
    """Run the image's check, on this machine."""
    entry = world.picture.nodes.get(action.node)
    server = world.server(entry.record, action.server) if entry else None
    if entry is None or server is None:
        return Lost("the node is gone")
    node, took = entry.record, world.now - entry.record.state_time
    at = paths.parse(node.image_id or "")
    environment = {
        "NODEPOOL_HOST": server.addresses.interface_ip or "",
        "NODEPOOL_PORT": str(node.connection_port),
        "NODEPOOL_USERNAME": node.username or "",
        "NODEPOOL_HOST_KEYS": "\n".join(action.host_keys),
        "NODEPOOL_PROVIDER": node.provider or "",
        "NODEPOOL_NODE": node.id,
        "NODEPOOL_IMAGE": at.image if isinstance(at, paths.UploadAt) else "",
        "NODEPOOL_BUILD": at.build if isinstance(at, paths.UploadAt) else "",
    }
    trouble = yield from work(RunCheck(action.command, environment, action.timeout))
    return CanaryChecked(action.node, Checked(booted_after=took, trouble=trouble))


def judge_upload(world: World, action: do.JudgeUpload) -> Effect[Outcome]:
    """Let an upload into service, or keep it out, as its canary has shown."""
    contender = world.our_contender_on_node(action.node)
    entry = world.picture.nodes.get(action.node)
    if contender is None or entry is None:
        return Lost("the node is not ours any more")
    at = paths.parse(action.upload)
    (got,) = yield from ask(Get(action.upload))
    upload = codec.decode(action.upload, at, got.data) if isinstance(got, Got) and paths.is_record(at) else None
    if not isinstance(got, Got) or not isinstance(upload, Upload) or not waits_at_gate(upload):
        return Lost("the upload changed meanwhile")
    write = Set(action.upload, codec.encode_upload(at_gate(upload, action.gate)), got.stat.version)
    answer = yield from commit(Check(contender), write)
    if isinstance(answer, Failure):
        return Lost(str(answer))
    yield from _report(world, action, upload)
    return Done()


def _report(world: World, action: do.JudgeUpload, upload: Upload) -> Effect[None]:
    """Keep the evidence. Should that fail, the verdict stands all the same, with its reason."""
    gate = action.gate
    entry = world.picture.nodes.get(action.node)
    document = {
        "image": str(upload.image),
        "build": str(upload.build),
        "provider": str(upload.provider),
        "upload": str(upload.id),
        "state": gate.state.value,
        "since": gate.since,
        "why": gate.why or None,
        "seconds": gate.seconds,
        "node": str(action.node),
        "server": entry.record.server_id if entry else None,
        "console": world.canaries.consoles.get(action.node),
    }
    (part, *_) = encode_facts(document)
    path = paths.canary(upload.image, upload.build, upload.provider, upload.id)
    *_, listed = yield from ask(Commit((Create(path, part),)), Commit((Set(path, part),)), Children(paths.CANARIES))
    if not isinstance(listed, Names) or len(listed.names) <= REPORTS:
        return
    known = [f"{paths.CANARIES}/{name}" for name in listed.names]
    answers = yield from ask(*(Get(one) for one in known))
    ages = sorted((got.stat.ctime, one) for one, got in zip(known, answers, strict=True) if isinstance(got, Got))
    yield from ask(*(Commit((Delete(one),)) for _, one in ages[:-REPORTS]))
