"""Limits of a build: which group is made where, what stands in for it, and what is said of a limit that was met."""

import resource
from pathlib import Path

import pytest

from nodepool_ng.builder import limits
from nodepool_ng.builder.limits import Limits

BOTH = Limits(memory=64, processes=20)


def place(folder: Path, *, delegated: bool = True) -> Path:
    """Make what looks like a control group that we were given, or one that we were not."""
    folder.mkdir()
    if delegated:
        (folder / "cgroup.subtree_control").touch()
    return folder


def test_a_group_is_made_where_one_may_be(tmp_path: Path) -> None:
    places = [place(tmp_path / "not-ours", delegated=False) / "gone", place(tmp_path / "ours")]
    group = limits.group_for("nodepool-build-x", BOTH, iter(places))
    assert group == tmp_path / "ours" / "nodepool-build-x"
    assert (tmp_path / "ours" / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert (group / "memory.max").read_text() == str(64 * 1024 * 1024)
    assert (group / "pids.max").read_text() == "20"
    assert limits.told(group, BOTH) == str(group)


def test_what_is_not_limited_is_not(tmp_path: Path) -> None:
    group = limits.group_for("x", Limits(processes=5), iter([place(tmp_path / "ours")]))
    assert group is not None
    assert (group / "memory.max").read_text() == "max"
    assert limits.group_for("y", Limits(), iter([tmp_path / "ours"])) is None


def test_without_a_group_each_process_is_limited() -> None:
    memory = (resource.RLIMIT_AS, 64 * 1024 * 1024)
    assert limits.group_for("x", BOTH, iter([])) is None
    assert limits.per_process(BOTH, root=True) == (memory,)
    assert limits.per_process(BOTH, root=False) == (memory, (resource.RLIMIT_NPROC, 20))
    assert limits.per_process(Limits(), root=False) == ()


@pytest.mark.parametrize(
    ("memory", "pids", "said"),
    [
        ("low 0\noom 2\noom_kill 1\n", "max 0\n", ["build-memory"]),
        ("oom_kill 0\n", "max 7\n", ["build-processes"]),
        ("oom_kill 0\n", "max 0\n", []),
        ("not what it should be", "", []),
    ],
)
def test_a_limit_that_was_met_is_told(tmp_path: Path, memory: str, pids: str, said: list[str]) -> None:
    (tmp_path / "memory.events").write_text(memory)
    (tmp_path / "pids.events").write_text(pids)
    assert [sentence.split()[-1].rstrip(".") for sentence in limits.struck(tmp_path)] == said


def test_a_group_goes_with_its_build(tmp_path: Path) -> None:
    (tmp_path / "nodepool-build-x").mkdir()
    limits.remove("nodepool-build-x", iter([tmp_path, tmp_path / "gone"]))
    assert list(tmp_path.iterdir()) == []
