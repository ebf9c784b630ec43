"""Launcher, builder and commands on a ZooKeeper whose records are for those who authenticate as they do."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import OPEN_ACL_UNSAFE

from nodepool_ng.model.settings import AuthScheme, Protect, ZooKeeperAuth, ZooKeeperSettings
from nodepool_ng.sim.zookeeper import NoZooKeeper, Server, find, private_server
from nodepool_ng.zk import paths
from nodepool_ng.zk.blocking import call, wait_connected
from nodepool_ng.zk.client import KazooStore
from nodepool_ng.zk.store import Commit, Committed, Create, Failure, Get, Got
from tests.daemons.test_launcher import configure
from tests.support.builders import yard
from tests.support.daemons import SCRIPTS, Site, site, wait_for
from tests.support.zookeeper import PATIENCE, fresh_chroot

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons]

US = ZooKeeperAuth(user="nodepool", password="not-a-real-one", protect=Protect.OWN)
SASL = replace(US, scheme=AuthScheme.SASL)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A ZooKeeper that knows us by SASL; digest needs nothing."""
    try:
        find()
    except NoZooKeeper as error:
        pytest.skip(str(error))
    with private_server(users={US.user: US.password}) as running:
        yield running


def opened(settings: ZooKeeperSettings) -> KazooStore:
    store = KazooStore(settings)
    store.start()
    assert wait_connected(store, PATIENCE)
    return store


def stranger(settings: ZooKeeperSettings) -> KazooClient:
    client = KazooClient(hosts=",".join(settings.hosts) + settings.chroot)
    client.start()
    return client


@pytest.mark.parametrize("auth", [US, SASL], ids=["digest", "sasl"])
@pytest.mark.parametrize(
    ("protect", "closed"),
    [
        (Protect.NONE, set()),
        (Protect.OWN, {paths.IMAGES, paths.OURS, f"{paths.OURS}/x"}),
        (Protect.ALL, {paths.IMAGES, paths.OURS, f"{paths.OURS}/x", paths.ROOT, paths.NODES}),
    ],
)
def test_records_are_closed_as_configured(
    server: Server, auth: ZooKeeperAuth, protect: Protect, closed: set[str]
) -> None:
    settings = replace(fresh_chroot(server), auth=replace(auth, protect=protect))
    made = [paths.ROOT, paths.NODES, paths.IMAGES, paths.OURS, f"{paths.OURS}/x"]
    store = opened(settings)
    other = stranger(settings)
    try:
        answers = call(store, [Commit(tuple(Create(path, b"word") for path in made))])
        assert isinstance(answers[0], Committed), answers
        assert all(isinstance(got, Got) for got in call(store, [Get(path) for path in made]))
        refused = set()
        for path in made:
            try:
                other.get(path)
            except NoAuthError:
                refused.add(path)
        assert refused == closed
    finally:
        store.stop()
        other.stop()
        other.close()


def test_who_is_not_let_in_is_told_the_key_to_look_at(server: Server) -> None:
    settings = replace(fresh_chroot(server), auth=US)
    store, another = opened(settings), opened(replace(settings, auth=replace(US, password="other")))
    try:
        call(store, [Commit((Create(paths.OURS),))])
        (refused,) = call(another, [Get(paths.OURS)])
        assert isinstance(refused, Failure)
        assert "zookeeper-auth" in str(refused.detail)
    finally:
        store.stop()
        another.stop()


def test_a_password_that_sasl_refuses_is_tried_again_until_it_is_corrected(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    settings = replace(fresh_chroot(server), auth=replace(SASL, password="s3cret-typo"))
    store = KazooStore(settings)
    store.start()
    try:
        wait_for(lambda: "does not accept the user or the password" in caplog.text, "the refusal is told")
        assert "s3cret-typo" not in caplog.text
        assert list(store.use(replace(settings, auth=SASL)))
        assert wait_connected(store, PATIENCE)
        (made,) = call(store, [Commit((Create(paths.OURS),))])
        assert isinstance(made, Committed)
    finally:
        store.stop()


def acls(client: KazooClient, path: str = "/") -> dict[str, object]:
    """Return the ACL of everything there is."""
    found = {path: client.get_acls(path)[0]}
    for name in client.get_children(path):
        found |= acls(client, f"{path.rstrip('/')}/{name}")
    return found


def told(place: Site, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPTS / "nodepool"), "-c", str(place.config), *words],
        env=place.surroundings(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def authenticated(settings: ZooKeeperSettings) -> KazooClient:
    """Return kazoo's own client, which is nothing of ours, with the same credentials."""
    hosts = ",".join(settings.hosts) + settings.chroot
    if settings.auth is not None and settings.auth.scheme is AuthScheme.SASL:
        sasl = {"mechanism": "DIGEST-MD5", "username": US.user, "password": US.password}
        client = KazooClient(hosts=hosts, sasl_options=sasl)
    else:
        client = KazooClient(hosts=hosts, auth_data=[("digest", f"{US.user}:{US.password}")])
    client.start()
    return client


@pytest.mark.parametrize("auth", [US, SASL], ids=["digest", "sasl"])
def test_daemons_and_commands_work_behind_it_and_a_scheduler_without_it_does_too(
    tmp_path: Path, server: Server, auth: ZooKeeperAuth
) -> None:
    plain = fresh_chroot(server)
    with site(tmp_path, replace(plain, auth=auth)) as place, yard(place) as made:
        builder = made.builder()
        wait_for(made.in_service, "the image is in service")
        assert told(place, "image-list").stdout.count("ready") == 2
        assert builder.stop() == 0
        configure(place, "north", min_ready=1)
        place.launcher()
        wait_for(lambda: place.ready(1), "a node is ready")
        ours, place.zookeeper = place.zookeeper, plain
        zuul = place.scheduler()
        assert zuul.wait(zuul.ask(["small"]), 60)
        client, other = authenticated(ours), stranger(plain)
        seen = acls(client)
        with pytest.raises(NoAuthError):
            other.get_children(paths.IMAGES)
        configure(place, "north", min_ready=1)
        refused = told(place, "image-list")
        assert refused.returncode == 1
        assert "zookeeper-auth" in refused.stderr
        assert "Traceback" not in refused.stderr + place.logs()
        for one in (client, other):
            one.stop()
            one.close()
    shut = {path for path, acl in seen.items() if acl != OPEN_ACL_UNSAFE}
    assert shut == {path for path in seen if path.startswith((paths.OURS, paths.IMAGES))}
    assert len(shut) > 10
