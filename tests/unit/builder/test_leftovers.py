"""Which loop devices are a dead build's, and what of a build is written down."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from nodepool_ng.builder import leftovers
from nodepool_ng.builder.leftovers import Loop, loops_of, parse_loops
from nodepool_ng.model.ids import BuildId, ImageName

WORK = Path("/tmp/nodepool-build-1")
OURS = Loop(device="/dev/loop0", path="/tmp/nodepool-build-1/dib_image.x/image0.raw", file=("254:0", 7))
NEIGHBOUR = Loop(device="/dev/loop1", path="/tmp/nodepool-build-12/dib_image.x/image0.raw", file=("254:0", 8))
UPON = Loop(device="/dev/loop2", path="/dev/loop0", file=("0:6", 3))
NAMELESS = Loop(device="/dev/loop3", path="/image0.raw", file=("254:0", 9))


def test_a_loop_is_known_by_its_path():
    assert loops_of(WORK, [OURS, NEIGHBOUR], set()) == [OURS]


def test_a_loop_is_known_by_its_file_when_the_namespace_took_the_name_away():
    assert loops_of(WORK, [NAMELESS, NEIGHBOUR], {("254:0", 9)}) == [NAMELESS]


def test_a_loop_upon_ours_goes_first():
    assert loops_of(WORK, [OURS, UPON, NEIGHBOUR], set()) == [UPON, OURS]


def test_nobody_elses_loop_is_ours():
    assert loops_of(WORK, [NEIGHBOUR, NAMELESS, UPON], {("254:0", 7)}) == []


def test_the_answer_of_losetup_is_read():
    row = {"name": "/dev/loop0", "back-file": OURS.path, "back-ino": 7, "back-maj:min": " 254:0 "}
    assert parse_loops(json.dumps({"loopdevices": [row]}).encode()) == [OURS]
    nothing = {"name": "/dev/loop9", "back-file": None, "back-ino": None, "back-maj:min": None}
    assert parse_loops(json.dumps({"loopdevices": [nothing]}).encode()) == [
        replace(OURS, device="/dev/loop9", path="", file=("", 0))
    ]
    assert parse_loops(b"") == []


def test_a_build_that_died_before_its_directory_was_made_is_found(tmp_path):
    build = BuildId("a" * 32)
    workspace, lock = leftovers.take(tmp_path / "images", ImageName("x"), build, tmp_path)
    workspace.directory.rmdir()
    with open(lock):
        pass
    (ended,) = leftovers.end_dead_builds(tmp_path / "images", patience=0)
    assert (ended.image, ended.build, ended.litter) == ("x", build, ())
    assert leftovers.end_dead_builds(tmp_path / "images", patience=0) == []


def test_one_build_is_not_started_twice(tmp_path):
    _, lock = leftovers.take(tmp_path / "images", ImageName("x"), BuildId("a" * 32), tmp_path)
    with open(lock), pytest.raises(BlockingIOError):
        leftovers.take(tmp_path / "images", ImageName("x"), BuildId("a" * 32), tmp_path)


def test_what_a_builder_wrote_before_and_after_a_build_goes_with_it(tmp_path: Path) -> None:
    images_dir, build = tmp_path / "images", BuildId("c" * 32)
    workspace, lock = leftovers.take(images_dir, ImageName("x"), build, tmp_path)
    workspace.record.rename(workspace.record.with_name(f"{workspace.record.name}.part"))
    assert leftovers.end_dead_builds(images_dir, patience=0) == []
    assert len(list((images_dir / leftovers.RECORDS).iterdir())) == 2, "its lock is held"
    os.close(lock)
    assert leftovers.end_dead_builds(images_dir, patience=0) == []
    assert list((images_dir / leftovers.RECORDS).iterdir()) == []


def test_a_record_that_names_a_directory_not_ours_is_left_alone(tmp_path):
    records = tmp_path / "images" / leftovers.RECORDS
    records.mkdir(parents=True)
    precious = tmp_path / "precious"
    precious.mkdir()
    told = {"image": "x", "build": "a" * 32, "directory": str(precious)}
    (records / f"x-{'a' * 32}").write_text(json.dumps(told))
    (records / f"x-{'b' * 32}").write_text("{")
    assert leftovers.end_dead_builds(tmp_path / "images", patience=0) == []
    assert precious.exists()
