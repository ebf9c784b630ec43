"""Our daemons beside software that was not written here, on a real ZooKeeper with TLS."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.sim.zookeeper import NoZooKeeper, Server, find, private_server
from tests.support import peers, tls
from tests.support.daemons import Site, site
from tests.support.nodepool11 import Nodepool11
from tests.support.zookeeper import fresh_chroot
from tests.support.zuul import Zuul
from tests.support.zuul import zuul as running_zuul

PEERS = {"zuul": peers.ZUUL, "nodepool_11": peers.NODEPOOL}
"""Which fixture needs which software."""
SESSION_TIMEOUT = 4.0  # seconds; what fails a request waits for that and five more


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Install what the chosen tests need, before the clock of any of them runs."""
    if not session.config.option.collectonly:
        wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
        needed = [peer for name, peer in PEERS.items() if name in wanted]
        capture = session.config.pluginmanager.getplugin("capturemanager")
        if needed:
            with capture.global_and_fixture_disabled():  # it takes minutes, so it is told
                peers.install_all(needed)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tls.Certificates:
    return tls.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def secure_server(certificates: tls.Certificates) -> Iterator[Server]:
    """A server with a port for TLS, which Zuul's and Nodepool 11's daemons demand."""
    try:
        find()
    except NoZooKeeper as error:
        pytest.skip(str(error))
    with private_server(certificates.server) as server:
        yield server


@pytest.fixture(scope="session")
def new_tree(secure_server: Server, certificates: tls.Certificates) -> Callable[[], ZooKeeperSettings]:
    """Makes a chroot that nobody else has, and tells how to reach it by TLS."""

    def make() -> ZooKeeperSettings:
        return replace(
            fresh_chroot(secure_server),
            hosts=(f"127.0.0.1:{secure_server.secure_port}",),
            tls_ca=str(certificates.ca),
            tls_cert=str(certificates.cert),
            tls_key=str(certificates.key),
            session_timeout=SESSION_TIMEOUT,
        )

    return make


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, new_tree: Callable[[], ZooKeeperSettings]) -> Iterator[Site]:
    """A site that the tests of a module share: what takes long here is starting processes."""
    with site(tmp_path_factory.mktemp("site"), new_tree()) as made:
        yield made


@pytest.fixture(autouse=True)
def logs(place: Site, request: pytest.FixtureRequest) -> Iterator[None]:
    """When a test fails, the logs are shown."""
    yield
    report = getattr(request.node, "outcome_of_call", None)
    if report is not None and report.failed:
        for name in ("nodepool", "peer"):
            print(place.logs(name)[-8000:])


@pytest.fixture(scope="module")
def zuul(place: Site) -> Iterator[Zuul]:
    """Zuul's scheduler and executor."""
    with running_zuul(peers.need(peers.ZUUL), place.zookeeper, place.folder / "peer-zuul.log") as made:
        yield made


@pytest.fixture
def nodepool_11(place: Site) -> Nodepool11:
    """Nodepool 11, pointed at the site's configuration, tree and clouds."""
    return Nodepool11(peers.need(peers.NODEPOOL), place)
