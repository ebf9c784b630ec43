"""News fragments and the changelog that they become."""

import re
import subprocess
import sys

from tests.support.readme import CHECKOUT

NEWS = CHECKOUT / "docs" / "news"


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
