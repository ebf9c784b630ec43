"""What happens to a build's processes, files and log, whatever the build does and whatever is done to it."""

import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from nodepool_ng.builder import dib, leftovers, limits

LIVES = 'exec 9> "$PULSE"; echo -n + >&9; '  # from now on the pulse beats as long as a child of this shell lives


def lines(order: dib.BuildOrder) -> list[str]:
    return order.log.read_text().splitlines()


def signals(mask: str) -> set[int]:
    """Return the numbers of the signals in a mask of /proc/PID/status: hexadecimal, the lowest bit is signal 1."""
    return {number for number in range(1, 65) if int(mask, 16) >> number - 1 & 1}


def scratch(order: dib.BuildOrder) -> list[str]:
    return os.listdir(order.env_vars["TMPDIR"])


def test_a_build_that_goes_well(order, confined):
    plain = order("write; echo done")
    result = dib.start(plain, os.environ).wait()
    assert result.succeeded
    assert [(file.format, file.md5, file.size > 0) for file in result.files] == [
        ("qcow2", f"{1:032d}", True),
        ("raw", f"{1:032d}", True),
    ]
    assert lines(plain) == ["done", "Exit code: 0"]
    assert stat.S_IMODE(plain.log.stat().st_mode) & ~0o640 == 0
    assert scratch(plain) == []
    assert os.listdir(plain.images_dir / leftovers.RECORDS) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [("exit 3", 3), ("kill -KILL $$", 137), ("kill -TERM $$", 143), ("no-such-program", 127)],
)
def test_a_build_that_fails_says_how(order, confined, body, status):
    failing = order(f"write; {body}")
    result = dib.start(failing, os.environ).wait()
    assert (result.returncode, result.succeeded) == (status, False)
    assert lines(failing)[-1] == f"Exit code: {status}"


def test_no_image_no_success_whatever_the_exit_code(order, confined):
    result = dib.start(order('echo image > "$out.raw"; : > "$out.qcow2"'), os.environ).wait()
    assert (result.returncode, result.succeeded, result.missing) == (0, False, {"qcow2"})


def test_a_command_that_is_not_there(order, confined):
    order = order("", dib_cmd="/no/such/command")
    assert dib.start(order, os.environ).wait().returncode == 127
    assert lines(order) == ["/no/such/command: No such file or directory", "Exit code: 127"]


def test_what_the_build_is_born_with(order, confined):
    plain = order('cat; echo "$args"; echo "$TMPDIR" = "$TMP_DIR"; grep SigIgn /proc/self/status; umask')
    dib.start(plain, os.environ).wait()
    work = f"{plain.env_vars['TMPDIR']}/nodepool-build-{plain.id}"
    arguments, folders, ignored = lines(plain)[:-2]
    assert (
        arguments == f"-x -t qcow2,raw --checksum --no-tmpfs --qemu-img-options compat=0.10 -o {plain.output} one two"
    )
    assert folders == f"{work} = {work}"
    assert (
        signals(ignored.removeprefix("SigIgn:")) & signal.valid_signals() == set()
    )  # the C library keeps two of its own


def test_a_build_is_killed_before_anybody_else(order, confined):
    plain = order("write; cat /proc/self/oom_score_adj")
    dib.start(plain, os.environ).wait()
    assert lines(plain)[0] == "500"


HUNGRY = "python3 -c 'bytearray(300 << 20)' && echo fed"


@pytest.mark.parametrize(("memory", "fed"), [(0, True), (4096, True), (200, False)])
def test_memory_is_limited(order, confined, memory, fed):
    """In a control group or, where there can be none, for each process."""
    hungry = order(f"write; {HUNGRY}", limits=limits.Limits(memory=memory))
    result = dib.start(hungry, os.environ).wait()
    assert ("fed" in lines(hungry)) is fed
    assert result.succeeded is fed


def test_processes_are_limited_and_it_is_said(order, confined):
    if limits.group_for("nodepool-probe", limits.Limits(processes=9)) is None:
        pytest.skip("control groups of version 2 with their controllers cannot be made here")
    limits.remove("nodepool-probe")
    many = order("for i in $(seq 40); do sleep 5 & done; wait", limits=limits.Limits(processes=20))
    dib.start(many, os.environ).wait()
    assert any("build-processes" in line for line in lines(many))


def test_a_limit_that_cannot_be_set_is_a_sentence_and_no_build(order, confined, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "group_for", lambda *_: tmp_path / "gone")
    never = order("write", limits=limits.Limits(memory=9))
    assert dib.start(never, os.environ).wait().returncode == 126
    assert lines(never)[0] == f"The limit {tmp_path}/gone cannot be set: No such file or directory"


def test_blanks_in_the_directory_are_hidden_from_shell_scripts(order, confined, tmp_path):
    blank = order('write; echo "$DIB_IMAGE_FILENAME"; [ "$out" = "$DIB_IMAGE_FILENAME" ]', images_dir=tmp_path / "a b")
    result = dib.start(blank, os.environ).wait()
    assert result.succeeded
    assert " " not in lines(blank)[0]
    assert {file.path.parent for file in result.files} == {tmp_path / "a b"}
    assert scratch(blank) == []


