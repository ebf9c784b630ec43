"""A private ZooKeeper: a real server (or an ensemble of three) on free loopback ports, gone when its parent is.

For demonstrations, measurements and tests. The jars are those of Debian's package `zookeeper`; nothing of the
machine's own ZooKeeper, its data or its configuration is touched. Ticks are short, so sessions may be, too.
"""

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from nodepool_ng.model.ids import Seconds

JAR = "zookeeper.jar"
JAR_FOLDERS = (Path("/usr/share/java"), Path("/usr/share/zookeeper"))
LOGGING_JARS = ("slf4j-simple.jar", "slf4j-nop.jar")
TLS_JARS = ("netty-codec.jar", "netty-resolver.jar")
"""What Netty needs for TLS and the jar's own class path forgets."""

TICK = 100  # milliseconds; sessions may be as short as two of them
START_TIMEOUT = 30.0  # seconds
PORT_TRIES = 5

_MISSING = "ZooKeeper cannot be started here: {}. Debian's packages `zookeeper` and `default-jre-headless` bring it."


class NoZooKeeper(Exception):
    """There is no ZooKeeper to start on this machine, or it would not start."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What is needed to start a server: a Java runtime and a class path."""

    java: str
    classpath: str


def find() -> Installed:
    """Look for Java and the jars; raise `NoZooKeeper` with a sentence for whoever wanted to start it."""
    java = shutil.which("java")
    if java is None:
        raise NoZooKeeper(_MISSING.format("there is no `java` in the path"))
    for folder in JAR_FOLDERS:
        if (folder / JAR).exists():
            logs = [folder / name for name in LOGGING_JARS if (folder / name).exists()][:1]
            return Installed(java, ":".join(map(str, [folder / JAR, *logs, *(folder / name for name in TLS_JARS)])))
    raise NoZooKeeper(_MISSING.format(f"there is no {JAR} in {' or '.join(map(str, JAR_FOLDERS))}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files of the server: certificate and key in one, and the authority that clients must have."""

    key_and_certificate: Path
    authority: Path


class Server:
    """One server process. `start` brings it up; it dies with the thread that started it (Linux' parent-death signal),
    at the exit of this process at the latest."""

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        member: int = 0,
        peers: Sequence[str] = (),
        tls: TlsFiles | None = None,
        secure_port: int = 0,
        users: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`users` and their passwords are those who may authenticate by SASL."""
        self.folder = folder
        self.port = port
        self.secure_port = secure_port
        self._member = member
        self._peers = peers
        self._tls = tls
        self._users = users
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def start(self, timeout: Seconds = START_TIMEOUT) -> None:
        """Start the process and wait until it serves; raise `NoZooKeeper` when it does not."""
        self.launch()
        self.await_serving(timeout)

    def launch(self) -> None:
        """Start the process without waiting."""
        installed = find()
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "zoo.cfg"
        config.write_text(self._config())
        (self.folder / "data").mkdir(exist_ok=True)
        if self._member:
            (self.folder / "data" / "myid").write_text(str(self._member))
        main = "quorum.QuorumPeerMain" if self._member else "ZooKeeperServerMain"
        command = [
            *_killed_with_parent(),
            installed.java,
            "-Xmx192m",
            "-Xss512k",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData",
            "-Dzookeeper.admin.enableServer=false",
            "-Dzookeeper.jmx.log4j.disable=true",
            "-Dzookeeper.forceSync=no",
            "-Djava.net.preferIPv4Stack=true",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            *self._tls_options(),
            *self._sasl_options(),
            "-cp",
            installed.classpath,
            f"org.apache.zookeeper.server.{main}",
            str(config),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        atexit.register(self.kill)

    def await_serving(self, timeout: Seconds = START_TIMEOUT) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            if "Mode:" in self.ask("srvr"):
                return
            time.sleep(0.02)
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-5:]) if self.log.exists() else ""
        self.kill()
        raise NoZooKeeper(
            f"ZooKeeper on {self.address} did not come up within {timeout:.0f} s. Its last words:\n{tail}"
        )

    def ask(self, word: str) -> str:
        """Send a four-letter word and return the answer; empty when nobody answers."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(word.encode("ascii"))
                parts = iter(lambda: connection.recv(65536), b"")
                return b"".join(parts).decode("utf-8", "replace")
        except OSError:
            return ""

    def pause(self) -> None:
        """Stop the process as it stands; its clients hear nothing any more."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the process at once. The data stay."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
        atexit.unregister(self.kill)

    def restart(self, timeout: Seconds = START_TIMEOUT) -> None:
        """Kill and start again on the same port with the same data."""
        self.kill()
        self.start(timeout)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)

    def _config(self) -> str:
        lines: dict[str, object] = {
            "tickTime": TICK,
            "initLimit": 50,
            "syncLimit": 20,
            "minSessionTimeout": 2 * TICK,
            "maxSessionTimeout": 120_000,
            "maxClientCnxns": 0,
            "dataDir": self.folder / "data",
            "clientPort": self.port,
            "clientPortAddress": "127.0.0.1",
            "4lw.commands.whitelist": "*",
            "autopurge.purgeInterval": 0,
        }
        if self._tls:
            lines |= {
                "secureClientPort": self.secure_port,
                "secureClientPortAddress": "127.0.0.1",
                "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
            }
        lines |= {f"server.{number}": peer for number, peer in enumerate(self._peers, 1)}
        return "".join(f"{key}={value}\n" for key, value in lines.items())

    def _sasl_options(self) -> list[str]:
        """Write down who may authenticate, and return the options that make the server read it."""
        if not self._users:
            return []
        file = self.folder / "jaas.conf"
        users = "".join(f'\n    user_{name}="{password}"' for name, password in self._users.items())
        file.touch(mode=0o600)
        file.write_text(f"Server {{\n  org.apache.zookeeper.server.auth.DigestLoginModule required{users};\n}};\n")
        provider = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
        return [f"-Djava.security.auth.login.config={file}", f"-Dzookeeper.authProvider.1={provider}"]

    def _tls_options(self) -> list[str]:
        if not self._tls:
            return []
        options = {
            "keyStore.location": self._tls.key_and_certificate,
            "keyStore.type": "PEM",
            "trustStore.location": self._tls.authority,
            "trustStore.type": "PEM",
            "clientAuth": "need",
        }
        return [f"-Dzookeeper.ssl.{key}={value}" for key, value in options.items()]


class Ensemble:
    """Three servers that elect a leader. `servers` may be paused, killed and restarted one by one."""

    def __init__(self, folder: Path, size: int = 3) -> None:
        ports = _free_ports(3 * size)
        peers = [f"127.0.0.1:{ports[3 * i + 1]}:{ports[3 * i + 2]}" for i in range(size)]
        self.servers = tuple(
            Server(folder / f"server-{i + 1}", ports[3 * i], member=i + 1, peers=peers) for i in range(size)
        )

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(server.address for server in self.servers)

    def start(self, timeout: Seconds = START_TIMEOUT) -> None:
        for server in self.servers:
            server.launch()
        for server in self.servers:
            server.await_serving(timeout)

    def kill(self) -> None:
        for server in self.servers:
            server.kill()


@contextlib.contextmanager
def private_server(tls: TlsFiles | None = None, users: Mapping[str, str] = MappingProxyType({})) -> Iterator[Server]:
    """A running server in a temporary folder, for as long as the block lasts; raise `NoZooKeeper`."""
    with tempfile.TemporaryDirectory(prefix="zookeeper-") as folder:
        server = _started(Path(folder), tls, users)
        try:
            yield server
        finally:
            server.kill()


def _started(folder: Path, tls: TlsFiles | None, users: Mapping[str, str]) -> Server:
    """Start a server; a free port may be taken by somebody else before the server has it, hence the tries."""
    for attempt in range(PORT_TRIES):
        port, secure_port = _free_ports(2)
        server = Server(folder / str(attempt), port, tls=tls, secure_port=secure_port, users=users)
        try:
            server.start()
        except NoZooKeeper:
            taken = "BindException" in server.log.read_text(errors="replace") if server.log.exists() else False
            if not taken or attempt == PORT_TRIES - 1:
                raise
        else:
            return server
    raise NoZooKeeper("no free port was found")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _killed_with_parent() -> list[str]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
