"""News, and the recipe for containers."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import pytest
from packaging.specifiers import SpecifierSet

from tests.support.readme import CHECKOUT

NEWS = CHECKOUT / "docs" / "news"
CONTAINERFILE = CHECKOUT / "etc" / "Containerfile"


def test_fragments_become_a_changelog() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "7.8.9", "--date", "2026-01-01"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    fragments = [path for path in NEWS.glob("*.rst") if path.name != "README.rst"]
    assert "7.8.9 (2026-01-01)" in done.stdout
    for fragment in fragments:
        assert re.fullmatch(r"\+[a-z0-9-]+\.(feature|fix|security|upgrade)\.rst", fragment.name)
        words = fragment.read_text().split()
        assert " ".join(words[:4]) in " ".join(done.stdout.split())


def steps() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE))
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def test_the_containerfile_keeps_the_rules_that_linters_have() -> None:
    found = steps()
    known = {"ARG", "FROM", "WORKDIR", "RUN", "COPY", "USER", "EXPOSE", "ENTRYPOINT", "CMD", "STOPSIGNAL"}
    assert {word for word, _ in found} <= known
    bases = [words.split()[0] for word, words in found if word == "FROM"]
    stages = [words.split()[-1] for word, words in found if word == "FROM"]
    assert stages == ["wheel", "daemon", "launcher", "builder"]
    assert all(base == "${BASE}" or base in stages for base in bases), "one base, named once, with a version"
    assert not any("latest" in words for _, words in found)
    for command in (words for word, words in found if word == "RUN" and "apt-get install" in words):
        assert "--no-install-recommends" in command
        assert "rm -rf /var/lib/apt/lists/*" in command
        assert command.index("apt-get update") < command.index("apt-get install")
    assert all(shlex.split(words) for word, words in found if word == "RUN")
    launcher = found[next(i for i, (_, words) in enumerate(found) if words.endswith("AS launcher")) :]
    assert ("USER", "nodepool") in launcher[:3], "the launcher needs no root"


def commands(words: str) -> list[list[str]]:
    """Return the simple commands of a line of shell, as `a && b | c` has three."""
    found: list[list[str]] = [[]]
    lexer = shlex.shlex(words, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    for word in lexer:
        if set(word) <= set("&|;"):
            found.append([])
        else:
            found[-1].append(word)
    return found


def test_the_containerfile_names_only_what_there_is() -> None:
    """Programs of ours, the interpreter that we need, Debian packages, users and stages: nothing that came and went."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    users, stages = {"root"}, set[str]()
    for word, words in steps():
        match word:
            case "ARG":
                (version,) = re.findall(r"python:(\d+\.\d+)-slim-\w+", words)
                assert SpecifierSet(project["requires-python"]).contains(version)
            case "FROM":
                stages.add(words.split()[-1])
            case "ENTRYPOINT" | "CMD":
                argv = json.loads(words)
                assert all(isinstance(part, str) for part in argv), "the exec form, or signals do not arrive"
                assert word == "CMD" or argv[0] in project["scripts"]
                assert word == "CMD" or argv[1:] == ["-f"], "in the foreground"
            case "USER":
                assert words in users
            case "COPY":
                origin = re.match(r"--from=(\S+) ", words)
                assert origin is None or origin[1] in stages
                sources = re.sub(r"--\S+ ", "", words).split()[:-1]
                assert origin is not None or all((CHECKOUT / source).exists() for source in sources)
            case "RUN":
                for argv in commands(words):
                    if argv[0] == "useradd":
                        users.add(argv[-1])
                    if argv[0] == "install":
                        assert {argv[argv.index("-o") + 1], argv[argv.index("-g") + 1]} <= users


def test_a_builder_in_a_container_has_what_our_elements_run() -> None:
    text = (CHECKOUT / "etc" / "debian-packages.txt").read_text()
    sections = [part.splitlines() for part in text.split("\n\n")]
    building = [lines for lines in sections if lines[0].startswith(("# diskimage-builder", "# elements/"))]
    needed = {line.split("#")[0].strip() for lines in building for line in lines[1:]} - {""}
    assert len(needed) > 10
    (last,) = [words for word, words in steps()[-5:] if word == "RUN"]
    installed = {part for argv in commands(last) if argv[:2] == ["apt-get", "install"] for part in argv[2:]}
    assert needed <= installed


def test_the_samples_and_the_containerfile_tell_of_the_same_places() -> None:
    text = CONTAINERFILE.read_text()
    for service in ("launcher", "builder"):
        unit = (CHECKOUT / "etc" / f"nodepool-{service}.service").read_text()
        (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
        assert "/etc/nodepool/nodepool.yaml" in command
        assert f'ENTRYPOINT ["nodepool-{service}", "-f"]' in text
    assert text.count('CMD ["-c", "/etc/nodepool/nodepool.yaml"]') == 2


def test_what_is_not_to_be_in_an_image_is_left_out_of_it() -> None:
    ignored = (CHECKOUT / ".containerignore").read_text().split()
    assert {".venv", ".state"} <= {line.strip("/") for line in ignored}


def working_engine() -> str | None:
    """Return a program that builds images here; one whose service does not run is none."""
    for name in ("podman", "docker"):
        engine = shutil.which(name)
        if engine and subprocess.run([engine, "info"], capture_output=True, check=False).returncode == 0:
            return engine
    return None


ENGINE = working_engine()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(ENGINE is None, reason="there is no container engine here")
@pytest.mark.parametrize("stage", ["launcher", "builder"])
def test_the_image_is_built_and_its_program_starts(stage: str) -> None:
    assert ENGINE is not None
    name = f"nodepool-{stage}-under-test"
    build = [ENGINE, "build", "-q", "-f", str(CONTAINERFILE), "--target", stage, "-t", name, str(CHECKOUT)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told = subprocess.run([ENGINE, "run", "--rm", name, "--version"], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="there is no hadolint here")
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(["hadolint", "--ignore", "DL3008", str(CONTAINERFILE)], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()
