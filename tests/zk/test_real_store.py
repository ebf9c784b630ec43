"""What only a real server can show: TLS, time, takeover of a session, servers that stop, die and come back."""

import datetime
import ipaddress
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.sim import zookeeper as private
from nodepool_ng.zk import wire
from nodepool_ng.zk.blocking import call, wait_connected
from nodepool_ng.zk.client import KazooStore, close_session
from nodepool_ng.zk.store import (
    Changed,
    Commit,
    Create,
    Delete,
    Failure,
    Get,
    Got,
    Kind,
    Problem,
    SessionNews,
    SessionState,
    Set,
    Sync,
    Synced,
)
from tests.support.mirrors import Owner, content, surveyed
from tests.support.zookeeper import PATIENCE, Peer

pytestmark = pytest.mark.zookeeper


def one(op):
    return Commit((op,))


def test_verbs_without_an_answer_time_out(real_rig):
    peer = real_rig.peer(verb_timeout=0.2).open()
    real_rig.proxy(peer).hold()
    assert peer.call(Get("/"), one(Create("/a"))) == (
        Failure(Problem.TIMED_OUT, "/"),
        Failure(Problem.TIMED_OUT, "/a"),
    )


def test_a_silent_connection_is_given_up_and_made_anew(real_rig):
    peer = real_rig.peer(session_timeout=2.0).open()
    real_rig.proxy(peer).hold()
    box = peer.submit(Get("/"))
    peer.wait_for(SessionNews(SessionState.SUSPENDED, 1))
    assert box == [(Failure(Problem.CONNECTION_LOST, "/"),)]
    real_rig.mend(peer)
    peer.wait(lambda: peer.heard[-1].state is SessionState.CONNECTED)


def test_the_session_of_a_predecessor_is_closed_at_once(real_rig):
    predecessor, watcher = real_rig.peer().open(), real_rig.peer().open("/")
    predecessor.call(one(Create("/mine", ephemeral=True)))
    id, password = predecessor.store.client_id
    real_rig.cut(predecessor)
    assert close_session(real_rig.settings, id, password)
    watcher.wait_for(Changed("/mine", Kind.DELETED))
    assert not close_session(real_rig.settings, id, password)


def test_another_password_closes_the_connection_but_not_the_session(real_rig):
    peer = real_rig.peer().open()
    peer.call(one(Create("/mine", ephemeral=True)))
    assert not close_session(real_rig.settings, peer.store.client_id[0], b"\0" * 16)
    peer.wait_for(SessionNews(SessionState.CONNECTED, 1), 2)
    assert isinstance(peer.call(Get("/mine"))[0], Got)


def test_thousands_of_verbs_in_one_round(real_rig):
    peer = real_rig.peer().open()
    answers = peer.call(*[one(Create(f"/n-{number}", b"x" * 500)) for number in range(3000)])
    assert [answer.results for answer in answers] == [(f"/n-{number}",) for number in range(3000)]


def test_what_comes_while_a_store_lingers_is_heard_with_what_came_first(real_rig, monkeypatch):
    writer, listener = real_rig.peer().open(), real_rig.peer().open("/")
    heard_before = []

    def linger(seconds):
        assert seconds == 0.5
        heard_before.append(list(listener.heard))
        if len(heard_before) == 1:
            writer.call(one(Create("/second")))
        time.sleep(seconds)

    monkeypatch.setattr(wire, "time", SimpleNamespace(sleep=linger))
    listener.store.linger = 0.5
    writer.call(one(Create("/first")))
    first, second = Changed("/first", Kind.CREATED), Changed("/second", Kind.CREATED)
    listener.wait_for(second)
    assert not any(first in heard and second not in heard for heard in heard_before)


def test_a_store_outlives_its_server_and_complains_once(caplog):
    with private.private_server() as server:
        # A server takes seconds to start again where everything is slow, and the session must not end before.
        settings = ZooKeeperSettings(hosts=(server.address,), session_timeout=30.0)
        peer = Peer(KazooStore(settings)).open("/")
        peer.call(one(Create("/kept")))
        server.kill()
        peer.wait_for(SessionNews(SessionState.SUSPENDED, 1))
        server.start()
        assert caplog.text.count("refused") <= 1
        peer.wait_for(SessionNews(SessionState.CONNECTED, 1), 2)
        assert isinstance(peer.call(Get("/kept"))[0], Got)
        peer.call(one(Create("/heard")))
        peer.wait_for(Changed("/heard", Kind.CREATED))
        peer.store.stop()


def test_no_secret_and_no_record_in_the_log(real_rig, caplog):
    caplog.set_level(logging.DEBUG)
    peer = real_rig.peer().open("/")
    peer.call(one(Create("/a", b"a-token-of-a-cluster")))
    password = peer.store.client_id[1]
    real_rig.expire(peer)
    peer.wait_connected(2)
    peer.store.stop()
    assert "connected (session 2)" in caplog.text
    assert "a-token" not in caplog.text
    assert password.hex() not in caplog.text
    assert repr(password) not in caplog.text


