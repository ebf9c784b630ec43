"""`nodepool-launcher`: the daemon that keeps nodes ready and hands them out."""

import logging
import os
import random
import secrets
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from apscheduler.schedulers.background import BackgroundScheduler

from nodepool_ng.config import ConfigError, Loaded, Reloader, Watched, clouds_files, load, render
from nodepool_ng.daemon.process import (
    DUMP,
    LISTENED_TO,
    STOPPING,
    PidFile,
    collect_garbage_seldom,
    dump_threads,
    tell_service_manager,
    told_to_stop,
    wait_for_signal,
    watchdog_every,
)
from nodepool_ng.daemon.repl import console
from nodepool_ng.daemon.start import Daemon, Typed, options, starting
from nodepool_ng.drivers import Driver, DriverError, registry
from nodepool_ng.drivers.keyscan import KeyScanner, NotScanned, Probe, Scanned
from nodepool_ng.launcher.checks import Checks
from nodepool_ng.launcher.reconciler import BrokenFiles, Reconciler, Reconfigured
from nodepool_ng.launcher.registration import pool_keys
from nodepool_ng.launcher.reporting import Reporting
from nodepool_ng.launcher.showcase import Show
from nodepool_ng.launcher.world import World
from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.clock import Clock, SystemClock
from nodepool_ng.model.ids import InstallationId, PoolId, ProviderName, Timestamp
from nodepool_ng.model.settings import Provider, Settings, WebSettings, ZooKeeperSettings
from nodepool_ng.shell.api_threads import ApiThreads
from nodepool_ng.shell.inbox import Inbox
from nodepool_ng.zk.client import KazooStore, close_session
from nodepool_ng.zk.installation import Stopped, UnknownInstallation, join
from nodepool_ng.zk.mirror import Mirror

DAEMON = Daemon(
    name="launcher",
    log="/var/log/nodepool/nodepool.log",
    pid="/var/run/nodepool/nodepool.pid",
    signals=LISTENED_TO,
)
SETTLE_BEYOND_SESSION = 5.0  # seconds
"""The registry counts as settled when it has been the same for the session's timeout and this."""
STOP_PATIENCE = 20.0  # seconds
"""How long effects in flight may take to end when the daemon stops."""
CONFIG_EVERY = 1.0  # seconds

_log = logging.getLogger("nodepool.launcher")


class _Stop:
    """The letter that ends the loop."""


class _Alive:
    """The letter on which the loop tells the service manager that it goes round."""


class _Tick:
    """The letter that has the loop look at the clock."""


class _Scans:
    """Host key scans as effects ask for them: with deadlines in Unix time, and plain answers."""

    def __init__(self, scanner: KeyScanner, clock: Clock) -> None:
        self._scanner = scanner
        self._clock = clock

    def scan(
        self, address: str, port: int, ssh: bool, deadline: Timestamp, done: Callable[[tuple[str, ...] | str], None]
    ) -> None:
        def told(found: Scanned | NotScanned) -> None:
            done(found.keys if isinstance(found, Scanned) else found.reason)

        probe = Probe.HOST_KEYS if ssh else Probe.CONNECT
        left = deadline - self._clock.now()
        self._scanner.scan(address, port, self._clock.monotonic() + left, told, probe)

    def lookup(self, name: str, deadline: Timestamp, done: Callable[[tuple[str, ...] | str], None]) -> None:
        self._scanner.lookup(name, self._clock.monotonic() + deadline - self._clock.now(), done)


