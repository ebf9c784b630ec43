"""`nodepool-builder`: the daemon that builds images and brings them into the clouds."""

import logging
import os
import signal
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

from nodepool_ng.builder import files, leftovers
from nodepool_ng.builder.clouds import Drivers
from nodepool_ng.builder.reconciler import DiskDue, Reconciler, Reconfigured
from nodepool_ng.builder.reporting import Reporting
from nodepool_ng.builder.workshop import Workshop
from nodepool_ng.builder.world import World
from nodepool_ng.config import ConfigError, Loaded, Reloader, Watched, clouds_files, load, render
from nodepool_ng.daemon.process import (
    STOPPING,
    PidFile,
    tell_service_manager,
    told_to_stop,
    wait_for_signal,
    watchdog_every,
)
from nodepool_ng.daemon.repl import console
from nodepool_ng.daemon.start import Daemon, Typed, options, starting
from nodepool_ng.model.clock import SystemClock
from nodepool_ng.model.ids import InstallationId, Seconds, Timestamp
from nodepool_ng.model.settings import Settings, ZooKeeperSettings
from nodepool_ng.shell.api_threads import ApiThreads
from nodepool_ng.shell.inbox import Inbox
from nodepool_ng.zk.client import KazooStore, close_session
from nodepool_ng.zk.installation import Stopped, UnknownInstallation, join
from nodepool_ng.zk.mirror import Mirror

DAEMON = Daemon(
    name="builder",
    log="/var/log/nodepool/nodepool-builder.log",
    pid="/var/run/nodepool/nodepool-builder.pid",
    signals=STOPPING,
)
CONFIG_EVERY = 1.0  # seconds
DISK_EVERY = 30.0  # seconds
DEAD_BUILD_PATIENCE = 20.0  # seconds; what an earlier life was building gets that long to end by itself
STOP_PATIENCE = 20.0  # seconds; an upload that has not ended by then is cleared away by the next life
BUILD_PATIENCE = 120.0  # seconds; a build's exit trap and the removal of its working directory take a while

_log = logging.getLogger("nodepool.builder")


class _Stop:
    """The letter that ends the loop."""


class _Alive:
    """The letter on which the loop tells the service manager that it goes round."""


