"""Jobs on this machine: what is on the disk and whose it is, hooks, and ending them."""

import logging
import os
import signal
import threading

import pytest

from nodepool_ng.builder import claims
from nodepool_ng.builder.board import Board
from nodepool_ng.builder.dib import BuildOrder
from nodepool_ng.builder.files import ImageFile
from nodepool_ng.builder.jobs import (
    Cancelling,
    CheckOrder,
    Claim,
    Discard,
    FindFile,
    RunBuild,
    RunHook,
    SeeDisk,
    perform,
)
from nodepool_ng.builder.workshop import Workshop
from nodepool_ng.model.clock import SystemClock
from nodepool_ng.model.image_action import BuildKey
from nodepool_ng.model.image_snapshot import OnDisk

KEY = BuildKey("deb-12", "a" * 32)
OTHER = BuildKey("deb-12", "b" * 32)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


def do(job):
    return perform(job, Cancelling(Board(SystemClock(), "here")))


def test_the_disk_shows_builds_their_formats_and_whose_they_are(images):
    (images / f"{KEY}.qcow2").write_text("x")
    (images / f"{KEY}.qcow2.md5").write_text(f"{'0' * 32}  x")
    (images / f"{OTHER}.raw-part").write_text("x")
    assert do(Claim(images, KEY, "home")) is None
    assert do(SeeDisk(images, frozenset({"qcow2"}))) == {
        KEY: OnDisk(formats=frozenset({"qcow2"}), known_to="home"),
        OTHER: OnDisk(litter=True),
    }


def test_a_build_of_which_only_the_note_is_left_is_shown(images):
    do(Claim(images, KEY, "home"))
    assert do(SeeDisk(images, frozenset())) == {KEY: OnDisk(known_to="home")}


def test_an_absent_directory_holds_nothing(tmp_path):
    assert do(SeeDisk(tmp_path / "none", frozenset())) == {}


def test_a_directory_that_cannot_be_read_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    assert "cannot be read" in do(SeeDisk(tmp_path / "file", frozenset()))


def test_a_claim_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    assert do(Claim(tmp_path / "file", KEY, "home"))


def test_discarding_a_build_takes_all_of_it_and_nothing_else(images):
    for name in (f"{KEY}.qcow2", f"{KEY}.qcow2.md5", f"{KEY}.raw", f"{OTHER}.qcow2", f"x-{KEY}.qcow2"):
        (images / name).write_text("x")
    (images / f"{KEY}.d").mkdir()
    do(Claim(images, KEY, "home"))
    do(Claim(images, OTHER, "home"))
    assert do(Discard(images, KEY, None)) == ()
    assert sorted(os.listdir(images)) == [".known", f"{OTHER}.qcow2", f"x-{KEY}.qcow2"]
    assert claims.read(images) == {OTHER: "home"}


def test_discarding_one_format_keeps_the_others_and_the_claim(images):
    for name in (f"{KEY}.qcow2", f"{KEY}.qcow2.md5", f"{KEY}.raw"):
        (images / name).write_text("x")
    do(Claim(images, KEY, "home"))
    assert do(Discard(images, KEY, "qcow2")) == ()
    assert sorted(os.listdir(images)) == [".known", f"{KEY}.raw"]
    assert claims.read(images) == {KEY: "home"}


def test_a_file_is_found_with_its_checksums(images):
    path = images / f"{KEY}.qcow2"
    path.write_text("x")
    (images / f"{KEY}.qcow2.md5").write_text(f"{'1' * 32}  {path}\n")
    found = do(FindFile(images, KEY.image, KEY.build, "qcow2"))
    assert isinstance(found, ImageFile)
    assert (found.path, found.md5, found.sha256) == (path, "1" * 32, None)
    assert do(FindFile(images, KEY.image, KEY.build, "raw")) is None


def hook(tmp_path, body, timeout=30.0):
    script = tmp_path / "a hook"
    script.write_text(f"#!/bin/bash\n{body}\n")
    script.chmod(0o755)
    return RunHook(str(script), "north", "id-1", "/images/x.qcow2", timeout)


def test_a_hook_gets_provider_id_and_file_and_its_words_are_logged(tmp_path, caplog):
    caplog.set_level(logging.INFO, "nodepool")
    assert do(hook(tmp_path, 'echo "$# $*"')) is None
    assert "post-upload-hook a hook: 3 north id-1 /images/x.qcow2" in caplog.text


def test_a_hook_that_fails_says_so(tmp_path):
    assert do(hook(tmp_path, "exit 7")) == "post-upload-hook a hook ended with exit code 7"
    assert "cannot be run" in do(RunHook("/nowhere/hook", "north", "id", "x", 1.0))


def test_a_hook_that_does_not_end_is_ended(tmp_path):
    os.mkfifo(tmp_path / "never")
    job = hook(tmp_path, f"read < '{tmp_path / 'never'}'", timeout=0.2)
    assert "was not done after 0 s" in do(job)


def test_a_hook_can_be_asked_to_end_though_the_daemon_blocks_that(tmp_path):
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        assert do(hook(tmp_path, "kill -TERM $$")) == "post-upload-hook a hook ended with exit code -15"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def test_stopping_ends_a_hook(tmp_path):
    os.mkfifo(tmp_path / "begun")
    os.mkfifo(tmp_path / "never")
    workshop, over, came = Workshop(Board(SystemClock(), "here")), threading.Event(), []
    job = hook(tmp_path, f"echo > '{tmp_path / 'begun'}'; read < '{tmp_path / 'never'}'")
    workshop.submit(job, lambda answer: (came.append(answer), over.set()))
    (tmp_path / "begun").read_text()
    workshop.stop()
    assert over.wait(20)
    assert came == ["post-upload-hook a hook ended with exit code -9"]


def order(images, **changes):
    return BuildOrder(
        **{
            "image": KEY.image,
            "id": KEY.build,
            "elements": ("one",),
            "formats": frozenset({"raw"}),
            "images_dir": images,
            "log": images.parent / "logs" / "x.log",
        }
        | changes
    )


def test_nothing_is_built_once_stopping(images):
    cancelling = Cancelling(Board(SystemClock(), "here"))
    cancelling.stop()
    assert perform(RunBuild(order(images), "home", 7), cancelling) == "the builder is stopping"


def test_a_build_that_cannot_be_started_is_a_sentence(images):
    assert "could not be started" in do(RunBuild(order(images, dib_cmd="'unclosed"), "home", 7))
    assert claims.read(images) == {KEY: "home"}


def test_an_order_that_cannot_succeed_is_answered_by_sentences(images):
    (said,) = [one for one in do(CheckOrder(order(images, dib_cmd="/nowhere/dib"))) if "dib-cmd" in one]
    assert "cannot be run" in said


@pytest.mark.parametrize(
    ("job", "answer"),
    [
        (CheckOrder(None), ("TypeError",)),
        (Discard(None, KEY, None), ("TypeError",)),
        (FindFile(None, "x", "y", "raw"), None),
        (SeeDisk(None, frozenset()), "TypeError"),
    ],
)
def test_whatever_goes_wrong_becomes_an_answer(job, answer, monkeypatch):
    def broken(job, cancelling):
        raise TypeError

    monkeypatch.setattr("nodepool_ng.builder.workshop.perform", broken)
    came, over = [], threading.Event()
    Workshop(Board(SystemClock(), "here")).submit(job, lambda answer: (came.append(answer), over.set()))
    assert over.wait(20)
    (got,) = came
    assert got == answer or (isinstance(answer, tuple) and answer[0] in got[0]) or str(answer) in str(got)
