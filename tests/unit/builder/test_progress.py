"""What a log tells of a build, as far as it has come."""

import os

import pytest

from nodepool_ng.builder.board import Board
from nodepool_ng.builder.dib import BuildOrder, BuildResult
from nodepool_ng.builder.files import ImageFile
from nodepool_ng.builder.progress import TAIL, LogStory, Rate, element_of
from nodepool_ng.builder.sheet import packages_of
from nodepool_ng.model.image_action import Destination

STAMP = "2026-11-21 03:23:46.764 | "
HOOKS = "/scratch/nodepool-build-aaaa/dib_build.M506bVbo/hooks"
LOG = f"""\
{STAMP}Building elements: base ng-tiny
{STAMP}Expanded element dependencies to: base ng-tiny ng-extlinux pkg-map
{STAMP}+ lib/common-functions:run_d:256 :   dib-run-parts Running /x/root.d/99-not-a-line-of-its-own
{STAMP}dib-run-parts Sourcing environment file {HOOKS}/root.d/../environment.d/09-ng-tiny.bash
{STAMP}dib-run-parts Running {HOOKS}/root.d/10-ng-tiny-root
{STAMP}dib-run-parts 10-ng-tiny-root completed
{STAMP}dib-run-parts Running /tmp/in_target.d/install.d/20-packages
"""


def heard(*texts):
    story = LogStory()
    for text in texts:
        story.hear(text)
    return story


def test_the_log_tells_elements_phase_and_hook():
    story = heard(LOG)
    assert story.elements == ("base", "ng-tiny", "ng-extlinux", "pkg-map")
    assert (story.phase, story.hook, story.hooks_run) == ("install.d", "20-packages", 2)


@pytest.mark.parametrize("cut", range(0, len(LOG), 37))
def test_it_may_come_in_pieces(cut):
    assert heard(LOG[:cut], LOG[cut:]) == heard(LOG)


def test_the_conversion_comes_last():
    story = heard(LOG, f"{STAMP}Converting image using qemu-img convert\n")
    assert (story.phase, story.hook) == ("conversion", "qemu-img")
    story.hear(f"{STAMP}Image file /i/tiny-aaaa.qcow2 created...\n")
    assert (story.phase, story.hook) == ("conversion", "qcow2")


def test_another_program_s_log_tells_nothing_and_is_kept():
    story = heard("hello\n", "no end of line " * 10_000)
    assert (story.phase, story.hook, story.elements) == ("", "", ())
    assert story.length == 6 + 150_000
    assert len(story.tail) == TAIL


def test_a_hook_is_of_the_element_that_has_it():
    there = {"b/install.d/10-x", "c/root.d/10-x"}
    assert element_of("install.d", "10-x", ("a", "b", "c"), there.__contains__) == "b"
    assert element_of("root.d", "99-x", ("a", "b"), there.__contains__) is None


@pytest.mark.parametrize(
    ("done", "total", "seconds", "rate", "left"),
    [(0, 100, 0, 0, None), (50, 100, 5, 10, 5), (100, 100, 5, 20, 0), (50, 0, 5, 10, None)],
)
def test_a_rate_says_how_long_it_takes(done, total, seconds, rate, left):
    found = Rate(done, total, seconds)
    assert (found.per_second, found.left) == (rate, left)


class Clock:
    def __init__(self):
        self.time = 1000.0

    def now(self):
        return self.time

    monotonic = now


@pytest.fixture
def order(tmp_path):
    elements = tmp_path / "elements/ng-tiny/root.d"
    elements.mkdir(parents=True)
    (elements / "10-ng-tiny-root").touch()
    (tmp_path / "scratch").mkdir()
    return BuildOrder(
        image="tiny",
        id="a" * 32,
        elements=("ng-tiny",),
        formats=frozenset({"raw"}),
        images_dir=tmp_path / "images",
        log=tmp_path / "tiny.log",
        env_vars={"TMPDIR": str(tmp_path / "scratch"), "PASSWORD": "very secret"},
        elements_dir=str(tmp_path / "elements"),
    )


