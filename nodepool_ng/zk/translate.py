"""Our verbs as kazoo's requests, and kazoo's replies as our answers.

kazoo returns the errors of a transaction as results; here they become one `Failure` that names its cause.
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from kazoo.exceptions import (
    BadVersionError,
    ConnectionLoss,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    OperationTimeoutError,
    RequestTimeoutError,
    RolledBackError,
    RuntimeInconsistency,
    SessionExpiredError,
)
from kazoo.protocol import serialization as wire_format

from nodepool_ng.zk.store import (
    Answer,
    Check,
    Children,
    Commit,
    Committed,
    Create,
    Delete,
    Failure,
    Get,
    Got,
    Names,
    Op,
    Problem,
    Set,
    Stat,
    Sync,
    Synced,
    Verb,
    oversize,
)
from nodepool_ng.zk.wire import Client

_PROBLEMS = MappingProxyType(
    {
        NoNodeError: Problem.NO_NODE,
        NodeExistsError: Problem.NODE_EXISTS,
        BadVersionError: Problem.BAD_VERSION,
        NotEmptyError: Problem.NOT_EMPTY,
        ConnectionLoss: Problem.CONNECTION_LOST,
        SessionExpiredError: Problem.SESSION_LOST,
        OperationTimeoutError: Problem.TIMED_OUT,
        RequestTimeoutError: Problem.TIMED_OUT,
    }
)
_BYSTANDERS = (RolledBackError, RuntimeInconsistency)
"""What the operations of a failed transaction are told that were not its cause."""


def known_already(verb: Verb) -> Answer | None:
    """Return the answer to what need not be sent."""
    if isinstance(verb, Commit) and not verb.ops:
        return Committed(())
    return oversize(verb)


def to_request(verb: Verb, client: Client) -> Any:
    absolute = client.absolute
    match verb:
        case Get(path):
            return wire_format.GetData(absolute(path), None)
        case Children(path):
            return wire_format.GetChildren(absolute(path), None)
        case Sync(path):
            return wire_format.Sync(absolute(path))
        case Commit((Create() | Set() | Delete() as only,)):
            return _operation(only, client)
        case Commit(ops):
            return wire_format.Transaction([_operation(op, client) for op in ops])


def _operation(op: Op, client: Client) -> Any:
    absolute = client.absolute
    match op:
        case Create(path, data, ephemeral, sequence):
            return wire_format.Create(absolute(path), data, client.acl(path), ephemeral | sequence << 1)
        case Set(path, data, version):
            return wire_format.SetData(absolute(path), data, version)
        case Delete(path, version):
            return wire_format.Delete(absolute(path), version)
        case Check(path, version):
            return wire_format.CheckVersion(absolute(path), version)


def to_answer(verb: Verb, value: Any, client: Client) -> Answer:
    match verb:
        case Get():
            return Got(value[0] or b"", _stat(value[1]))
        case Children():
            return Names(tuple(value))
        case Sync():
            return Synced()
        case Commit((Create(),)):
            return Committed((client.unchroot(value) if isinstance(value, str) else value[0],), client.last_zxid)
        case Commit((Set(),)):
            return Committed((_stat(value),), client.last_zxid)
        case Commit((Delete(),)):
            return Committed((None,), client.last_zxid)
        case Commit(ops):
            return _outcome(ops, value, client)


def _outcome(ops: Sequence[Op], results: Sequence[Any], client: Client) -> Committed | Failure:
    """Return what became of a transaction: kazoo hands back errors as results."""
    for index, result in enumerate(results):
        if isinstance(result, Exception) and not isinstance(result, _BYSTANDERS):
            return to_failure(result, ops[index].path, index)
    made: list[str | Stat | None] = []
    for op, result in zip(ops, results, strict=True):
        match op:
            case Create():
                made.append(result)
            case Set():
                made.append(_stat(result))
            case _:
                made.append(None)
    return Committed(tuple(made), client.last_zxid)


def to_failure(error: Exception, path: str, index: int) -> Failure:
    for kind in type(error).__mro__:
        if problem := _PROBLEMS.get(kind):
            return Failure(problem, path, index)
    if isinstance(error, NoAuthError):
        return Failure(Problem.OTHER, path, index, "ZooKeeper does not let us: look at zookeeper-auth")
    return Failure(Problem.OTHER, path, index, f"ZooKeeper refused: {type(error).__name__}")


def _stat(stat: Any) -> Stat:
    return Stat(
        stat.version,
        stat.czxid,
        stat.mzxid,
        stat.ctime / 1000,
        stat.mtime / 1000,
        stat.ephemeralOwner,
        stat.numChildren,
    )
