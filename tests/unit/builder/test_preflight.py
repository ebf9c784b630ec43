"""Reasons not to start a build, each a sentence."""

from dataclasses import replace
from pathlib import Path

import pytest

from nodepool_ng.builder import dib
from nodepool_ng.builder.preflight import Sight, complaints, look
from nodepool_ng.model.ids import BuildId, ImageName

ORDER = dib.BuildOrder(
    image=ImageName("x"),
    id=BuildId("a" * 32),
    elements=("ng-tiny",),
    formats=frozenset({"qcow2"}),
    images_dir=Path("/images"),
    log=Path("/x.log"),
    elements_dir="/elements",
)
SIGHT = Sight(program="/bin/disk-image-create", tools=frozenset({"fstrim", "losetup", "sudo", "qemu-img"}))


def sentences(order: dib.BuildOrder, sight: Sight, **room: int) -> list[str]:
    return [str(complaint) for complaint in complaints(order, sight, **room)]


def test_nothing_is_wrong():
    assert sentences(ORDER, SIGHT) == []


@pytest.mark.parametrize(
    ("order", "sight", "sentence"),
    [
        (
            replace(ORDER, formats=frozenset({"foo"})),
            SIGHT,
            "diskimage-builder does not write foo",
        ),
        (
            replace(ORDER, formats=frozenset({"vhd"})),
            SIGHT,
            "vhd-util is not installed; vhd needs it",
        ),
        (
            ORDER,
            replace(SIGHT, tools=SIGHT.tools - {"sudo"}),
            "sudo is not installed; diskimage-builder needs it",
        ),
        (
            ORDER,
            replace(SIGHT, sudo="a password is required"),
            "diskimage-builder cannot work with sudo as it is: a password is required",
        ),
        (
            ORDER,
            replace(SIGHT, elements="Element 'x' not found"),
            "the elements do not go together: Element 'x' not found",
        ),
        (
            replace(ORDER, elements=()),
            SIGHT,
            "there is no element to build",
        ),
        (
            replace(ORDER, formats=frozenset()),
            SIGHT,
            "there is no format to build",
        ),
        (
            ORDER,
            replace(SIGHT, free={"/images": 500_000_000, "/tmp": 5_000_000_000}),
            "/images has 0.5 GB free, 1.1 GB are needed",
        ),
        (
            ORDER,
            replace(SIGHT, program=None),
            "dib-cmd disk-image-create cannot be run: not found",
        ),
        (
            replace(ORDER, elements_dir="/elements:/my elements"),
            SIGHT,
            "diskimage-builder cannot use /my elements: it does not quote blanks and the like",
        ),
    ],
)
def test_each_trouble_is_a_sentence(order, sight, sentence):
    assert sentences(order, sight) == [sentence]


def test_room_is_asked_for_in_bytes():
    sight = replace(SIGHT, free={"/images": 5_000_000_000})
    assert sentences(ORDER, sight, room=8_000_000_000) == ["/images has 5.0 GB free, 8.0 GB are needed"]


def test_a_wrapper_need_only_exist():
    order = replace(ORDER, elements=(), formats=frozenset({"foo"}), dib_cmd="wrapper")
    assert sentences(order, Sight(program="/bin/wrapper", is_dib=False, sudo="no")) == []


def element(folder: Path, name: str, *, provides: str = "", needs: str = "") -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "element-provides").write_text(provides)
    (folder / name / "element-deps").write_text(needs)


def test_elements_are_looked_up_as_diskimage_builder_does(tmp_path):
    element(tmp_path, "os", provides="operating-system")
    element(tmp_path, "broken", needs="nowhere")
    seen = {
        elements: look(replace(ORDER, elements=elements, elements_dir=str(tmp_path)), {"PATH": "/bin"}).elements
        for elements in (("os",), ("os", "vm"), ("os", "broken"), ("vm",), ("absent",))
    }
    assert seen == {
        ("os",): None,
        ("os", "vm"): None,
        ("os", "broken"): "Element 'nowhere' not found",
        ("vm",): "Please include an operating system element",
        ("absent",): "Element 'absent' not found",
    }


def test_a_directory_of_elements_that_is_absent_is_told(tmp_path):
    seen = look(replace(ORDER, elements_dir=f"{tmp_path}/gone"), {})
    assert f"'{tmp_path}/gone' is not a directory" in (seen.elements or "")


def test_room_is_looked_for_where_a_directory_would_be_made(tmp_path):
    seen = look(replace(ORDER, images_dir=tmp_path / "a/b"), {"TMP_DIR": str(tmp_path)})
    assert set(seen.free) == {str(tmp_path / "a/b"), str(tmp_path)}


@pytest.mark.parametrize(
    ("dib_cmd", "says"),
    [("", "it is empty"), ("'x", "No closing quotation")],
)
def test_a_command_that_is_none_is_told(dib_cmd, says):
    order = replace(ORDER, dib_cmd=dib_cmd)
    (first, *_) = sentences(order, look(order, {}))
    assert first == f"dib-cmd {dib_cmd} cannot be run: {says}"


@pytest.mark.parametrize(
    ("sudo", "problem"),
    [
        ("exit 0", None),
        ("echo 'a password is required' >&2; exit 1", "a password is required"),
        ("echo 'unable to resolve host vm' >&2", "it must be silent, but says 'unable to resolve host vm'"),
    ],
)
def test_sudo_is_tried_and_has_to_be_silent(tmp_path, sudo, problem):
    (tmp_path / "sudo").write_text(f"#!/bin/sh\n{sudo}\n")
    (tmp_path / "sudo").chmod(0o755)
    assert look(ORDER, {"PATH": f"{tmp_path}:/bin"}).sudo == problem