def test_the_last_words_of_other_processes_are_heard(order, confined):
    talkative = order("(sleep 0.3; echo late) & exit 1")
    dib.start(talkative, os.environ).wait()
    assert lines(talkative) == ["late", "Exit code: 1"]


def test_nobody_outlives_the_build(order, confined, pulse, monkeypatch):
    result = dib.start(order(LIVES + "trap '' TERM; setsid sleep 600 & write"), os.environ).wait()
    assert result.succeeded
    pulse.started()
    assert pulse.stopped()


def test_out_of_time_the_main_process_is_asked_to_end_and_no_other(order, confined):
    slow = order(
        """
        bash -c 'trap "echo child was told" TERM; echo up; sleep 600 & wait' &
        trap 'echo cleaning up; kill -KILL $!; exit 143' TERM
        wait
        """,
        timeout=1.0,
    )
    result = dib.start(slow, os.environ).wait()
    assert (result.timed_out, result.cancelled, result.returncode) == (True, False, 143)
    assert lines(slow) == ["up", "cleaning up", "Stopped, because it was not done after 1 s", "Exit code: 143"]


def test_who_does_not_listen_is_killed(order, confined, pulse):
    deaf = order(LIVES + "trap '' TERM; sleep 600", timeout=0.5)
    result = dib.start(deaf, os.environ, grace=0.2).wait()
    assert (result.timed_out, result.returncode) == (True, 137)
    assert lines(deaf)[-1] == "Exit code: 137"
    pulse.started()
    assert pulse.stopped()


def test_another_thread_may_cancel(order, confined, pulse):
    endless = order(LIVES + "sleep 600")
    running = dib.start(endless, os.environ, grace=0.2)

    def cancel() -> None:
        pulse.started()
        running.cancel()

    other = threading.Thread(target=cancel)
    other.start()
    result = running.wait()
    other.join()
    assert (result.cancelled, result.timed_out, result.succeeded) == (True, False, False)
    assert lines(endless)[-1].startswith("Exit code: 1")
    assert pulse.stopped()
    running.cancel()  # too late, and no harm


def test_a_builder_that_is_killed_takes_its_build_with_it(order, confined, pulse, tmp_path):
    build = order(LIVES + "trap '' TERM; sleep 600 & sleep 600")
    builder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(
                f"""
                import os, sys
                from pathlib import PosixPath
                from nodepool_ng.builder import dib
                from nodepool_ng.builder.dib import BuildOrder
                from nodepool_ng.builder.limits import Limits
                dib.sandbox_works = lambda: {confined}
                dib.start({build!r}, os.environ, grace=0.2).wait()
                """
            ),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    pulse.started()
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    assert pulse.stopped()
    (ended,) = leftovers.end_dead_builds(build.images_dir, patience=5.0)
    assert (ended.image, ended.build, ended.litter) == (build.image, build.id, ())
    assert scratch(build) == []


def test_a_supervisor_that_is_killed_takes_its_build_with_it(order, pulse):
    if not dib.sandbox_works():
        pytest.skip("namespaces need root and a kernel that lets it make them")
    build = order(LIVES + "sleep 600")
    running = dib.start(build, os.environ)
    pulse.started()
    lock = build.images_dir / leftovers.RECORDS / f"x-{build.id}.lock"
    os.kill(int(lock.read_text().split()[0]), signal.SIGKILL)
    assert running.wait().returncode == 137
    assert pulse.stopped()


def test_an_impatient_successor_ends_what_its_predecessor_was_building(order, confined, pulse):
    build = order(LIVES + "trap '' TERM; sleep 600")
    running = dib.start(build, os.environ)
    pulse.started()
    (ended,) = leftovers.end_dead_builds(build.images_dir, patience=0.0)
    assert ended.litter == ()
    assert running.wait().returncode == 137
    if confined:  # otherwise the supervisor itself is what ends the others
        assert pulse.stopped()


@pytest.mark.dib
def test_mounts_and_loop_devices_are_given_back(order, confined, pulse):
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    build = order(
        """
        mkdir "$TMP_DIR/dib_image.x" "$TMP_DIR/dib_build.x" "$TMP_DIR/dib_build.x/m n"
        truncate -s 8M "$TMP_DIR/dib_image.x/image0.raw"
        loop=$(losetup --show -f "$TMP_DIR/dib_image.x/image0.raw")
        mkfs -q -t ext4 "$loop" && mount "$loop" "$TMP_DIR/dib_build.x/m n"
        mkdir "$TMP_DIR/dib_build.x/m n/dev" && mount --bind /dev "$TMP_DIR/dib_build.x/m n/dev"
        echo "$loop"
        kill -KILL $$
        """
    )
    result = dib.start(build, os.environ).wait()
    loop = Path(lines(build)[0])
    assert (result.returncode, result.litter) == (137, ())
    assert loop.name.startswith("loop")
    assert not (Path("/sys/block") / loop.name / "loop/backing_file").exists()
    assert scratch(build) == []
    assert Path("/dev/null").exists()
