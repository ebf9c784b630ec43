"""A stand-in for disk-image-create that does as the test says, and a pipe that ends when its processes do."""

import os
import select
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nodepool_ng.builder import dib
from nodepool_ng.model.ids import BuildId, ImageName

STAND_IN = """#!/bin/bash
args="$*"
while [ $# -gt 0 ]; do
    case $1 in
        -o) out=$2; shift ;;
        -t) formats=${2//,/ }; shift ;;
    esac
    shift
done
write() {
    for format in $formats; do
        echo image > "$out.$format"
        echo "$(printf '%032d' 1)  x" > "$out.$format.md5"
    done
}
"""

BUILD = BuildId("a" * 32)
PATIENCE = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Pulse:
    """A named pipe: a process that holds its writing end is alive. `started` returns when the first one is."""

    path: Path
    fd: int

    def started(self) -> None:
        assert self._heard() == b"+"

    def stopped(self) -> bool:
        """Wait until nobody holds the other end."""
        return self._heard() == b""

    def _heard(self) -> bytes:
        """Read one byte, or the end. A pipe that nobody has written to yet is not at its end for `select`."""
        readable, _, _ = select.select([self.fd], [], [], PATIENCE)
        assert readable
        return os.read(self.fd, 1)


@pytest.fixture
def pulse(tmp_path: Path) -> Iterator[Pulse]:
    path = tmp_path / "pulse"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield Pulse(path, fd)
    finally:
        os.close(fd)


@pytest.fixture(params=["sandbox", "plain"])
def confined(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run the test twice: in namespaces and without."""
    sandbox = request.param == "sandbox"
    if sandbox and not dib.sandbox_works():
        pytest.skip("namespaces need root and a kernel that lets it make them")
    monkeypatch.setattr(dib, "sandbox_works", lambda: sandbox)
    return sandbox


@pytest.fixture
def order(tmp_path: Path, pulse: Pulse) -> Callable[..., dib.BuildOrder]:
    """Order a build by the stand-in: `order("write; exit 0", formats=…)`."""
    script = tmp_path / "disk image create"
    script.write_text(f'{STAND_IN}\neval "$BODY"\n')
    script.chmod(0o755)
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def make(body: str, **changes: object) -> dib.BuildOrder:
        plain = dib.BuildOrder(
            image=ImageName("x"),
            id=BUILD,
            elements=("one", "two"),
            formats=frozenset({"qcow2", "raw"}),
            images_dir=tmp_path / "images",
            log=tmp_path / "logs" / f"x-{BUILD}.log",
            dib_cmd=f"'{script}'",
            env_vars={"BODY": body, "PULSE": str(pulse.path), "TMPDIR": str(scratch)},
            timeout=60.0,
        )
        return replace(plain, **changes)  # type: ignore[arg-type]

    return make
