"""Whole files, good and bad. A bad file says in its comments what is found where:

# !<column> <gravity>: <words of the complaint> && !<column> …
"""

import re
from pathlib import Path

import pytest

from nodepool_ng.config import ConfigError, load, refused, validate

FILES = Path(__file__).parent / "files"
ACCEPTED = sorted((FILES / "accepted").iterdir())
REFUSED = sorted((FILES / "refused").iterdir())
MARK = re.compile(r"!(\d+) (fatal|error|warning): (.+)")

UNMARKED = {
    "empty.yaml": [(0, 0, "fatal", "the file is empty")],
}
"""Complaints about a file as a whole."""


def expected(path: Path) -> list[tuple[int, int, str, str]]:
    found = list(UNMARKED.get(path.name, ()))
    for number, line in enumerate(path.read_text().splitlines(), 1):
        _, mark, comment = line.partition(" # !")
        for part in f"!{comment}".split(" && ") if mark else ():
            match = MARK.fullmatch(part)
            assert match, part
            found.append((number, int(match[1]), match[2], match[3]))
    return found


@pytest.mark.parametrize("path", [*ACCEPTED, *REFUSED], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_file_gets_exactly_the_complaints_it_announces(path: Path) -> None:
    complaints = validate(str(path), env={})
    places = [(one.place.line, one.place.column, one.gravity.value) for one in complaints]
    announced = expected(path)
    assert places == [part[:3] for part in announced], "\n".join(map(str, complaints))
    for complaint, (*_, words) in zip(complaints, announced, strict=True):
        assert words in complaint.what
        assert complaint.remedy


@pytest.mark.parametrize("path", ACCEPTED, ids=lambda path: path.stem)
def test_an_accepted_file_passes_and_loads(path: Path) -> None:
    assert not refused(validate(str(path), env={}))
    assert [str(one) for one in load(str(path), env={}).warnings] == [str(one) for one in validate(str(path), env={})]


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path.stem)
def test_a_refused_file_loads_unless_something_is_fatal(path: Path) -> None:
    assert refused(validate(str(path), env={}))
    if any(gravity == "fatal" for _, _, gravity, _ in expected(path)):
        with pytest.raises(ConfigError) as caught:
            load(str(path), env={})
        assert caught.value.complaints == validate(str(path), env={})
    else:
        assert load(str(path), env={}).warnings == validate(str(path), env={})


@pytest.mark.parametrize("path", ACCEPTED, ids=lambda path: path.stem)
def test_a_file_that_is_loaded_twice_is_equal(path: Path) -> None:
    assert load(str(path), env={}) == load(str(path), env={})
