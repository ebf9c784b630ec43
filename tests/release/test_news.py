"""News, and the recipe for containers."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest

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


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="there is no hadolint here")
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(["hadolint", "--ignore", "DL3008", str(CONTAINERFILE)], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()