class Builder:
    """All that runs in the process, put together; `run` returns when it has stopped."""

    def __init__(
        self, config: str, secure: str | None, pid_file: PidFile | None, *, build_workers: int, upload_workers: int
    ) -> None:
        own = [config, *([secure] if secure else [])]
        self._clouds_files = frozenset(clouds_files(os.environ, os.getcwd(), str(Path.home())))
        self._reloader = Reloader(Watched([*own, *self._clouds_files]), lambda: load(config, secure))
        self._config = config
        self._pid_file = pid_file
        self._build_workers = build_workers
        self._upload_workers = upload_workers
        self._clock = SystemClock()
        self._inbox: Inbox[Any] = Inbox()
        self._api = ApiThreads(self._clock)
        self._reporting = Reporting(self._inbox.post, self._clock, os.environ)
        self._workshop = Workshop(self._reporting.board)
        self._drivers = Drivers(self._reporting.observe)
        self._images_dir: str | None = None
        self._zookeeper: KazooStore | None = None

    def run(self, loaded: Loaded, let_go: Callable[[], None]) -> None:
        """Run until a signal says to stop. `let_go` is called as soon as nothing that can be known at once is in its
        way; what goes wrong later is told in the log."""
        settings = loaded.settings
        if settings.zookeeper is None:
            raise click.ClickException(
                f"{self._config}: there are no zookeeper-servers; the builder needs at least one"
            )
        if settings.images_dir is None:
            raise click.ClickException(f"{self._config}: there is no images-dir; the builder keeps its images there")
        self._images_dir = settings.images_dir
        images_dir = Path(settings.images_dir)
        try:
            identity = files.builder_id(images_dir)
        except OSError as error:
            raise click.ClickException(f"images-dir {images_dir} cannot be used: {error}") from None
        let_go()
        store = self._zookeeper = self._store(settings.zookeeper)
        ticks = BackgroundScheduler(timezone="UTC")
        with ExitStack() as stack:
            self._end_dead_builds(images_dir)
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
            stack.callback(self._api.stop)
            reconciler = self._reconciler(self._settled(settings), images_dir, identity, installation, store)
            ticks.add_job(self._look_at_files, "interval", seconds=CONFIG_EVERY, max_instances=1)
            ticks.add_job(self._inbox.post, "interval", [DiskDue()], seconds=DISK_EVERY)
            if (every := watchdog_every()) is not None:
                ticks.add_job(self._inbox.post, "interval", [_Alive()], seconds=every)
            ticks.start()
            self._reporting.health.expect("configuration", 10 * CONFIG_EVERY)
            stack.callback(self._reporting.start(ticks, settings.builder_web))
            stack.callback(ticks.shutdown, wait=False)
            loop = threading.Thread(target=self._loop, args=(reconciler,), name="reconciler", daemon=True)
            loop.start()
            _log.info("Builder %s of installation %s is running", identity, installation)
            _log.info("Stopping on %s", wait_for_signal().name)
            tell_service_manager("STOPPING=1")
            self._inbox.post(_Stop())
            loop.join(BUILD_PATIENCE + 5.0)

    def _store(self, settings: ZooKeeperSettings) -> KazooStore:
        previous = self._pid_file.previous_session() if self._pid_file else None
        if previous is not None and close_session(settings, *previous):
            _log.info("Closed the session that the previous builder left open")
        return KazooStore(settings)

    def _keep_session(self, store: KazooStore) -> None:
        client = store.client_id
        if self._pid_file is not None and client is not None:
            self._pid_file.keep_session(client)

    def _end_dead_builds(self, images_dir: Path) -> None:
        for ended in leftovers.end_dead_builds(images_dir, patience=DEAD_BUILD_PATIENCE):
            _log.warning("Build %s-%s of an earlier life is over", ended.image, ended.build)
            for problem in ended.litter:
                _log.warning("It left something behind: %s", problem)

    def _reconciler(
        self, settings: Settings, images_dir: Path, identity: str, installation: InstallationId, store: KazooStore
    ) -> Reconciler:
        mirror = Mirror(store, self._inbox.post)
        world = World(
            settings=settings,
            images_dir=images_dir,
            installation=installation,
            owner=uuid.uuid4().hex,
            builder_id=identity,
            hostname=socket.getfqdn(),
            picture=mirror.picture,
            new_id=lambda: uuid.uuid4().hex,
            progress=self._workshop.uploading,
            build_workers=self._build_workers,
            upload_workers=self._upload_workers,
            now=self._clock.now(),
        )
        reconciler = Reconciler(
            world=world,
            mirror=mirror,
            store=store,
            clouds=self._api,
            workshop=self._workshop,
            clock=self._clock,
            post=self._inbox.post,
            witness=self._reporting.witness,
        )
        mirror.start()
        return reconciler

    def _settled(self, settings: Settings, *, anew: bool = False) -> Settings:
        settled = self._drivers.settle(settings, anew=anew)
        self._api.use(self._drivers.drivers)
        return settled

    def _look_at_files(self) -> None:
        """Post new settings when a file changed; a broken one leaves the old ones in force."""
        self._reporting.health.beat("configuration")
        found = self._reloader.poll()
        match found:
            case Loaded():
                if found.settings.images_dir != self._images_dir:
                    _log.warning("Another images-dir is used from the next start on")
                anew = bool(self._clouds_files & self._reloader.changed)
                self._inbox.post(Reconfigured(self._settled(found.settings, anew=anew)))
                _log.info("The configuration changed")
                if self._zookeeper is not None and found.settings.zookeeper is not None:
                    for sentence in self._zookeeper.use(found.settings.zookeeper):
                        _log.warning("%s", sentence)
            case ConfigError():
                _log.error("The configuration stays as it was:\n%s", render(found.complaints))
            case None:
                pass

    def _loop(self, reconciler: Reconciler) -> None:
        """Deal with letters until told to stop and all effects have ended, or patience has."""
        wake: float | None = 0.0
        stopped: float | None = None
        ready = False
        while stopped is None or not self._may_leave(reconciler, time.monotonic() - stopped):
            wait = None if wake is None else max(wake - self._clock.now(), 0.0)
            for letter in self._inbox.take(wait if stopped is None else min(wait or 1.0, 1.0)):
                match letter:
                    case _Stop():
                        reconciler.stop()
                        self._workshop.stop()
                        stopped = time.monotonic()
                    case _Alive():
                        tell_service_manager("WATCHDOG=1")
                    case _:
                        self._deal(reconciler, letter)
            wake = self._turn(reconciler)
            if not ready and reconciler.latest is not None:
                ready = True
                tell_service_manager("READY=1")

    def _may_leave(self, reconciler: Reconciler, waited: Seconds) -> bool:
        return reconciler.quiet or waited > (BUILD_PATIENCE if reconciler.world.running else STOP_PATIENCE)

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


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@options(DAEMON)
@click.option("--build-workers", type=click.IntRange(0), default=1, show_default=True, help="Builds at a time.")
@click.option("--upload-workers", type=click.IntRange(0), default=4, show_default=True, help="Uploads at a time.")
def main(repl: bool, build_workers: int, upload_workers: int, **typed: Any) -> None:
    """Build images when they are due, and upload them into every provider that lists them."""
    # changed files are noticed anyway; a HUP that was meant to say so must not be the end
    signal.signal(signal.SIGHUP, lambda number, frame: None)
    with starting(DAEMON, Typed(**typed)) as start:
        builder = Builder(
            start.config, start.secure, start.pid_file, build_workers=build_workers, upload_workers=upload_workers
        )
        with console(builder, wanted=repl):
            builder.run(start.loaded, start.let_go)


if __name__ == "__main__":
    sys.exit(main())
