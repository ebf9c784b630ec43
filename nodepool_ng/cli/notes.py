"""Notes about what operators did: every command that changes something leaves one, by itself."""

import getpass
import json
import os
import socket
from collections.abc import Sequence

from nodepool_ng.model.ids import Timestamp
from nodepool_ng.zk import paths
from nodepool_ng.zk.store import Commit, Create, Delete, Verb

KEPT = 1000
"""Orders that are remembered."""
MOST_OBJECTS = 20


def who() -> str:
    """Return the name of the person: whoever called sudo, rather than root."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def person() -> str:
    """Return who it is and where, as records have it."""
    return f"{who()}@{socket.gethostname()}"


def record(command: str, changed: Sequence[str], reason: str, now: Timestamp) -> bytes:
    """Return the note about an order; `changed` are the paths that it changed."""
    objects = list(dict.fromkeys(name for path in changed if (name := name_of(path))))
    told = {
        "time": round(now, 3),
        "user": who(),
        "host": socket.gethostname(),
        "command": command,
        "objects": objects[:MOST_OBJECTS],
        "count": len(objects),
        "reason": reason,
    }
    return json.dumps(told).encode("ascii")


def name_of(path: str) -> str | None:
    """Return what an operator calls what is at a path; None for what is only there to lock or to hold others."""
    match paths.parse(path):
        case paths.NodeAt(id):
            return f"node {id}"
        case paths.RequestAt(id):
            return f"request {id}"
        case paths.BuildAt(image, id):
            return f"build {image}-{id}"
        case paths.UploadAt(image, build, provider, id):
            return f"upload {image}-{build} {provider} {id}"
        case paths.PausedAt(image) | paths.BuildRequestedAt(image):
            return f"image {image}"
        case paths.CancelAt(what):
            return f"work {what}"
        case paths.FreezeAt(name):
            return f"provider {name}"
        case paths.ConfirmedAt(name):
            return f"provider {name}"
        case paths.CordonAt(kind, name):
            return f"{kind} {name}"
    return None


def trimming(names: Sequence[str]) -> list[Verb]:
    """Return what removes the oldest notes, so that no more than `KEPT` stay."""
    return [Commit((Delete(f"{paths.AUDIT}/{name}"),)) for name in sorted(names)[: max(len(names) - KEPT, 0)]]


def appending(note: bytes) -> Create:
    return Create(paths.new_audit(), note, sequence=True)
