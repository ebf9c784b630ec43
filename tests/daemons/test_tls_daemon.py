"""A launcher that reaches ZooKeeper over TLS: certificates are renewed, other servers named, without a restart."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.sim.zookeeper import NoZooKeeper, Server, find, private_server
from nodepool_ng.zk import paths
from nodepool_ng.zk.store import Got
from tests.daemons.test_launcher import clouds, configure
from tests.support import tls
from tests.support.daemons import Site, site, wait_for

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons]


@pytest.fixture
def files(tmp_path: Path) -> tls.Certificates:
    return tls.make(tmp_path / "tls")


@pytest.fixture
def server(files: tls.Certificates) -> Iterator[Server]:
    """A ZooKeeper that takes clients with our certificates only."""
    try:
        find()
    except NoZooKeeper as error:
        pytest.skip(str(error))
    with private_server(files.server) as running:
        yield running


def over_tls(server: Server, files: tls.Certificates) -> ZooKeeperSettings:
    return ZooKeeperSettings(
        hosts=(f"127.0.0.1:{server.secure_port}",),
        session_timeout=20.0,
        tls_ca=str(files.ca),
        tls_cert=str(files.cert),
        tls_key=str(files.key),
    )


def owners(place: Site) -> set[int]:
    """Return the sessions that registered pools."""
    found = [place.read(path) for path in place.children(paths.components("pool"))]
    return {got.stat.ephemeral_owner for got in found if isinstance(got, Got)}


def test_renewed_certificates_are_used_and_the_session_is_kept(
    tmp_path: Path, server: Server, files: tls.Certificates
) -> None:
    (tmp_path / "site").mkdir()
    with site(tmp_path / "site", over_tls(server, files)) as place:
        place.start_clouds(clouds=clouds())
        configure(place, "north", min_ready=2)
        place.launcher()
        wait_for(lambda: place.ready(2), "two nodes are ready")
        before = owners(place)
        assert len(before) == 1
        old = files.ca.read_bytes()
        tls.make(files.ca.parent)  # another authority, and other pairs signed by it, in the same files
        assert files.ca.read_bytes() != old
        server.restart()
        zuul = place.scheduler()
        (lent,) = zuul.take(zuul.wait(zuul.ask(["small"]), 60))
        zuul.give_back(zuul.use(lent))
        wait_for(lambda: place.ready(2), "the pool is full again")
        assert owners(place) == before
        assert "ZooKeeper: suspended (session 1)" in place.logs()
        assert "ZooKeeper: lost" not in place.logs()


def copied(settings: ZooKeeperSettings, folder: Path) -> ZooKeeperSettings:
    """Return settings with files of their own."""
    folder.mkdir()
    told = {name: getattr(settings, name) for name in ("tls_ca", "tls_cert", "tls_key")}
    return replace(settings, **{name: shutil.copy(path, folder) for name, path in told.items()})


def test_other_files_and_servers_in_the_configuration_are_used_from_the_next_connection_on(
    tmp_path: Path, server: Server, files: tls.Certificates
) -> None:
    (tmp_path / "site").mkdir()
    with site(tmp_path / "site", over_tls(server, files)) as place:
        place.start_clouds(clouds=clouds())
        assert not place.nodes()
        plain = place.zookeeper
        place.zookeeper = copied(plain, tmp_path / "first")
        configure(place, "north", min_ready=1)
        place.launcher()
        wait_for(lambda: place.ready(1), "a node is ready")
        before = owners(place)
        second = copied(plain, tmp_path / "second")
        place.zookeeper = replace(second, hosts=(*plain.hosts, "127.0.0.1:9"), session_timeout=21.0)
        configure(place, "north", min_ready=2)
        wait_for(lambda: "are used from the next connection on" in place.logs(), "the launcher took them up")
        assert "Another zookeeper-timeout is used from the next start on" in place.logs()
        shutil.rmtree(tmp_path / "first")
        server.restart()
        zuul = place.scheduler()
        assert zuul.wait(zuul.ask(["small"]), 60)
        assert owners(place) == before
