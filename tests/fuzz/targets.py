"""Every parser of foreign bytes as a function of bytes: it returns, or what it was given has broken a promise.

For fuzzers that change bytes themselves, guided by the branches that are taken; see `guided`.
"""

import contextlib
import json
import logging
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from nodepool_ng.cli.data import _read
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.config import ConfigError, load, zookeeper_of
from nodepool_ng.daemon.process import PidFile
from nodepool_ng.drivers import DriverError
from nodepool_ng.drivers.openstack.driver import OpenStack
from nodepool_ng.listing.table import printable
from nodepool_ng.telemetry.logs import BadLoggingConfig, Lines, from_file
from nodepool_ng.web.accept import chosen
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.codec import Damaged
from tests.fuzz import conftest
from tests.fuzz.test_fuzz_clouds import PROVIDER, RIGHT, Babble
from tests.fuzz.test_fuzz_files import BUILD
from tests.fuzz.test_fuzz_znodes import PLACES

assert conftest, "it registers the profile that these modules read"

Target = Callable[[bytes], None]
_SPOTS = sorted(PLACES)
_CALLS = sorted(RIGHT)
_CONFIG = b"zookeeper-servers: [{host: zk, port: 1}]\nlabels: [{name: a, min-ready: 1}]\ndiskimages: [{name: b}]\n"


def znode(data: bytes) -> None:
    """The first byte chooses a place, the rest is its record."""
    path = _SPOTS[data[0] % len(_SPOTS)] if data else _SPOTS[0]
    at = paths.parse(path)
    found = codec.decode(path, at, data[1:])  # type: ignore[arg-type]
    assert found is not None
    if isinstance(found, Damaged):
        assert len(found.reason) < 300


def path(data: bytes) -> None:
    paths.parse(data.decode(errors="replace"))
    paths.parse(f"/nodepool/images/{data.decode(errors='replace')}")
    paths.parse(f"/nodepool_ng/{data.decode(errors='replace')}")


def cloud(data: bytes) -> None:
    """The first byte chooses the call that is answered so; all others are answered well."""
    asked = _CALLS[data[0] % len(_CALLS)] if data else _CALLS[0]
    driver = OpenStack(PROVIDER, Babble({**RIGHT, asked: data[1:]}))  # type: ignore[arg-type]
    for ask in (lambda: driver.list_servers(None, 1e9), lambda: driver.capacity(1e9), driver.list_images):
        with contextlib.suppress(DriverError):
            ask()


def config(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        quick = zookeeper_of(file.name, None, {})
        with contextlib.suppress(ConfigError):
            assert quick in (None, load(file.name, None, {}).settings.zookeeper)


def export(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file, contextlib.suppress(Failed):
        file.write(data)
        file.flush()
        assert all(at.startswith("/nodepool/images/") for at in dict(_read(file.name)))


def session(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pid.session").write_bytes(data)
        found = PidFile(f"{folder}/pid").previous_session()
        assert found is None or (isinstance(found[0], int) and isinstance(found[1], bytes))


def logging_file(data: bytes) -> None:
    """Only those that are none: a good one may name any class of Python, since root wrote it."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file, contextlib.suppress(BadLoggingConfig):
        file.write(b"[" + data)
        file.flush()
        from_file(file.name)


def shown(data: bytes) -> None:
    """What is written to terminals, logs and headers."""
    text = data.decode(errors="replace")
    assert printable(text).isprintable()
    line = Lines().format(logging.LogRecord("nodepool", logging.INFO, "", 0, "said: %s", (text,), None))
    assert "\x1b" not in line
    assert all(more.startswith("    ") for more in line.split("\n")[1:])
    assert chosen(text, ("text/html", "application/json")) in ("text/html", "application/json", None)


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "znode": znode,
        "path": path,
        "cloud": cloud,
        "config": config,
        "export": export,
        "session": session,
        "logging": logging_file,
        "shown": shown,
    }
)
SEEDS: Mapping[str, tuple[bytes, ...]] = MappingProxyType(
    {
        "znode": tuple(bytes([i]) + json.dumps(PLACES[spot] or {"a": 1}).encode() for i, spot in enumerate(_SPOTS)),
        "path": tuple(spot.encode() for spot in _SPOTS),
        "cloud": tuple(bytes([i]) + RIGHT[call] for i, call in enumerate(_CALLS)),
        "config": (_CONFIG, b"a: &b [*b]\n", b"? {a: 1}\n: 2\n"),
        "export": (json.dumps({BUILD: "{}"}).encode(),),
        "session": (b'{"id": 7, "password": "00ff"}',),
        "logging": (b'{"version": 1}]',),
        "shown": (b"\x1b[2J\r\n", b"text/html;q=0.5, */*"),
    }
)