class Launcher:
    """All that runs in the process, put together; `run` returns when it has stopped."""

    def __init__(self, config: str, secure: str | None, pid_file: PidFile | None, *, web: bool = True) -> None:
        files = [config, *([secure] if secure else []), *clouds_files(os.environ, os.getcwd(), str(Path.home()))]
        self._reloader = Reloader(Watched(files), lambda: load(config, secure))
        self._config = config
        self._secure = secure
        self._pid_file = pid_file
        self._clock = SystemClock()
        self._inbox: Inbox[Any] = Inbox()
        self._reporting = Reporting(self._inbox.post, self._clock, os.environ)
        self._web = web
        self._api = ApiThreads(self._clock)
        self._drivers: dict[ProviderName, Driver] = {}
        self._configured: dict[ProviderName, Provider] = {}
        self._pool_ids: dict[PoolKey, PoolId] = {}
        self._hostname = socket.getfqdn()
        self._configuring = threading.Lock()
        self._zookeeper: KazooStore | None = None

    def run(self, loaded: Loaded, let_go: Callable[[], None]) -> None:
        """Run until a signal says to stop. `let_go` is called as soon as nothing that can be known at once is in its
        way; what goes wrong later is told in the log."""
        settings = loaded.settings
        if settings.zookeeper is None:
            raise click.ClickException(
                f"{self._config}: there are no zookeeper-servers; the launcher needs at least one"
            )
        let_go()
        store = self._zookeeper = self._store(settings.zookeeper)
        scanner = KeyScanner()
        self._reporting.remember(settings.history, os.environ)
        ticks = BackgroundScheduler(timezone="UTC")
        with ExitStack() as stack:
            store.start()
            stack.callback(store.stop)
            try:
                installation = join(store, told_to_stop)
            except UnknownInstallation as error:
                _log.critical("%s", error)
                raise click.ClickException(str(error)) from None
            except Stopped:
                return
            self._keep_session(store)
            scanner.start()
            stack.callback(scanner.stop)
            stack.callback(self._api.stop)
            reconciler = self._reconciler(settings, installation, store, scanner)
            ticks.add_job(self._look_at_files, "interval", seconds=CONFIG_EVERY, max_instances=1)
            if (every := watchdog_every()) is not None:
                ticks.add_job(self._inbox.post, "interval", [_Alive()], seconds=every)
            ticks.start()
            stack.callback(ticks.shutdown, wait=False)
            self._reporting.health.expect("configuration", 10 * CONFIG_EVERY)
            stack.callback(self._reporting.start(ticks, settings.web if self._web else None, store))
            loop = threading.Thread(target=self._loop, args=(reconciler, store), name="reconciler")
            loop.start()
            _log.info("Launcher of installation %s is running", installation)
            self._obey()
            tell_service_manager("STOPPING=1")
            self._inbox.post(_Stop())
            loop.join(STOP_PATIENCE + 5.0)

    def _obey(self) -> None:
        """Do what signals say, until one says to stop."""
        while (told := wait_for_signal(LISTENED_TO)) not in STOPPING:
            if told == DUMP:
                dump_threads()
            else:
                _log.info("Reading the configuration again on %s", told.name)
                self._take_up(self._reloader.reload())
        _log.info("Stopping on %s", told.name)

    def _store(self, settings: ZooKeeperSettings) -> KazooStore:
        previous = self._pid_file.previous_session() if self._pid_file else None
        if previous is not None and close_session(settings, *previous):
            _log.info("Closed the session that the previous launcher left open")
        return KazooStore(settings)

    def _keep_session(self, store: KazooStore) -> None:
        client = store.client_id
        if self._pid_file is not None and client is not None:
            self._pid_file.keep_session(client)

    def _reconciler(
        self, settings: Settings, installation: InstallationId, store: KazooStore, scanner: KeyScanner
    ) -> Reconciler:
        self._configure(settings)
        mirror = Mirror(store, self._inbox.post)
        world = World(
            settings=settings,
            installation=installation,
            owner=uuid.uuid4().hex,
            picture=mirror.picture,
            new_id=_ids(),
            pool_ids=self._pool_ids,
            now=self._clock.now(),
        )
        assert settings.zookeeper is not None
        reconciler = Reconciler(
            world=world,
            mirror=mirror,
            store=store,
            clouds=self._api,
            scanner=_Scans(scanner, self._clock),
            workshop=Checks(),
            clock=self._clock,
            hostname=self._hostname,
            post=self._inbox.post,
            settle=settings.zookeeper.session_timeout + SETTLE_BEYOND_SESSION,
            witness=self._reporting.witness,
        )
        world.tells_numbers = self._reporting.statsd is not None
        world.web = _address(settings.web, self._hostname) if self._web else None
        mirror.start()
        return reconciler

    def _configure(self, settings: Settings) -> None:
        """Make drivers for new and changed providers, and ids for new pools."""
        for name, provider in settings.providers.items():
            if not provider.has_cloud or self._configured.get(name) == provider:
                continue
            try:
                self._drivers[name] = registry.make(provider, self._reporting.observe(provider))
            except DriverError as error:
                _log.error("Provider %s is left out: %s", name, error)
                continue
            self._configured[name] = provider
        self._api.use(self._drivers)
        self._pool_ids = {
            key: self._pool_ids.get(key) or PoolId(f"{self._hostname}-PoolWorker.{key[0]}-{key[1]}-{uuid.uuid4().hex}")
            for key in pool_keys(settings)
        }

    def _look_at_files(self) -> None:
        """Post new settings when a file changed; a broken one leaves the old ones in force."""
        self._reporting.health.beat("configuration")
        self._take_up(self._reloader.poll())

    def _take_up(self, found: Loaded | ConfigError | None) -> None:
        match found:
            case Loaded():
                with self._configuring:
                    renewed = bool(self._reloader.changed - {self._config, self._secure})
                    if renewed:
                        # Some clouds.yaml is another one: whatever it says of a provider, connect anew.
                        self._configured.clear()
                    known = frozenset(self._drivers) if renewed else frozenset[ProviderName]()
                    self._configure(found.settings)
                    self._inbox.post(Reconfigured(found.settings, dict(self._pool_ids), known))
                    _log.info("The configuration changed%s", "; connecting to all clouds anew" if renewed else "")
                    self._reconnect(found.settings.zookeeper)
            case ConfigError():
                broken = render(found.complaints)
                _log.error("The configuration stays as it was:\n%s", broken)
                self._inbox.post(BrokenFiles(broken))
            case None:
                pass

    def _reconnect(self, settings: ZooKeeperSettings | None) -> None:
        """Go by what the configuration says of ZooKeeper now, as far as that can be done without a restart."""
        if self._zookeeper is not None and settings is not None:
            for sentence in self._zookeeper.use(settings):
                _log.warning("%s", sentence)

    def _loop(self, reconciler: Reconciler, store: KazooStore) -> None:
        """Deal with letters until told to stop and all effects have ended, or patience has."""
        wake: float | None = 0.0
        stop_by: float | None = None
        ready = False
        collect_garbage_seldom()
        while stop_by is None or (not reconciler.quiet and time.monotonic() < stop_by):
            wait = None if wake is None else max(wake - self._clock.now(), 0.0)
            show = False
            store.linger = reconciler.linger
            letters = self._inbox.take(wait if stop_by is None else min(wait or 1.0, 1.0))
            with store.gathered():
                for letter in letters:
                    match letter:
                        case _Stop():
                            reconciler.stop()
                            stop_by = time.monotonic() + STOP_PATIENCE
                        case _Alive():
                            tell_service_manager("WATCHDOG=1")
                        case Show():
                            show = True
                        case _:
                            self._deal(reconciler, letter)
            wake = self._turn(reconciler)
            if not ready and reconciler.latest is not None:
                ready = True
                tell_service_manager("READY=1")
                collect_garbage_seldom()
            if show:
                self._reporting.show(reconciler, len(self._inbox), store.backlog)

    def _deal(self, reconciler: Reconciler, letter: Any) -> None:
        try:
            reconciler.deal(letter)
        except Exception:  # noqa: BLE001 - the reconciler's edge: one bad letter does not stop the others
            _log.exception("A letter could not be dealt with: %r", type(letter).__name__)

    def _turn(self, reconciler: Reconciler) -> Timestamp | None:
        try:
            return reconciler.turn()
        except Exception:  # noqa: BLE001 - the reconciler's edge: the loop goes on
            _log.exception("No plan could be made; the next one is tried in a second")
            return self._clock.now() + 1.0


def _ids() -> Callable[[], str]:
    """Return what makes 32 hex digits that nobody else makes. The system is asked once, for where to begin: whoever
    asks it lets other threads go first."""
    beginning = random.Random(secrets.randbits(256))
    return lambda: f"{beginning.getrandbits(128):032x}"


def _address(web: WebSettings, hostname: str) -> str:
    """Return where others reach the pages of this launcher."""
    listens = web.listen_address
    host = hostname if listens in ("", "0.0.0.0", "::") else listens
    return f"http://[{host}]:{web.port}" if ":" in host else f"http://{host}:{web.port}"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@options(DAEMON)
@click.option("--no-webapp", is_flag=True, help="Do not serve web pages.")
def main(repl: bool, no_webapp: bool, **typed: Any) -> None:
    """Keep nodes ready in every provider, and hand them out."""
    with starting(DAEMON, Typed(**typed)) as start:
        launcher = Launcher(start.config, start.secure, start.pid_file, web=not no_webapp)
        with console(launcher, wanted=repl):
            launcher.run(start.loaded, start.let_go)


if __name__ == "__main__":
    sys.exit(main())
