"""The production configuration on a ZooKeeper that knows nothing of it: empty, of an old backup, or in a wrong place.

No server may be deleted then, and somebody has to say so.
"""

import shutil
import time
from pathlib import Path

from nodepool_ng.sim.zookeeper import Server
from tests.soak.crew import CHROOT, REGIONS, WARM, Crew, crew, make_chroot
from tests.soak.load import LATE
from tests.soak.referee import Referee
from tests.soak.report import Report
from tests.support.daemons import free_port, wait_for

GROWN = 3 * WARM
"""So many that each provider has more servers which the old backup does not know than a sweep may take."""
LOOKS = 3
"""Lists of servers that a launcher has to have had before it is believed that it deletes nothing."""
PATIENCE = 90.0  # seconds


def disasters(folder: Path, report: Report) -> None:
    """Play all three on one installation at rest."""
    with crew(folder, 1) as made:
        referee = Referee(made, lambda what: report.broken("disaster", what))
        referee.plant()
        wait_for(lambda: made.place.ready(WARM, label="small"), "the pool is full", PATIENCE)
        wait_for(lambda: made.yard.in_service(1), "the image is in service", PATIENCE)
        wait_for(lambda: not referee.at_rest(), "rest", PATIENCE)
        old = _backup(made, folder)
        _grow(made, referee)
        for daemon in (*made.launchers.values(), *made.builders.values()):
            daemon.stop()
        for name, data in (("empty ZooKeeper", None), ("old backup", old), ("wrong chroot", made.servers[0].folder)):
            _stray(name, data, made, referee, report)


def _backup(crew: Crew, folder: Path) -> Path:
    """Copy what is on the disk of the only ZooKeeper server."""
    server = crew.servers[0]
    server.kill()
    shutil.copytree(server.folder, folder / "backup")
    server.start()
    return folder / "backup"


def _grow(crew: Crew, referee: Referee) -> None:
    """Let there be many servers that the backup does not know."""
    config = crew.place.folder / "launcher-a.yaml"
    for path in (config, config.with_name("launcher-b.yaml")):
        path.write_text(path.read_text().replace(f"min-ready: {WARM}", f"min-ready: {GROWN}"))
    wait_for(lambda: crew.place.ready(GROWN, label="small"), "the pool has grown", PATIENCE)
    wait_for(lambda: not referee.at_rest(), "rest", PATIENCE)


def _stray(name: str, data: Path | None, crew: Crew, referee: Referee, report: Report) -> None:
    """Start a launcher and a builder with the production configuration on another tree, and see what they delete."""
    chroot = "/elsewhere" if name == "wrong chroot" else CHROOT
    folder = crew.place.folder / name.replace(" ", "-")
    if data is not None:
        shutil.copytree(data, folder)
    server = Server(folder, free_port())
    server.start()
    begun = time.monotonic()
    try:
        make_chroot((server.address,), chroot)
        before = {region: {one.id for one in referee.ours(region)} for region in REGIONS}
        images = {region: referee.images(region) for region in REGIONS}
        daemons = []
        for kind in ("launcher", "builder"):
            text = (crew.place.folder / f"{kind}-a.yaml").read_text()
            for port in {crew.servers[0].port, *(proxy.port for proxy in crew.proxies["a"])}:
                text = text.replace(f"port: {port}\n", f"port: {server.port}\n")
            stray = crew.place.folder / f"{kind}-stray.yaml"
            stray.write_text(text.replace(f"chroot: {CHROOT}", f"chroot: {chroot}"))
            daemons.append(crew.place.daemon(f"nodepool-{kind}", "-c", str(stray), "-f", tag=name.replace(" ", "-")))
        counters = [crew.place.sim.region("acme", region).counters for region in REGIONS]
        seen = [count().calls["server.list"] for count in counters]
        wait_for(
            lambda: all(count().calls["server.list"] >= old + LOOKS for count, old in zip(counters, seen, strict=True)),
            "the servers were listed some times",
            PATIENCE,
        )
        time.sleep(LATE)
        for region in REGIONS:
            for gone in before[region] - {one.id for one in referee.ours(region)}:
                report.broken(name, f"OURS: server {gone} in {region} was deleted")
            for lost in images[region] - referee.images(region):
                report.broken(name, f"IMAGES: image {lost} in {region} was deleted")
        said = crew.place.logs(f"nodepool-launcher{name.replace(' ', '-')}")
        if name == "old backup" and "nodepool confirm" not in said:
            report.broken(name, "no alarm: nothing told of the sweep that was stopped")
        for daemon in daemons:
            daemon.stop()
        report.felt[name].append(time.monotonic() - begun)
        referee.judge([])
        _sweep_up(crew, referee, before)
    finally:
        server.kill()


def _sweep_up(crew: Crew, referee: Referee, before: dict[str, set[str]]) -> None:
    """Remove what the stray launcher made, for the next one to find the same clouds."""
    for region in REGIONS:
        for server in referee.ours(region):
            if server.id not in before[region]:
                crew.place.sim.region("acme", region).vanish_server(server.id)
