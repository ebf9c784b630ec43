"""Reads what daemons tell about themselves. It lies beside what the mirror reads, since nothing is decided by it."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import unquote

from nodepool_ng.zk.facts import decode_facts
from nodepool_ng.zk.store import Answers, Children, Failure, Get, Got, Names, Problem, Store

Documents: TypeAlias = Mapping[str, Mapping[str, Any] | None]
"""By daemon; None for one whose document was being written just then."""


class Unread(Exception):
    """ZooKeeper does not answer."""


def read_documents(store: Store, folder: str, done: Callable[[Documents | None], None]) -> None:
    """Read all documents below `folder`; `done` gets them, or None where ZooKeeper does not answer, on the store's
    thread."""
    store.submit([Children(folder)], partial(_listed, store, folder, done))


def documents(store: Store, folder: str) -> Future[Documents]:
    """Return where all documents below `folder` will be; the future raises Unread."""
    future: Future[Documents] = Future()

    def done(found: Documents | None) -> None:
        if not future.set_running_or_notify_cancel():
            return
        if found is None:
            future.set_exception(Unread())
        else:
            future.set_result(found)

    read_documents(store, folder, done)
    return future


def _listed(store: Store, folder: str, done: Callable[[Documents | None], None], answers: Answers) -> None:
    match answers[0]:
        case Names(names) if names:
            found = sorted(names)
            store.submit([Get(f"{folder}/{name}") for name in found], partial(_read, found, done))
        case Names() | Failure(Problem.NO_NODE):
            done({})
        case _:
            done(None)


def _read(names: list[str], done: Callable[[Documents | None], None], answers: Answers) -> None:
    parts: dict[str, list[bytes]] = {}
    for name, answer in zip(names, answers, strict=True):
        match answer:
            case Got(data):
                parts.setdefault(unquote(name.rpartition(".")[0]), []).append(data)
            case Failure(problem) if problem is not Problem.NO_NODE:
                done(None)
                return
    done({daemon: decode_facts(each) for daemon, each in parts.items()})
