"""Running a launcher: signals, the service manager, new credentials, and a ZooKeeper ensemble that loses its leader."""

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodepool_ng.model.ids import ProviderName
from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.sim.zookeeper import Ensemble, NoZooKeeper, find
from nodepool_ng.zk import paths
from nodepool_ng.zk.blocking import call, wait_connected
from nodepool_ng.zk.client import KazooStore
from nodepool_ng.zk.store import Commit, Create
from tests.daemons.test_launcher import clouds, configure
from tests.support.daemons import Site, site, wait_for

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons]
NORTH = ProviderName("north")


def test_signals_have_it_reload_tell_what_it_does_and_stop(place: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    place.start_clouds(clouds=clouds())
    configure(place, "north", min_ready=1)
    told = place.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(told))
        manager.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(told))
        launcher = place.launcher()
        assert manager.recv(100) == b"READY=1"
        wait_for(lambda: place.ready(1), "a node is ready")
        launcher.signal(signal.SIGUSR2)
        wait_for(lambda: "reconciler (" in place.logs(), "its threads are shown")
        launcher.signal(signal.SIGHUP)
        wait_for(lambda: "connecting to all clouds anew" in place.logs(), "it reads its files again")
        zuul = place.scheduler()
        assert zuul.wait(zuul.ask(["small"]), 20)
        launcher.signal(signal.SIGUSR1)
        assert manager.recv(100) == b"STOPPING=1"
        assert launcher.process is not None
        assert launcher.process.wait(30) == 0
    assert "Traceback" not in place.logs()


def test_a_launcher_that_is_stopped_hands_over_at_once(place: Site) -> None:
    """Nobody waits for a session to expire: the one that stops lets go of everything, the other one goes on with it."""
    boots, at_once = 6.0, 4.0
    assert at_once < place.zookeeper.session_timeout
    sim = place.start_clouds(clouds=clouds(boot=boots))
    configure(place, "north", min_ready=0)
    region = sim.region("acme", "north")
    first = place.launcher("-first")
    wait_for(lambda: len(place.children(paths.lease(NORTH))) == 1, "the first launcher has the lease")
    place.launcher("-second")
    wait_for(lambda: len(place.children(paths.lease(NORTH))) == 2, "the second launcher stands by")
    zuul = place.scheduler()
    asked = zuul.ask(["small"] * 5)
    wait_for(lambda: len(region.state().live) == 5, "the cloud has been asked")
    began = time.monotonic()
    assert first.stop() == 0
    wait_for(lambda: "Adopting the request" in place.logs("nodepool-launcher-second"), "the second one goes on")
    took = time.monotonic() - began
    lent = zuul.take(zuul.wait(asked, 30))
    assert took < at_once
    assert time.monotonic() - began < boots + at_once
    assert len({each.node.external_id for each in lent}) == len(region.state().servers) == 5
    assert all(each.node.attempts == 1 for each in lent)
    for each in lent:
        zuul.give_back(zuul.use(each))
    wait_for(lambda: not place.nodes() and not region.state().live, "nothing is left")


def test_new_credentials_in_clouds_yaml_are_used_without_a_restart(place: Site) -> None:
    place.start_clouds(clouds=clouds())
    configure(place, "north", min_ready=1)
    good = place.clouds_yaml.read_text()
    place.clouds_yaml.write_text(good.replace("password: simulated", "password: wrong"))
    place.launcher()
    wait_for(lambda: "credentials are not accepted" in place.logs(), "the cloud refuses the credentials")
    assert not place.nodes()
    draft = place.folder / "clouds.yaml.new"
    draft.write_text(good)
    draft.replace(place.clouds_yaml)
    wait_for(lambda: place.ready(1), "a node is ready", 90)


@pytest.fixture
def ensemble(tmp_path: Path) -> Iterator[Ensemble]:
    try:
        find()
    except NoZooKeeper as error:
        pytest.skip(str(error))
    three = Ensemble(tmp_path / "zookeeper")
    three.start()
    yield three
    three.kill()


def test_the_leader_of_three_zookeepers_dies_and_nothing_is_lost_or_doubled(ensemble: Ensemble, tmp_path: Path) -> None:
    settings = ZooKeeperSettings(hosts=ensemble.addresses, session_timeout=10.0)
    maker = KazooStore(settings)
    maker.start()
    assert wait_connected(maker, 20)
    call(maker, [Commit((Create("/pool"),))])
    maker.stop()
    (tmp_path / "site").mkdir()
    chrooted = ZooKeeperSettings(hosts=ensemble.addresses, chroot="/pool", session_timeout=10.0)
    with site(tmp_path / "site", chrooted) as place:
        sim = place.start_clouds(clouds=clouds(boot=2))
        region = sim.region("acme", "north")
        configure(place, "north", min_ready=3)
        place.launcher()
        wait_for(lambda: place.ready(3), "three nodes are ready")
        zuul = place.scheduler()
        asked = zuul.ask(["small"] * 4)
        leader = next(server for server in ensemble.servers if "Mode: leader" in server.ask("srvr"))
        leader.kill()
        lent = zuul.take(zuul.wait(asked, 90))
        assert len({each.node.external_id for each in lent}) == 4
        for each in lent:
            zuul.give_back(zuul.use(each))
        wait_for(lambda: place.ready(3) and len(region.state().live) == 3, "the pool is as it was", 90)
        leader.start()
        more = zuul.take(zuul.wait(zuul.ask(["small"]), 30))
        assert len(more) == 1


@pytest.mark.parametrize("program", ["nodepool-launcher", "nodepool-builder"])
def test_the_service_manager_hears_of_readiness_and_that_the_loop_goes_round(
    place: Site, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    place.configure(**{"images-dir": str(place.folder / "images"), "labels": [], "providers": []})
    told = place.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(told))
        manager.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(told))
        monkeypatch.setenv("WATCHDOG_USEC", "600000")
        daemon = place.daemon(program, "-c", str(place.config), "-f")
        deadline = time.monotonic() + 30
        heard = {manager.recv(100)}
        while heard < {b"READY=1", b"WATCHDOG=1"} and time.monotonic() < deadline:
            heard.add(manager.recv(100))
        assert heard == {b"READY=1", b"WATCHDOG=1"}
        daemon.signal(signal.SIGTERM)
        while (last := manager.recv(100)) != b"STOPPING=1":
            assert last == b"WATCHDOG=1"
        assert daemon.process is not None
        assert daemon.process.wait(30) == 0
