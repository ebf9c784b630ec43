"""Trying out an element: what diskimage-builder would run of it, in which order, and what that changes.

`look` reads a folder and tells what is wrong with it as it lies there. `probed` makes a copy whose hooks are each run
by a probe that tells what they changed; `Trial` reads what comes of it out of the build's log. Nothing here builds:
that is done as every other build is (see `dib.py`), as a `tar`, which needs no boot loader.
"""

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from diskimage_builder import element_dependencies
from diskimage_builder import paths as dib_paths

PHASES = (
    "root.d",
    "extra-data.d",
    "pre-install.d",
    "install.d",
    "post-install.d",
    "post-root.d",
    "block-device.d",
    "pre-finalise.d",
    "finalise.d",
    "cleanup.d",
)
"""In the order in which they are run."""
ENVIRONMENT = "environment.d"
CASES = "test-elements"
RUN_NAME = re.compile(r"[0-9A-Za-z_-]+", re.ASCII)
"""Names of hooks that are run; others are passed over without a word."""
ENVIRONMENT_NAME = re.compile(r"[0-9A-Za-z_.-]+", re.ASCII)
PROBED = "nodepool-probed-"
"""Folder of the hooks of a phase that a probe runs: beside the phase's, so `$(dirname $0)/..` stays what it was."""
_PROBE = Path(__file__).with_name("probe.sh")
_STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? \| ")
_RAN = re.compile(r"^dib-run-parts Running (?:\S*/)?(?P<phase>[a-z-]+\.d)/(?P<hook>\S+)$")
_TABLE = re.compile(r"^dib-run-parts (?P<hook>\S+)\s+(?P<seconds>\d+\.\d+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """An element as it lies there. `hooks` are `<phase>/<name>` in the order of running, `skipped` tells of files that
    diskimage-builder passes over without a word, `errors` of what ends a build."""

    name: str
    hooks: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    """Elements below `test-elements` that try this one out."""


def look(folder: Path) -> Sight:
    """See an element. Raises OSError."""
    hooks: list[str] = []
    skipped: list[str] = []
    errors: list[str] = []
    for child in sorted(folder.iterdir()):
        if child.is_dir() and child.name in (*PHASES, ENVIRONMENT):
            for file in sorted(child.iterdir(), key=lambda file: _rank(file.name)):
                _look_at_hook(child.name, file, hooks, skipped, errors)
        elif child.is_dir() and child.name.endswith(".d"):
            skipped.append(f"{child.name}/: there is no such phase")
    cases = folder / CASES
    return Sight(
        name=folder.name,
        hooks=tuple(sorted(hooks, key=lambda hook: PHASES.index(hook.partition("/")[0]))),
        skipped=tuple(skipped),
        errors=tuple(errors),
        cases=tuple(sorted(one.name for one in cases.iterdir() if one.is_dir())) if cases.is_dir() else (),
    )


def _rank(name: str) -> tuple[int, str]:
    """Return the place of a hook in its phase: `sort -n` in the C locale."""
    digits = re.match(r"\d*", name)
    return int(digits[0]) if digits and digits[0] else 0, name


def _look_at_hook(phase: str, file: Path, hooks: list[str], skipped: list[str], errors: list[str]) -> None:
    where = f"{phase}/{file.name}"
    if not file.is_file():
        skipped.append(f"{where}: it is not a file")
        return
    if phase == ENVIRONMENT:
        if not ENVIRONMENT_NAME.fullmatch(file.name):
            skipped.append(f"{where}: its name has characters other than letters, digits, dots, dashes and underscores")
    elif not RUN_NAME.fullmatch(file.name):
        skipped.append(f"{where}: its name has characters other than letters, digits, dashes and underscores")
    elif not os.access(file, os.X_OK):
        skipped.append(f"{where}: it is not executable")
    else:
        hooks.append(where)
    if problem := _syntax(file):
        errors.append(f"{where}: {problem}")


def _syntax(file: Path) -> str | None:
    """Let bash read a script of its own."""
    first = file.read_bytes()[:64].partition(b"\n")[0]
    if file.parent.name != ENVIRONMENT and b"bash" not in first:
        return None
    done = subprocess.run(["bash", "-n", str(file)], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[0].replace(f"{file}: ", "")


def closure(element: str, others: Iterable[str], folders: Iterable[str]) -> tuple[str, ...] | str:
    """Return all elements that go into a build, dependencies included, or what is wrong with them."""
    path = ":".join([*folders, str(dib_paths.get_path("elements"))])
    try:
        found = element_dependencies.get_elements([element, *others], path)
    except element_dependencies.MissingOSException:
        return "none of its elements makes an operating system: name one with --with"
    except (
        element_dependencies.AlreadyProvidedException,
        element_dependencies.InvalidElementDir,
        element_dependencies.MissingElementException,
        OSError,
    ) as error:
        return str(error) or "they do not go together"
    return tuple(str(one[0]) for one in found)


def probed(folder: Path, into: Path) -> None:
    """Copy an element, with a probe in the place of each hook. Raises OSError."""
    shutil.copytree(folder, into, symlinks=True, ignore=shutil.ignore_patterns(CASES))
    for hook in look(folder).hooks:
        phase, _, name = hook.partition("/")
        kept = into / f"{PROBED}{phase.removesuffix('.d')}" / name
        kept.parent.mkdir(exist_ok=True)
        (into / hook).rename(kept)
        shutil.copyfile(_PROBE, into / hook)
        (into / hook).chmod(stat.S_IMODE(kept.stat().st_mode))


@dataclass(slots=True)
class Change:
    """One file that a hook made (+), changed (~) or removed (-)."""

    sign: str
    path: str


@dataclass(slots=True)
class Run:
    """One hook that was run. `changes` and `status` are known of those that were probed."""

    phase: str
    hook: str
    changes: list[Change] = field(default_factory=list)
    status: int | None = None
    seconds: float | None = None

    @property
    def name(self) -> str:
        return f"{self.phase}/{self.hook}"


@dataclass(slots=True)
class Trial:
    """What a build's log tells of the hooks that were run, in order."""

    runs: list[Run] = field(default_factory=list)
    _seen: dict[str, Run] = field(default_factory=dict, repr=False)

    def hear(self, line: str) -> bool:
        """Take in one line; tell whether it was a probe's."""
        plain = _STAMP.sub("", line.rstrip("\n"))
        if plain.startswith("nodepool-probe\t"):
            self._told(plain.split("\t"))
            return True
        if match := _RAN.match(plain):
            run = Run(match["phase"], match["hook"])
            self.runs.append(run)
            self._seen[run.name] = run
        elif (match := _TABLE.match(plain)) and self.runs:
            name = f"{self.runs[-1].phase}/{match['hook']}"
            if name in self._seen:
                self._seen[name].seconds = float(match["seconds"])
        return False

    def _told(self, words: list[str]) -> None:
        match words:
            case [_, phase, hook, sign, what] if (run := self._seen.get(f"{phase}/{hook}")) is not None:
                if sign == "rc":
                    run.status = int(what) if what.isdigit() else 1
                else:
                    run.changes.append(Change(sign, what))