def test_the_board_shows_a_build_as_its_log_grows_and_then_its_sheet(order, tmp_path):
    clock = Clock()
    board = Board(clock, "nb01.example")
    order.log.write_text("")
    with board.building(order) as tell:
        order.log.write_text(f"{STAMP}Expanded element dependencies to: ng-tiny base\n")
        with order.log.open("a") as log:
            log.write(f"{STAMP}dib-run-parts Running {HOOKS}/root.d/10-ng-tiny-root\n")
        clock.time += 61
        look = board.look()
        (build,) = look.work["builds"]
        assert (build["phase"], build["hook"], build["element"]) == ("root.d", "10-ng-tiny-root", "ng-tiny")
        assert build["seconds"] == 61
        (sheet,) = look.sheets
        assert not sheet.over
        assert sheet.document["elements"] == ["base", "ng-tiny"]
        assert "10-ng-tiny-root" in sheet.document["log-tail"]
        assert board.look().sheets == (), "nothing new, nothing told"
        manifests = tmp_path / "images" / f"tiny-{order.id}.d/dib-manifests"
        manifests.mkdir(parents=True)
        (manifests / "dib-manifest-packages-tiny").write_text("dropbear 2022.83-1\n")
        file = ImageFile(format="raw", path=tmp_path / "x", size=4096, sha256="0" * 64)
        tell(BuildResult(returncode=0, duration=62, files=(file,)))
    look = board.look()
    assert look.work["builds"] == []
    (sheet,) = look.sheets
    assert sheet.over
    assert sheet.document["succeeded"] is True
    assert sheet.document["packages"] == {"dropbear": "2022.83-1"}
    assert sheet.document["sizes"] == {"raw": 4096}
    assert "very secret" not in str(sheet.document)


def test_two_builds_with_another_value_of_a_variable_differ_and_do_not_tell_it(order):
    board = Board(Clock(), "here")
    prints = []
    for value in ("one", "one", "two"):
        order.env_vars["PASSWORD"] = value
        with board.building(order) as tell:
            tell(BuildResult(returncode=1, duration=1))
        prints.append(board.look().sheets[0].document["env-vars"]["PASSWORD"])
    assert prints[0] == prints[1] != prints[2]


def test_uploads_tell_bytes_rate_and_what_is_left():
    clock = Clock()
    board = Board(clock, "here")
    to = Destination("tiny", "a" * 32, "north")
    sent = board.uploading(to, 4000)
    clock.time += 10
    sent(1000)
    (upload,) = board.look().work["uploads"]
    assert (upload["sent"], upload["size"], upload["rate"], upload["left"]) == (1000, 4000, 100, 30)
    board.uploaded(to)
    assert board.look().work["uploads"] == []


def test_manifests_of_dpkg_git_and_ours_are_read_and_broken_ones_are_not(tmp_path):
    folder = tmp_path / "dib-manifests"
    folder.mkdir()
    (folder / "dib-manifest-dpkg-x").write_text(
        '{"packages": [{"package": "bash","arch": "amd64","version": "5.2","status": "ii "},\n'
        '{"package": "gone","arch": "amd64","version": "1","status": "rc "}]}'
    )
    (folder / "dib-manifest-git-x").write_text("nova git /opt/git/nova https://example.org/nova 0123abcd\n")
    (folder / "dib-manifest-packages-x").write_text("busybox 1.35\nnot a line of ours\n")
    assert packages_of(tmp_path) == {"bash": "5.2", "busybox": "1.35", "git:nova": "0123abcd"}
    (folder / "dib-manifest-dpkg-x").write_text("{")
    assert packages_of(tmp_path) == {"busybox": "1.35", "git:nova": "0123abcd"}
    assert packages_of(tmp_path / "none") is None


def test_the_key_for_prints_is_nobody_else_s(order):
    with Board(Clock(), "here").building(order):
        pass
    assert os.stat(order.images_dir / ".sheet-key").st_mode & 0o777 == 0o600
