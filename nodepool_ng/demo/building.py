"""How the demo gets its image: by the real disk-image-create where this machine can, or else ready-made.

As a program, this is the stand-in: a `dib-cmd` that takes diskimage-builder's arguments and leaves a small, valid
qcow2 file and its checksums where they are expected.
"""

import hashlib
import os
import shlex
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from nodepool_ng.demo.folder import ELEMENTS, Folder
from nodepool_ng.demo.settings import ELEMENT, IMAGE

STAND_IN = f"{shlex.quote(sys.executable)} -m nodepool_ng.demo.building"
FORMAT = "qcow2"
SIZE = 1 << 30  # bytes that the disk pretends to have
_CLUSTER = 1 << 16
_ELEMENT_NEEDS: Mapping[str, str] = {"extlinux": "extlinux", "cpio": "cpio", "kmod": "kmod"}


def obstacles(folder: Folder, env: Mapping[str, str]) -> tuple[str, ...]:
    """Return what stands in the way of a real build on this machine, a sentence each."""
    from nodepool_ng.builder import dib, preflight
    from nodepool_ng.model.ids import BuildId

    if not (ELEMENTS / ELEMENT).is_dir():
        return (f"the element {ELEMENT} is in the source tree only, and this is not one",)
    order = dib.BuildOrder(
        image=IMAGE,
        id=BuildId("0" * 32),
        elements=(ELEMENT,),
        formats=frozenset({FORMAT}),
        images_dir=folder.images,
        log=folder.logs / "none",
        elements_dir=str(folder.elements),
        env_vars={"TMPDIR": str(folder.scratch)},
    )
    found = [str(complaint) for complaint in preflight.complaints(order, preflight.look(order, env))]
    path = os.pathsep.join((env.get("PATH", os.defpath), "/sbin", "/usr/sbin"))
    found += [
        f"{program} is not installed; {ELEMENT} needs it"
        for program in _ELEMENT_NEEDS
        if dib.executable(program, {**env, "PATH": path}) is None
    ]
    return tuple(found)


def empty_disk(size: int = SIZE) -> bytes:
    """Return a qcow2 file (version 2) of a disk with nothing on it."""
    tables = -(-size // (_CLUSTER * (_CLUSTER // 8)))
    header = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 16, size, 0, tables, 3 * _CLUSTER, _CLUSTER, 1, 0, 0)
    refcounts = struct.pack(">Q", 2 * _CLUSTER)
    in_use = struct.pack(">4H", 1, 1, 1, 1)
    clusters = (header, refcounts, in_use, bytes(8 * tables))
    return b"".join(each.ljust(_CLUSTER, b"\0") for each in clusters)


def main(words: Sequence[str]) -> int:
    """Write the image where `-o` says."""
    output = Path(f"{words[words.index('-o') + 1]}.{FORMAT}")
    formats = words[words.index("-t") + 1].split(",")
    if formats != [FORMAT]:
        print(f"only {FORMAT} is ready-made, not {', '.join(formats)}", file=sys.stderr)
        return 1
    disk = empty_disk()
    output.write_bytes(disk)
    for suffix, digest in (("md5", hashlib.md5(disk)), ("sha256", hashlib.sha256(disk))):
        Path(f"{output}.{suffix}").write_text(f"{digest.hexdigest()}  {output}\n")
    print(f"{output} is a ready-made, empty disk: nothing was built")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
