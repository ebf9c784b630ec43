"""When to load again, told as looks at files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nodepool_ng.config import ConfigError, Loaded, Reloader, Watched, clouds_files, load
from nodepool_ng.config.watch import Stamp, stamp
from nodepool_ng.model.settings import Settings

OLD, NEW, NEWER = Stamp(1, 1, 1), Stamp(2, 1, 1), Stamp(3, 1, 1)


class Files:
    """Files that look as a test says."""

    def __init__(self, **looks: Stamp | None) -> None:
        self.looks = looks

    def __call__(self, path: str) -> Stamp | None:
        return self.looks.get(path)


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        ([OLD, OLD], [False, False]),
        ([NEW, NEW, NEW], [False, True, False]),
        ([NEW, NEWER, NEWER, NEWER], [False, False, True, False]),
        ([NEW, OLD, OLD], [False, False, False]),
        ([Stamp(1, 2, 1), Stamp(1, 2, 1)], [False, True]),
        ([Stamp(1, 1, 2), Stamp(1, 1, 2)], [False, True]),
        ([Stamp(0, 1, 1), Stamp(0, 1, 1)], [False, True]),
        ([None, OLD, OLD], [False, False, False]),
        ([None, NEW, NEW], [False, False, True]),
        ([None, None, None, None], [False, False, True, False]),
        ([None, None, None, NEW, NEW], [False, False, True, False, True]),
    ],
)
def test_a_change_is_told_once_it_holds_still(looks: list[Stamp | None], told: list[bool]) -> None:
    files = Files(a=OLD)
    watched = Watched(["a", "b"], files)
    seen = []
    for look in looks:
        files.looks["a"] = look
        seen.append("a" in watched.changed())
    assert seen == told


def test_a_file_that_appears_is_a_change_too() -> None:
    files = Files(a=OLD)
    watched = Watched(["a", "b"], files)
    files.looks["b"] = OLD
    assert [watched.changed(), watched.changed(), watched.changed()] == [frozenset(), {"b"}, frozenset()]


def polled(reloader: Reloader, files: Files, stamp: Stamp) -> list[object]:
    files.looks["a"] = stamp
    return [reloader.poll() for _ in range(3)]


def test_a_broken_file_is_told_once_and_taken_when_it_is_mended() -> None:
    files = Files(a=OLD)
    found, error = Loaded(settings=Settings()), ConfigError([])
    answers: list[Loaded | ConfigError] = [error, found]

    def read() -> Loaded:
        match answers.pop(0):
            case ConfigError() as broken:
                raise broken
            case good:
                return good

    reloader = Reloader(Watched(["a"], files), read)
    assert polled(reloader, files, OLD) == [None, None, None]
    assert polled(reloader, files, NEW) == [None, error, None]
    assert polled(reloader, files, NEWER) == [None, found, None]
    assert reloader.changed == {"a"}
    assert not answers


def test_real_files(write: Callable[..., str], tmp_path: Path) -> None:
    path = write("max-hold-age: 1")
    reloader = Reloader(Watched([path, str(tmp_path / "clouds.yaml")]), lambda: load(path, env={}))
    assert reloader.poll() is None

    write("max-hold-age: 22", "nodepool.yaml.new")
    (tmp_path / "nodepool.yaml.new").rename(path)
    assert reloader.poll() is None
    answer = reloader.poll()
    assert isinstance(answer, Loaded)
    assert answer.settings.max_hold_age == 22

    write("max-hold-age: [", "nodepool.yaml")
    assert [type(reloader.poll()) for _ in range(3)] == [type(None), ConfigError, type(None)]
    assert stamp(str(tmp_path / "none")) is None


def test_where_clouds_are_looked_for() -> None:
    files = clouds_files({"OS_CLIENT_CONFIG_FILE": "/c.yaml"}, "/here", "/home/me")
    assert files[0] == "/c.yaml"
    assert {"/here/clouds.yaml", "/home/me/.config/openstack/secure.yml", "/etc/openstack/clouds.yaml"} < set(files)
    assert "/xdg/openstack/clouds.yaml" in clouds_files({"XDG_CONFIG_HOME": "/xdg"}, "/here", "/home/me")
