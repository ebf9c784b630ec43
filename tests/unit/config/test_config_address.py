"""The short way to ZooKeeper says what the long one says, or nothing."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nodepool_ng.config import ConfigError, load, zookeeper_of

FILES = sorted((Path(__file__).parent / "files").rglob("*.yaml"))
WORDS = st.sampled_from(["", "zk", "zk 1", "::1", "/a", "7"])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-2, 70_000), st.floats(), WORDS)
SERVER = st.dictionaries(st.sampled_from(["host", "port", "chroot", "else"]), SCALARS, max_size=3)
SERVERS = st.lists(SERVER, max_size=3)
TLS = st.dictionaries(st.sampled_from(["cert", "key", "ca"]), SCALARS)
AUTH = st.dictionaries(st.sampled_from(["user", "password", "scheme", "protect"]), SCALARS)
TEXTS = st.fixed_dictionaries(
    {},
    optional={
        "zookeeper-servers": SERVERS | SCALARS,
        "zookeeper-tls": TLS | SCALARS,
        "zookeeper-auth": AUTH | SCALARS,
        "zookeeper-timeout": SCALARS,
    },
)


def agrees(path: Path, secure: Path | None = None) -> None:
    quick = zookeeper_of(str(path), None if secure is None else str(secure), {})
    if quick is None:
        return
    try:
        assert load(str(path), None if secure is None else str(secure), {}).settings.zookeeper == quick
    except ConfigError as error:
        complaints = error.complaints
    else:
        complaints = ()
    assert not [complaint for complaint in complaints if "zookeeper" in complaint.what]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_agrees_about_files(path):
    agrees(path)


@settings(max_examples=300, deadline=None)
@given(main=TEXTS, secure=TEXTS)
def test_it_agrees_about_anything(tmp_path_factory, main, secure):
    folder = tmp_path_factory.mktemp("config")
    for name, content in (("main", main), ("secure", secure)):
        (folder / name).write_text(yaml.safe_dump(content))
    agrees(folder / "main")
    agrees(folder / "main", folder / "secure")


def test_it_does_understand_what_is_written_plainly(tmp_path):
    path, secure = tmp_path / "main.yaml", tmp_path / "secure.yaml"
    path.write_text("zookeeper-servers: [{host: zk1, chroot: pool}, {host: zk2, port: 2181}]\nlabels: broken\n")
    secure.write_text("zookeeper-tls: {cert: /c, key: /k, ca: /a}\n")
    found = zookeeper_of(str(path), str(secure), {})
    assert found is not None
    assert (found.hosts, found.chroot, found.tls_ca) == (("zk1:2281", "zk2:2181"), "/pool", "/a")
