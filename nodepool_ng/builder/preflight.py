"""What can be known before a build of hours: formats nobody can write, tools, elements and room that are missing.

`look` sees, `complaints` decides. diskimage-builder itself finds out about an unknown format only after the whole
build. A `dib-cmd` that is not diskimage-builder is asked for nothing but to exist: it may know more than we do.
"""

import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from diskimage_builder import element_dependencies, paths

from nodepool_ng.builder import dib

TOOLS: Mapping[str, str | None] = MappingProxyType(
    {
        "qcow2": "qemu-img",
        "raw": None,
        "squashfs": "mksquashfs",
        "tar": None,
        "tgz": None,
        "vdi": "qemu-img",
        "vhd": "vhd-util",
        "vmdk": "qemu-img",
    }
)
"""Formats that diskimage-builder leaves as files, and the tool that it needs for each."""

ALWAYS = ("fstrim", "losetup", "sudo")  # tools of every build
ROOM = 1 << 30  # bytes that must be free, if nobody knows better
SUDO_TIMEOUT = 10.0  # seconds


class Trouble(StrEnum):
    """Why a build would fail."""

    COMMAND = "command"
    ELEMENTS = "elements"
    FORMAT = "format"
    NOTHING = "nothing"
    PATH = "path"
    SPACE = "space"
    SUDO = "sudo"
    TOOL = "tool"


SENTENCES: Mapping[Trouble, str] = MappingProxyType(
    {
        Trouble.COMMAND: "dib-cmd {what} cannot be run: {detail}",
        Trouble.ELEMENTS: "the elements do not go together: {detail}",
        Trouble.FORMAT: "diskimage-builder does not write {what}",
        Trouble.NOTHING: "there is no {what} to build",
        Trouble.PATH: "diskimage-builder cannot use {what}: it does not quote blanks and the like",
        Trouble.SPACE: "{what} has {detail}",
        Trouble.SUDO: "diskimage-builder cannot work with sudo as it is: {detail}",
        Trouble.TOOL: "{what} is not installed; {detail} needs it",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One reason not to start; as a string, a sentence."""

    trouble: Trouble
    what: str = ""
    detail: str = ""

    def __str__(self) -> str:
        return SENTENCES[self.trouble].format(what=self.what, detail=self.detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What there is on this machine, as far as a build is concerned. Texts say what is wrong, None that nothing is;
    `free` is in bytes, by path; a path that cannot be asked is absent."""

    program: str | None = None
    is_dib: bool = True
    tools: frozenset[str] = frozenset()
    command: str | None = None
    elements: str | None = None
    sudo: str | None = None
    scratch: str = "/tmp"
    free: Mapping[str, int] = field(default_factory=dict)


def complaints(order: dib.BuildOrder, sight: Sight, *, room: int = ROOM) -> tuple[Complaint, ...]:
    """Return every reason for which the build would fail; `room` is how many bytes must be free."""
    found = []
    if sight.program is None or sight.command:
        found.append(Complaint(trouble=Trouble.COMMAND, what=order.dib_cmd, detail=sight.command or "not found"))
    if not order.formats:
        found.append(Complaint(trouble=Trouble.NOTHING, what="format"))
    for path, free in sorted(sight.free.items()):
        if free < room:
            detail = f"{free / 1e9:.1f} GB free, {room / 1e9:.1f} GB are needed"
            found.append(Complaint(trouble=Trouble.SPACE, what=path, detail=detail))
    return tuple(found) if not sight.is_dib else (*found, *_complaints_of_dib(order, sight))


def _complaints_of_dib(order: dib.BuildOrder, sight: Sight) -> list[Complaint]:
    found = []
    if not order.elements:
        found.append(Complaint(trouble=Trouble.NOTHING, what="element"))
    elif sight.elements:
        found.append(Complaint(trouble=Trouble.ELEMENTS, detail=sight.elements))
    needs = dict.fromkeys(ALWAYS, "diskimage-builder")
    for image_format in sorted(order.formats):
        if image_format not in TOOLS:
            found.append(Complaint(trouble=Trouble.FORMAT, what=image_format))
        elif tool := TOOLS[image_format]:
            needs.setdefault(tool, image_format)
    found += [
        Complaint(trouble=Trouble.TOOL, what=tool, detail=user)
        for tool, user in needs.items()
        if tool not in sight.tools
    ]
    if sight.sudo and "sudo" in sight.tools:
        found.append(Complaint(trouble=Trouble.SUDO, detail=sight.sudo))
    for path in (*(order.elements_dir or "").split(":"), sight.scratch):
        if path and shlex.quote(path) != path:
            found.append(Complaint(trouble=Trouble.PATH, what=path))
    return found


def look(order: dib.BuildOrder, base_env: Mapping[str, str]) -> Sight:
    """See what the build would find. Runs sudo, starts nothing else."""
    env = dib.environment(order, base_env)
    # dib adds these itself: sbin is not on everybody's PATH
    env["PATH"] = os.pathsep.join((env.get("PATH", os.defpath), "/sbin", "/usr/sbin", "/usr/local/sbin"))
    try:
        words = shlex.split(order.dib_cmd)
        command = None if words else "it is empty"
    except ValueError as error:
        words, command = [], str(error)
    if command:
        return Sight(command=command)
    wanted = {*ALWAYS, *(tool for tool in TOOLS.values() if tool)}
    is_dib = os.path.basename(words[0]) == dib.DEFAULT_COMMAND
    scratch = dib.scratch(env)
    return Sight(
        program=dib.executable(dib.argv(order)[0], env),
        is_dib=is_dib,
        tools=frozenset(tool for tool in wanted if shutil.which(tool, path=env["PATH"])),
        elements=_elements_problem(order, words) if is_dib and order.elements else None,
        sudo=_sudo_problem(env) if is_dib else None,
        scratch=str(scratch),
        free={str(path): free for path in (order.images_dir, scratch) if (free := _free(path)) is not None},
    )


def _elements_problem(order: dib.BuildOrder, words: list[str]) -> str | None:
    """Ask diskimage-builder to resolve the elements, with those that its script adds on its own."""
    elements = list(order.elements)
    if "-n" not in words:
        elements.append("base")
    if "vm" in elements and not any(name.startswith("block-device-") for name in elements):
        elements.append("block-device-efi" if platform.machine() == "aarch64" else "block-device-mbr")
    folders = [*(order.elements_dir or "").split(":"), paths.get_path("elements")]
    try:
        element_dependencies.get_elements(elements, ":".join(filter(None, folders)))
    except element_dependencies.AlreadyProvidedException as error:
        return str(error) or "one of them is provided by another one"
    except (
        element_dependencies.InvalidElementDir,
        element_dependencies.MissingElementException,
        element_dependencies.MissingOSException,
        OSError,
    ) as error:
        return str(error)
    return None


def _sudo_problem(env: Mapping[str, str]) -> str | None:
    try:
        done = subprocess.run(
            ["sudo", "-n", "true"],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SUDO_TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        return None
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if done.returncode != 0:
        return done.stderr.strip()
    # it reads the names of devices from what sudo prints, warnings included
    return f"it must be silent, but says {said!r}" if (said := done.stderr.strip()) else None


def _free(path: Path) -> int | None:
    """Return the bytes that are free where the path is or would be made."""
    for place in (path, *path.absolute().parents):
        if place.exists():
            return shutil.disk_usage(place).free
    return None