def test_a_mirror_finds_what_happened_while_the_connection_was_cut(real_rig):
    peer, other = real_rig.peer(), real_rig.peer().open()
    paths = [f"/nodepool/nodes/{number:010d}" for number in range(150)]
    other.call(one(Create("/nodepool")), one(Create("/nodepool/nodes")))
    other.call(*(one(Create(path, b'{"state": "ready"}')) for path in paths))
    other.call(*(one(Create(f"{path}/lock")) for path in paths))
    owner = Owner(peer.store)
    peer.store.start()
    owner.wait(lambda: owner.mirror.complete)
    assert len(owner.picture.nodes) == 150
    real_rig.cut(peer)
    owner.wait(lambda: not owner.mirror.complete)
    other.call(
        *(Commit((Delete(f"{path}/lock"), Delete(path))) for path in paths[:50]),
        *(one(Set(path, b'{"state": "used"}')) for path in paths[50:100]),
        *(one(Create(f"{path}/lock/{'a' * 32}__lock__", sequence=True)) for path in paths[100:]),
    )
    real_rig.mend(peer)
    owner.wait(lambda: owner.mirror.complete)
    assert peer.store.session == 1
    assert len(owner.picture.nodes) == 100
    assert content(owner.picture) == content(surveyed(other.call))


def test_an_ensemble_goes_on_when_one_of_three_dies(tmp_path):
    ensemble = private.Ensemble(tmp_path)
    try:
        ensemble.start()
        peer = Peer(KazooStore(ZooKeeperSettings(hosts=ensemble.addresses))).open("/")
        peer.call(one(Create("/a", ephemeral=True)))
        port = peer.store._client._connection._socket.getpeername()[1]
        next(server for server in ensemble.servers if server.port == port).kill()
        peer.wait_for(SessionNews(SessionState.CONNECTED, 1), 2)
        assert isinstance(peer.call(Sync("/"), Get("/a"))[0], Synced)
        assert isinstance(peer.call(Get("/a"))[0], Got)
        peer.store.stop()
    finally:
        ensemble.kill()


def test_a_private_server_dies_with_its_parent(tmp_path):
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from nodepool_ng.sim.zookeeper import private_server\n"
        "with private_server() as server:\n"
        "    print(server._process.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    parent = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert parent.returncode == -9
    gone = os.pidfd_open(int(parent.stdout)) if Path(f"/proc/{parent.stdout.strip()}").exists() else None
    if gone is not None:
        import select

        assert select.select([gone], [], [], PATIENCE)[0]
        os.close(gone)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """An authority, a server's and a client's files, and a client of another authority."""
    folder = tmp_path_factory.mktemp("tls")
    return {who: authority(folder / who) for who in ("ours", "others")}


def authority(folder: Path) -> dict[str, Path]:
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, folder.name)])
    ca = certificate(name, name, key.public_key(), key, ca=True)
    peer_key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "peer")])
    peer = certificate(subject, name, peer_key.public_key(), key, ca=False)
    pem = peer_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files = {"ca": ca, "cert": peer, "key": pem, "both": pem + peer}
    for file, data in files.items():
        (folder / f"{file}.pem").write_bytes(data)
    return {file: folder / f"{file}.pem" for file in files}


def certificate(subject, issuer, public_key, signing_key, *, ca):
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(signing_key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


@pytest.fixture(scope="module")
def tls_server(zookeeper_server, tls):
    files = private.TlsFiles(key_and_certificate=tls["ours"]["both"], authority=tls["ours"]["ca"])
    with private.private_server(files) as server:
        yield server


def over_tls(server, files, ca) -> ZooKeeperSettings:
    return ZooKeeperSettings(
        hosts=(f"127.0.0.1:{server.secure_port}",),
        tls_ca=str(ca["ca"]),
        tls_cert=str(files["cert"]),
        tls_key=str(files["key"]),
    )


def test_tls_with_the_right_authority(tls_server, tls):
    peer = Peer(KazooStore(over_tls(tls_server, tls["ours"], tls["ours"]))).open("/")
    answers = peer.call(*[one(Create(f"/n-{number}", b"x" * 2000)) for number in range(500)])
    assert not any(isinstance(answer, Failure) for answer in answers)
    peer.wait_for(Changed("/n-499", Kind.CREATED))
    peer.store.stop()


@pytest.mark.parametrize(("files", "ca"), [("ours", "others"), ("others", "ours")])
def test_tls_is_refused_when_either_side_is_not_trusted(tls_server, tls, files, ca, caplog):
    store = KazooStore(over_tls(tls_server, tls[files], tls[ca]))
    store.start()
    assert not wait_connected(store, 1.0)
    assert call(store, [Get("/")]) == (Failure(Problem.CONNECTION_LOST, "/"),)
    store.stop()
    assert "onnection dropped" in caplog.text
