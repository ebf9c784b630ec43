"""What a builder process tells of its work, and what it does when an operator wants an end: real ZooKeeper, simulated
clouds, a stand-in for disk-image-create."""

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest

from nodepool_ng.model.lifecycle import ImageState
from tests.support.builders import IMAGE, Yard
from tests.support.builders import yard as in_yard
from tests.support.daemons import SCRIPTS, Site, free_port, wait_for
from tests.support.sink import Sink, sink

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons, pytest.mark.timeout(180)]


@pytest.fixture
def yard(place: Site) -> Iterator[Yard]:
    with in_yard(place) as made:
        yield made


@pytest.fixture
def ears(place: Site) -> Iterator[Sink]:
    with sink() as made:
        place.environment |= {"STATSD_HOST": "127.0.0.1", "STATSD_PORT": str(made.port)}
        yield made


def nodepool(yard: Yard, *arguments: str) -> str:
    """Run the program as an operator does, and return what it printed."""
    command = [str(SCRIPTS / "nodepool"), "-c", str(yard.place.config), *arguments]
    done = subprocess.run(
        command, env=yard.place.surroundings(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def progress(yard: Yard) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(nodepool(yard, "image-progress", "--format", "json"))
    return found


def test_every_recorded_name_of_the_builder_comes_with_its_type(yard: Yard, ears: Sink) -> None:
    port = free_port()
    yard.configure(more={"builder-webapp": {"port": port, "listen_address": "127.0.0.1"}})
    yard.builder()
    wait_for(yard.in_service, "the first build is in service")
    kinds = {
        f"nodepool.dib_image_build.{IMAGE}.qcow2.size": "g",
        f"nodepool.dib_image_build.{IMAGE}.status.duration": "ms",
        f"nodepool.dib_image_build.{IMAGE}.status.last_build": "g",
        f"nodepool.dib_image_build.{IMAGE}.status.rc": "g",
        f"nodepool.image.{IMAGE}.image_build_requests": "g",
        "nodepool.image_build_requests": "g",
    }
    wanted = {f"{name}|{kind}" for name, kind in kinds.items()}
    wanted |= {
        f"nodepool.image_update.{IMAGE}.{region}|{kind}" for region in ("north", "south") for kind in ("c", "ms")
    }

    def missing() -> set[str]:
        return wanted - set(ears.names)

    ears.wait(lambda: not missing(), "every name")
    for region in ("north", "south"):
        end = f".image.{IMAGE}.provider.{region}.upload.state|g"
        ears.wait(lambda end=end: any(name.endswith(end) for name in ears.names), end)  # type: ignore[misc]
    for end in ("current_builds", "current_uploads", "build_workers", "upload_workers", f"image.{IMAGE}.build.state"):
        ears.wait(lambda end=end: any(name.endswith(f".{end}|g") for name in ears.names), end)  # type: ignore[misc]
    assert ears.last(f"nodepool.dib_image_build.{IMAGE}.status.rc") == "0|g"
    assert any(name.startswith("nodepool.task.north.image.POST.images.201") for name in ears.names)

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    assert f'nodepool_dib_image_build_result_code{{image="{IMAGE}"}} 0.0' in text
    assert f'nodepool_image_update{{image="{IMAGE}",provider="north"}} 1.0' in text
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
        assert json.load(answer)["ok"]


def test_a_running_build_is_seen_followed_and_cancelled(yard: Yard) -> None:
    os.mkfifo(yard.hold)
    builder = yard.builder()
    wait_for(lambda: any(row["doing"] == "building" for row in progress(yard)), "the build is seen")
    (row,) = [row for row in progress(yard) if row["doing"] == "building"]
    assert row["image"] == IMAGE
    wait_for(lambda: f"building {IMAGE}" in nodepool(yard, "image-log", IMAGE), "its log is seen")
    command = [str(SCRIPTS / "nodepool"), "-c", str(yard.place.config), "image-log", "--follow", IMAGE]
    follower = subprocess.Popen(command, env=yard.place.surroundings(), stdout=subprocess.PIPE, text=True)

    nodepool(yard, "image-cancel", IMAGE)
    told, _ = follower.communicate(timeout=60)
    assert "Cancelled after" in told
    assert follower.returncode == 0
    wait_for(lambda: any(row["why"] for row in progress(yard)), "why nothing is built")
    (row,) = [row for row in progress(yard) if row["doing"] == "waiting"]
    assert "an operator cancelled it" in str(row["why"])
    assert row["next_try"] is not None
    assert yard.place.children("/nodepool_ng/cancel") == []
    assert [build.state for build in yard.builds().values()] in ([ImageState.FAILED], [ImageState.DELETING], [])

    yard.hold.unlink()
    yard.request_build()
    wait_for(yard.in_service, "a request by hand starts it again")
    assert builder.stop() == 0


def test_an_order_to_a_builder_that_died_does_not_stay(yard: Yard) -> None:
    os.mkfifo(yard.hold)
    first = yard.builder("-first")
    wait_for(lambda: any(row["doing"] == "building" for row in progress(yard)), "the build is seen")
    first.kill()
    yard.hold.unlink()
    nodepool(yard, "image-cancel", IMAGE)
    assert yard.place.children("/nodepool_ng/cancel") != []
    yard.configure(images="other-images")
    second = yard.builder("-second")
    wait_for(lambda: yard.place.children("/nodepool_ng/cancel") == [], "the order is taken away", 60)
    assert second.stop() == 0


def test_an_upload_is_seen_and_cancelled_and_tried_again_later(yard: Yard) -> None:
    yard.configure(sparse="16G")
    builder = yard.builder()
    wait_for(lambda: any(row["doing"] == "uploading" and row["done"] for row in progress(yard)), "an upload is seen")
    rows = [row for row in progress(yard) if row["doing"] == "uploading"]
    assert {row["provider"] for row in rows} <= {"north", "south"}
    assert {row["size"] for row in rows} == {16 << 30}
    nodepool(yard, "image-cancel", IMAGE, "--provider", "south")
    nodepool(yard, "image-cancel", IMAGE, "--provider", "north")
    wait_for(lambda: any("an operator cancelled it" in str(row["why"]) for row in progress(yard)), "it is cancelled")
    assert not [one for one in yard.in_clouds() if one[0] == "north"]
    assert builder.stop() == 0


def test_two_builds_can_be_compared(yard: Yard) -> None:
    builder = yard.builder()
    wait_for(yard.in_service, "the first build is in service")
    yard.configure(elements=["one", "two"])
    wait_for(lambda: "The configuration changed" in builder.log.read_text(), "the new configuration is in force")
    yard.another_build(2)
    first, second = sorted(yard.builds().values(), key=lambda build: build.state_time)
    wait_for(lambda: len(yard.place.children(f"/nodepool_ng/build-sheets/{IMAGE}")) == 2, "both sheets")
    found = json.loads(nodepool(yard, "image-diff", f"{IMAGE}-{first.id}", f"{IMAGE}-{second.id}", "--format", "json"))
    assert {"what": "element", "name": "two", "before": None, "after": "yes"} in found


def test_the_launcher_s_page_shows_it_too(yard: Yard) -> None:
    os.mkfifo(yard.hold)
    yard.builder()
    yard.place.launcher()

    def page() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{yard.place.web_port}/", timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    badge = '<span class="badge good">building</span>'
    wait_for(lambda: badge in page().partition("Work on images")[2], "the page has the build")
