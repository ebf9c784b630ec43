"""The secure file: what it replaces, what it completes, what it may not say."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nodepool_ng.config import ConfigError, Loaded, load, validate
from nodepool_ng.model.ids import ImageName
from nodepool_ng.model.settings import ZooKeeperAuth, ZooKeeperSettings

MAIN = """\
zookeeper-servers: [{host: open, chroot: /a}]
zookeeper-tls: {cert: c, key: k, ca: a}
diskimages:
  - {name: soil, abstract: true}
  - {name: wood, env-vars: {A: open, B: open}}
"""


def test_it_replaces_servers_and_tls_and_completes_environments(loaded: Callable[..., Loaded]) -> None:
    found = loaded(
        MAIN,
        "zookeeper-servers: [{host: hidden, port: 2182}]\n"
        "zookeeper-tls: {cert: c2, key: k2, ca: a2}\n"
        "diskimages: [{name: wood, env-vars: {B: hidden, C: hidden}}]\n",
    )
    assert found.warnings == ()
    assert found.settings.zookeeper == ZooKeeperSettings(
        hosts=("hidden:2182",), tls_cert="c2", tls_key="k2", tls_ca="a2"
    )
    assert found.settings.diskimages[ImageName("wood")].env_vars == {"A": "open", "B": "hidden", "C": "hidden"}


@pytest.mark.parametrize("secure", ["", "# nothing\n", "zookeeper-servers: []\n", "---\n"])
def test_what_it_does_not_say_stays(loaded: Callable[..., Loaded], secure: str) -> None:
    assert loaded(MAIN, secure) == loaded(MAIN)


def test_tls_is_replaced_as_a_whole(loaded: Callable[..., Loaded]) -> None:
    zookeeper = loaded(MAIN, "zookeeper-tls: {cert: c2}").settings.zookeeper
    assert zookeeper is not None
    assert (zookeeper.tls_cert, zookeeper.tls_key, zookeeper.tls_ca) == ("c2", None, None)


def test_credentials_are_taken_from_it_as_a_whole(loaded: Callable[..., Loaded]) -> None:
    main = MAIN + "zookeeper-auth: {user: open, password: open, protect: all}\n"
    zookeeper = loaded(main, "zookeeper-auth: {user: us, password: hidden}").settings.zookeeper
    assert zookeeper is not None
    assert zookeeper.auth == ZooKeeperAuth(user="us", password="hidden")
    assert "hidden" not in repr(zookeeper)


@pytest.mark.parametrize(
    ("secure", "complaint"),
    [
        ("zookeeper-auth: {user: us}", "1:17: fatal: zookeeper-auth has no password"),
        ("zookeeper-auth: {user: 'u:s', password: p}", "1:24: fatal: zookeeper-auth.user is empty or has a colon"),
        ("zookeeper-auth: {user: us, password: ''}", "1:38: fatal: zookeeper-auth.password is empty"),
        ("zookeeper-auth: {user: u, password: p, scheme: x}", "1:48: fatal: zookeeper-auth.scheme is none of its"),
        ("zookeeper-auth: {user: u, password: p, protect: x}", "1:49: fatal: zookeeper-auth.protect is none of its"),
        ("labels: []", "1:1: warning: labels is not a known key"),
        ("diskimages: [{name: wood, env-vars: {}, elements: [x]}]", "1:41: warning: diskimages[wood].elements is not"),
        ("zookeeper-tls: {cert: c2}", "1:1: error: zookeeper-tls has no key, no ca"),
        ("diskimages: [{name: rock, env-vars: {}}]", "1:21: fatal: diskimages[rock].name names no disk image"),
        ("diskimages: [{name: soil, env-vars: {}}]", "1:21: fatal: diskimages[soil].name names no disk image"),
        ("diskimages: [{name: wood}]", "1:14: fatal: diskimages[wood] has no env-vars"),
        ("zookeeper-servers: [{port: 1}]", "1:21: fatal: zookeeper-servers[0] has no host"),
        (
            "zookeeper-servers:\n- {host: a, chroot: b}\n- {host: a, chroot: c}",
            "3:21: fatal: zookeeper-servers[1].ch",
        ),
        ("- 1", "1:1: fatal: the file is not a mapping"),
        ("a: [", "1:5: fatal: this is not YAML"),
        ("a: 1\na: 1", "2:1: warning: the key a is written twice, first in line 1"),
    ],
)
def test_its_faults_have_their_place_in_it(complaints: Callable[..., list[str]], secure: str, complaint: str) -> None:
    assert any(one.startswith(f"secure.yaml:{complaint}") for one in complaints(MAIN, secure)), complaints(MAIN, secure)


def test_faults_of_the_main_file_that_it_covers_are_none(complaints: Callable[..., list[str]]) -> None:
    main = "zookeeper-servers: [{host: a, chroot: x}, {host: b, chroot: y}]\nzookeeper-tls: {}\n"
    assert len(complaints(main)) == 2
    assert complaints(main, "zookeeper-servers: [{host: c}]\nzookeeper-tls: {cert: c, key: k, ca: a}\n") == []


def test_its_complaints_come_after_those_of_the_main_file(complaints: Callable[..., list[str]]) -> None:
    found = complaints("unknown: 1\n" + MAIN, "unheard: 1")
    assert [one.split(":")[0] for one in found] == ["nodepool.yaml", "secure.yaml"]


def test_it_is_a_configuration_of_its_own(write: Callable[..., str]) -> None:
    path = write("zookeeper-servers: [{host: zk}]\ndiskimages: [{name: wood, env-vars: {A: b}}]\n")
    assert validate(path, env={}) == ()
    assert load(path, env={}).settings.zookeeper == ZooKeeperSettings(hosts=("zk:2281",))


@pytest.mark.parametrize("which", ["main", "secure"])
def test_a_file_that_is_not_there_is_named(write: Callable[..., str], tmp_path: Path, which: str) -> None:
    gone = str(tmp_path / "gone.yaml")
    files = (gone, None) if which == "main" else (write(MAIN), gone)
    with pytest.raises(ConfigError, match=r"gone\.yaml: fatal: the file cannot be read: No such file"):
        load(files[0], files[1], {})


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"images-dir: /b\xfccher\n")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load(str(tmp_path / "latin.yaml"), env={})


def test_values_of_secrets_are_in_no_complaint(complaints: Callable[..., list[str]]) -> None:
    assert not any("4711" in one for one in complaints(MAIN, "zookeeper-auth: {user: u, password: 4711}"))
    found = complaints(MAIN, "diskimages: [{name: wood, env-vars: {A: 4711, B: [4711], 4711: }}]")
    assert len(found) == 3
    assert not any("4711" in one.replace("env-vars.4711", "") for one in found)
