"""The builder as a process: real ZooKeeper, simulated OpenStack over HTTP, a stand-in for disk-image-create."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodepool_ng.builder import dib
from nodepool_ng.model.image import Build
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.blocking import call
from nodepool_ng.zk.store import Commit, Delete, Set
from tests.support.builders import IMAGE, Yard
from tests.support.builders import yard as in_yard
from tests.support.daemons import Site, wait_for

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons, pytest.mark.timeout(180)]


@pytest.fixture
def yard(place: Site) -> Iterator[Yard]:
    with in_yard(place) as made:
        yield made


def test_an_image_is_built_uploaded_rotated_and_cleaned_up(yard: Yard) -> None:
    builder = yard.builder()
    wait_for(yard.in_service, "the first build is in service")
    ((first, build),) = yard.builds().items()
    assert build.builder_id == (yard.images() / "builder_id.txt").read_text().strip()
    assert build.formats == ("qcow2",)
    assert {(upload.provider, upload.id) for upload in yard.uploads()} == {
        ("north", "0000000001"),
        ("south", "0000000001"),
    }
    (image,) = [one for one in yard.place.sim.region("acme", "north").state().images if one["name"] != "base"]
    upload = next(one for one in yard.uploads() if one.provider == "north")
    assert (image["id"], image["name"]) == (upload.external_id, upload.external_name)
    assert image["nodepool_build_id"] == first
    assert image["nodepool_upload_id"] == upload.id
    assert image["nodepool_provider_name"] == "north"
    assert image["kind"] == "test"
    log = (yard.place.folder / "logs" / f"{IMAGE}-{first}.log").read_text()
    assert log.startswith(f"building {IMAGE}\n")
    assert log.endswith("Exit code: 0\n")

    yard.another_build(2)
    yard.another_build(2)
    assert first not in yard.builds()
    wait_for(yard.settled, "files and images of the first build are gone")
    assert len(list((yard.place.folder / "logs").iterdir())) <= 3
    assert builder.stop() == 0
    assert yard.in_service(2)


def test_a_failed_build_is_recorded_and_the_request_kept(yard: Yard) -> None:
    builder = yard.builder()
    wait_for(yard.in_service, "the first build is in service")
    (good,) = yard.builds()
    yard.fail.touch()
    yard.request_build()
    wait_for(lambda: "failed" in yard.states(), "the second build fails")
    assert yard.requested()
    yard.fail.unlink()
    wait_for(lambda: not yard.requested(), "it is tried again")
    assert good in yard.builds()
    assert "the next try is in 10 s" in builder.log.read_text()


def test_a_stop_ends_a_running_build_in_order(yard: Yard) -> None:
    os.mkfifo(yard.hold)
    builder = yard.builder()
    pid = _builds(yard)
    began = time.monotonic()
    assert builder.stop() == 0
    assert time.monotonic() - began < dib.GRACE, "it ended because it was asked to, and was not killed"
    assert not _alive(pid)
    assert yard.states() == ["failed"]
    yard.hold.unlink()
    again = yard.builder()
    wait_for(lambda: yard.states().count("ready") == 3, "the next life builds at once")
    wait_for(lambda: not [name for name in yard.files() if "part" in name], "what was half done is removed")
    assert again.running


def test_a_builder_killed_during_a_build_leaves_nothing(yard: Yard) -> None:
    os.mkfifo(yard.hold)
    builder = yard.builder()
    pid = _builds(yard)
    (dead,) = yard.builds()
    builder.kill()
    wait_for(lambda: not _alive(pid), "the build ends with its builder")
    yard.hold.unlink()
    yard.builder()
    wait_for(lambda: yard.in_service() and yard.settled(), "its successor has built, and nothing is left")
    assert dead not in yard.builds()
    assert not list((yard.images() / ".building").iterdir())


def test_a_builder_killed_during_uploads_leaks_and_doubles_nothing(yard: Yard) -> None:
    south = yard.place.sim.region("acme", "south")
    south.change(latency={"calls": {"image.upload": 8.0}})
    builder = yard.builder()
    wait_for(lambda: yard.states() == ["ready", "ready", "uploading"], "one upload is under way")
    wait_for(lambda: len(yard.in_clouds()) == 2, "its image is in the cloud")
    (left,) = yard.in_clouds() - yard.recorded()
    builder.kill()
    south.change(latency={})
    yard.builder()
    wait_for(lambda: yard.in_service() and yard.settled(), "the upload is made again, its leftover is deleted")
    assert left not in yard.in_clouds()
    assert len(yard.builds()) == 1
    (image,) = [upload for upload in yard.uploads() if upload.provider == "south"]
    assert image.id == "0000000002"


def test_two_builders_share_the_work(yard: Yard) -> None:
    yard.configure(images="images-a")
    first = yard.builder("-a")
    wait_for(lambda: (yard.images("images-a") / "builder_id.txt").exists(), "the first builder has its configuration")
    yard.configure(images="images-b")
    second = yard.builder("-b")
    wait_for(lambda: len(yard.builders()) == 2, "both are there")
    wait_for(yard.in_service, "the first build is in service")
    for _ in range(2):
        yard.another_build(2)
    wait_for(lambda: yard.in_clouds() == yard.recorded(), "the clouds hold what is recorded")
    done = first.log.read_text() + second.log.read_text()
    assert done.count(" is ready after ") == 3
    kinds = {name.rpartition(".")[2] for folder in ("images-a", "images-b") for name in yard.files(folder)}
    assert "qcow2" in kinds


def test_configuration_and_orders_take_effect_while_it_runs(yard: Yard) -> None:
    yard.builder()
    wait_for(yard.in_service, "the first build is in service")
    yard.configure(north=())
    wait_for(lambda: {upload.provider for upload in yard.uploads()} == {"south"}, "the image leaves the north")
    wait_for(lambda: yard.in_clouds() == yard.recorded(), "and its cloud")
    yard.configure()
    wait_for(yard.in_service, "it comes back")
    ((id, build),) = yard.builds().items()
    path = paths.build(build.image, build.id)
    record = codec.encode_build(Build(image=build.image, id=build.id, state=ImageState.DELETING, state_time=1.0))
    call(yard.store, [Commit((Set(path, record),))])
    wait_for(lambda: id not in yard.builds() and yard.in_service(), "an ordered deletion is followed by a new build")
    wait_for(yard.settled, "nothing of the old one is left")
    (answer,) = call(yard.store, [Commit((Delete(path),))])
    assert "no such znode" in str(answer)


def test_a_builder_on_an_empty_zookeeper_keeps_every_file(yard: Yard) -> None:
    stray = f"{IMAGE}-{'d' * 32}.qcow2"
    known = yard.images() / ".known"
    known.mkdir(parents=True)
    (yard.images() / stray).write_text("precious")
    (known / f"{IMAGE}-{'d' * 32}").write_text("another-installation\n")
    builder = yard.builder()
    wait_for(yard.in_service, "the first build is in service")
    yard.another_build(2)
    assert stray in yard.files()
    assert builder.stop() == 0


def test_a_builder_that_waits_for_zookeeper_can_be_stopped(yard: Yard) -> None:
    config = yard.place.config
    text = config.read_text()
    config.write_text(text.replace(f"port: {yard.place.zookeeper.hosts[0].rpartition(':')[2]}", "port: 1"))
    builder = yard.builder()
    wait_for(lambda: "Waiting for ZooKeeper" in builder.log.read_text(), "it waits")
    assert builder.stop() == 0


def test_a_hang_up_is_not_the_end(yard: Yard) -> None:
    builder = yard.builder()
    wait_for(yard.in_service, "the first build is in service")
    builder.signal(signal.SIGHUP)
    yard.another_build(2)
    assert builder.running


def _builds(yard: Yard) -> int:
    """Wait until the stand-in is in the middle of a build; return its process id, or 0 where it has a namespace."""
    told = Path(f"{yard.hold}.pid")
    wait_for(lambda: told.exists() and bool(told.read_text().strip()), "the build is under way")
    wait_for(lambda: yard.states() == ["building"], "its record says so")
    pids = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _command(entry).startswith(f"/bin/bash {yard.place.folder}")
    ]
    assert pids
    return pids[0]


def _command(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
