"""What a launcher tells about itself, as bytes: one document, compressed, in as many parts as it needs.

Every part begins with a line that says which of how many it is, and of which document; so whoever reads while a
launcher writes notices, and reads again.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

LARGEST_PART = 512 * 1024  # bytes
_MARK = "nodepool_ng-facts-1"


def digest_of(document: Mapping[str, Any]) -> str:
    """Return what tells one document from another."""
    return hashlib.blake2b(_plain(document), digest_size=8).hexdigest()


def encode_facts(document: Mapping[str, Any]) -> tuple[bytes, ...]:
    """Return the parts of a document."""
    packed = zlib.compress(_plain(document), 6)
    bodies = [packed[at : at + LARGEST_PART] for at in range(0, len(packed), LARGEST_PART)]
    digest = digest_of(document)
    return tuple(
        f"{_MARK} {number} {len(bodies)} {digest}\n".encode("ascii") + body for number, body in enumerate(bodies)
    )


def decode_facts(parts: Iterable[bytes]) -> dict[str, Any] | None:
    """Return the document that the parts, in any order, are of; None when they are not all of one document."""
    bodies: dict[int, bytes] = {}
    seen: set[tuple[str, str]] = set()
    for part in parts:
        head, _, body = part.partition(b"\n")
        match head.decode("ascii", "replace").split(" "):
            case [mark, number, count, digest] if mark == _MARK and number.isdigit() and count.isdigit():
                bodies[int(number)] = body
                seen.add((count, digest))
            case _:
                return None
    if len(seen) != 1 or sorted(bodies) != list(range(int(next(iter(seen))[0]))):
        return None
    try:
        found = json.loads(zlib.decompress(b"".join(bodies[number] for number in sorted(bodies))))
    except (zlib.error, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _plain(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")
