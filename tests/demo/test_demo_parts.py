"""What the demo shows, configures and leaves behind, without running it."""

import io
import json
import shutil
import subprocess

import pytest
from rich.console import Console

from nodepool_ng.config import load
from nodepool_ng.demo import building, folder, parts, settings
from nodepool_ng.demo.rows import Phase, Row, filling
from nodepool_ng.demo.screen import Lines, Terminal
from nodepool_ng.demo.view import Sight
from nodepool_ng.model.ids import BuildId, NodeId, UploadId
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.lifecycle import ImageState, NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.sim import config

BUILD = Build(image=settings.IMAGE, id=BuildId("b" * 32), state=ImageState.BUILDING, state_time=1.0)


def upload(region: settings.Region, state: ImageState) -> Upload:
    return Upload(
        image=settings.IMAGE,
        build=BUILD.id,
        provider=region.provider,
        id=UploadId("0000000001"),
        state=state,
        state_time=2.0,
        external_name="tiny-1",
    )


def node(number: int, state: NodeState, provider: settings.Region) -> Node:
    return Node(id=NodeId(f"{number:010}"), state=state, state_time=9.0, created_time=5.0, provider=provider.provider)


def phases(sight: Sight) -> dict[str, Phase]:
    return {row.key: row.phase for row in filling(sight, settings.SIMULATED, really=True)}


def test_rows_follow_from_what_there_is():
    north, south, west = settings.SIMULATED.regions
    assert set(phases(Sight()).values()) == {Phase.WAITING}
    sight = Sight(
        builds=(BUILD,),
        uploads=(upload(north, ImageState.READY), upload(south, ImageState.UPLOADING)),
        nodes=(node(1, NodeState.BUILDING, north),),
    )
    assert phases(sight) == {
        "build": Phase.GOING,
        north.provider: Phase.DONE,
        south.provider: Phase.GOING,
        west.provider: Phase.WAITING,
        "nodes": Phase.GOING,
    }


def test_the_pool_is_full_when_a_dozen_is_ready_and_free():
    nodes = tuple(node(n, NodeState.READY, settings.SIMULATED.regions[n % 3]) for n in range(settings.SIMULATED.warm))
    *_, row = filling(Sight(nodes=nodes), settings.SIMULATED, really=True)
    assert (row.phase, row.done) == (Phase.DONE, 12)
    assert "launched in 4.0–4.0 s (4 in harbor-north" in row.detail


ROWS = [Row(key="a", text="build", phase=Phase.GOING), Row(key="a", text="build", phase=Phase.DONE, detail="19 MB")]


def test_a_log_gets_a_line_for_each_change():
    said = io.StringIO()
    lines = Lines(Console(file=said, width=80))
    lines.show([Row(key="a", text="build", phase=Phase.WAITING)])
    for row in (*ROWS, ROWS[-1]):
        lines.show([row])
    assert [line.split("s  ", 1)[1].rstrip() for line in said.getvalue().splitlines()] == [
        "begin  build",
        "done   build (0.0 s): 19 MB",
    ]


def test_a_terminal_ends_with_what_was_shown_last():
    said = io.StringIO()
    terminal = Terminal(Console(file=said, width=60, force_terminal=True))
    for row in ROWS:
        terminal.show([row])
    terminal.close()
    assert "19 MB" in said.getvalue().rpartition("build")[2]


@pytest.mark.parametrize("dib_cmd", [None, building.STAND_IN])
def test_the_daemons_configuration_has_nothing_to_complain_about(tmp_path, monkeypatch, dib_cmd):
    place = folder.Folder(tmp_path)
    ports = {region.provider: 2200 + number for number, region in enumerate(settings.SIMULATED.regions)}
    place.config.write_text(settings.nodepool(place, settings.SIMULATED, 2181, 8005, ports, dib_cmd))
    loaded = load(str(place.config), None)
    assert loaded.warnings == ()
    assert set(loaded.settings.providers) == set(ports)
    assert sum(label.min_ready for label in loaded.settings.labels.values()) == settings.SIMULATED.warm == 12


def test_the_simulation_has_two_clouds_and_three_regions():
    clouds = config.parse(settings.simulation()).clouds
    assert {name: list(cloud.regions) for name, cloud in clouds.items()} == {
        "harbor": ["north", "south"],
        "meadow": ["west"],
    }


def test_the_ready_made_image_is_a_proper_disk(tmp_path):
    qemu = shutil.which("qemu-img")
    if qemu is None:
        pytest.skip("needs qemu-img")
    assert building.main(["-x", "-t", "qcow2", "-o", str(tmp_path / "tiny-1"), "ng-tiny"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "tiny-1.qcow2",
        "tiny-1.qcow2.md5",
        "tiny-1.qcow2.sha256",
    ]
    subprocess.run([qemu, "check", tmp_path / "tiny-1.qcow2"], check=True)
    told = json.loads(subprocess.check_output([qemu, "info", "--output=json", tmp_path / "tiny-1.qcow2"]))
    assert told["virtual-size"] == building.SIZE


def test_nothing_in_the_environment_leads_daemons_elsewhere(tmp_path):
    place = folder.Folder(tmp_path)
    base = {"STATSD_HOST": "graphite", "OS_CLOUD": "prod", "no_proxy": "intern", "LANG": "C", "PATH": "/bin"}
    env = parts.environment(place, base)
    assert not {"STATSD_HOST", "OS_CLOUD"} & set(env)
    assert env["no_proxy"] == "intern,127.0.0.1,localhost"
    assert (env["LANG"], env["OS_CLIENT_CONFIG_FILE"]) == ("C", str(place.clouds))


def test_a_folder_goes_with_its_demo_and_takes_those_of_dead_ones_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "CHECKOUT", tmp_path)
    state = tmp_path / ".state"
    with folder.private(keep=True) as left:
        assert left.path.parent == state
    with folder.private() as one, folder.private() as other:
        assert not left.path.exists()
        assert one.path.exists()
        assert one.path != other.path
    assert [path.name for path in state.iterdir()] == ["cache"]


def test_a_checkout_whose_path_dib_cannot_use_keeps_its_demos_elsewhere(tmp_path, monkeypatch):
    checkout = tmp_path / "my checkout"
    checkout.mkdir()
    monkeypatch.setattr(folder, "CHECKOUT", checkout)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with folder.private() as place:
        assert " " not in str(place.path)
        assert place.cache.resolve() == checkout / ".state" / "cache"
