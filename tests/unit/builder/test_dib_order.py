"""What diskimage-builder is told: an interface, since wrappers read it. The samples are those of Nodepool 11."""

from dataclasses import replace
from pathlib import Path

import pytest

import nodepool_ng
from nodepool_ng.builder import dib
from nodepool_ng.model.ids import BuildId, ImageName

BUILD = "add825ec8cd947308b7bff4368df7b4e"
IMAGES = "/var/lib/nodepool/images"
ORDER = dib.BuildOrder(
    image=ImageName("fake-image-arm"),
    id=BuildId(BUILD),
    elements=("fedora", "vm"),
    formats=frozenset({"qcow2"}),
    images_dir=Path(IMAGES),
    log=Path("/var/log/nodepool/builds/x.log"),
    release="21",
    elements_dir="/var/lib/nodepool/elements",
    env_vars={"MYVAR": "hello"},
)


def test_arguments_are_those_of_nodepool_11():
    assert dib.argv(ORDER) == [
        "disk-image-create",
        *("-x", "-t", "qcow2", "--checksum", "--no-tmpfs", "--qemu-img-options", "compat=0.10"),
        *("-o", f"{IMAGES}/fake-image-arm-{BUILD}", "fedora", "vm"),
    ]


def test_environment_is_that_of_nodepool_11():
    assert dib.environment(ORDER, {"HOME": "/root"}) == {
        "HOME": "/root",
        "DIB_IMAGE_FILENAME": f"{IMAGES}/fake-image-arm-{BUILD}",
        "DIB_IMAGE_NAME": "fake-image-arm",
        "DIB_RELEASE": "21",
        "ELEMENTS_PATH": "/var/lib/nodepool/elements",
        "MYVAR": "hello",
    }


def test_what_the_image_sets_itself_wins_and_arrives_unchanged():
    order = replace(ORDER, env_vars={"DIB_RELEASE": "22", "KEYS": "ssh-rsa a\nssh-rsa b\n"})
    env = dib.environment(order, {"DIB_RELEASE": "20"})
    assert (env["DIB_RELEASE"], env["KEYS"]) == ("22", "ssh-rsa a\nssh-rsa b\n")


def test_without_elements_dir_the_daemons_own_path_stays():
    env = dib.environment(replace(ORDER, elements_dir=None), {"ELEMENTS_PATH": "/e"})
    assert env["ELEMENTS_PATH"] == "/e"


def test_formats_are_sorted_and_the_qemu_option_is_for_qcow2_only():
    assert dib.argv(replace(ORDER, formats=frozenset({"vhd", "qcow2", "raw"})))[3] == "qcow2,raw,vhd"
    assert "--qemu-img-options" not in dib.argv(replace(ORDER, formats=frozenset({"raw", "vhd"})))


@pytest.mark.parametrize(
    ("dib_cmd", "words"),
    [
        ("/usr/bin/sudo -E disk-image-create -n", ["/usr/bin/sudo", "-E", "disk-image-create", "-n"]),
        ("'/opt/my tools/build' x", ["/opt/my tools/build", "x"]),
        ("%p/wrapper", [f"{Path(nodepool_ng.__file__).parent}/wrapper"]),
    ],
)
def test_dib_cmd_is_split_as_a_shell_would(dib_cmd, words):
    assert dib.argv(replace(ORDER, dib_cmd=dib_cmd))[: len(words) + 1] == [*words, "-x"]


def test_a_path_with_blanks_is_one_word():
    assert "/my images/fake-image-arm-" + BUILD in dib.argv(replace(ORDER, images_dir=Path("/my images")))


def test_the_default_command_is_found_beside_python_when_path_lacks_it(tmp_path):
    found = dib.executable("disk-image-create", {"PATH": str(tmp_path)})
    assert found is not None
    assert Path(found).name == "disk-image-create"


def test_a_command_on_path_comes_first(tmp_path):
    own = tmp_path / "disk-image-create"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    assert dib.executable("disk-image-create", {"PATH": str(tmp_path)}) == str(own)


@pytest.mark.parametrize(
    ("env", "where"),
    [
        ({}, "/tmp"),
        ({"TMP_DIR": "/a"}, "/a"),
        ({"TMP_DIR": "/a", "TMPDIR": "/b"}, "/b"),
    ],
)
def test_temporary_files_go_where_mktemp_would_put_them(env, where):
    assert dib.scratch(env) == Path(where)


RESULT = dib.BuildResult(returncode=0, duration=12.3)


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (RESULT, ""),
        (replace(RESULT, returncode=1), "diskimage-builder ended with exit code 1"),
        (replace(RESULT, missing=frozenset({"vhd", "raw"})), "diskimage-builder made no raw, vhd"),
        (replace(RESULT, returncode=143, timed_out=True), "not done after 12 s"),
        (replace(RESULT, returncode=143, cancelled=True), "cancelled"),
    ],
)
def test_a_build_succeeds_only_without_a_reason_against_it(result, why):
    assert (result.succeeded, result.why) == (not why, why)
