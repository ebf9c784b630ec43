"""Commands about work on images: progress, logs, cancelling, and what changed between builds."""

import json

import pytest

from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.zk import paths
from nodepool_ng.zk.facts import encode_facts
from tests.unit.cli.conftest import NOW

B1, B2 = "4ceb9f263b42405b9a161e2baf0db0b9", "add825ec8cd947308b7bff4368df7b4e"
DOCUMENT = {
    "hostname": "nb01",
    "builds": [
        {
            "image": "deb",
            "build": B1,
            "began": NOW - 75,
            "phase": "install.d",
            "hook": "10-x",
            "element": "base",
            "size": 1_500_000,
        }
    ],
    "uploads": [
        {"image": "deb", "build": B2, "provider": "north", "began": NOW - 10, "sent": 10**9, "size": 4 * 10**9}
        | {"rate": 10**8, "left": 30}
    ],
    "waiting": [
        {"image": "rpm", "provider": None, "code": "image-backoff", "sentence": "it failed once", "until": NOW + 90}
    ],
}


def put_sheet(world, image, build, **document):
    (part,) = encode_facts({"image": image, "build": build, "began": NOW - 60, "ended": None, **document})
    world.put(paths.sheet(image, build), part)


def put_facts(world, document):
    for number, part in enumerate(encode_facts(document)):
        world.put(paths.builder_facts("nb01-1234", number), part)


def test_progress_shows_what_is_under_way_and_what_waits(world):
    put_facts(world, DOCUMENT)
    result = world.run("image-progress")
    assert result.exit_code == 0
    build, upload, waiting = result.stdout.splitlines()[3:-1]
    assert "install.d: base (10-x)" in build
    assert "1:15" in build
    assert "1.5 MB" in build
    assert "| 1.0 GB | 4.0 GB |" in upload
    assert "100.0 MB/s" in upload
    assert "0:30" in upload
    assert "in 1:30" in waiting
    assert "it failed once" in waiting


def test_progress_has_forms_for_programs(world):
    put_facts(world, DOCUMENT)
    build, upload, waiting = json.loads(world.run("image-progress", "--format", "json").stdout)
    assert (build["seconds"], build["done"]) == (75, 1_500_000)
    assert (upload["provider"], upload["left"]) == ("north", 30)
    assert waiting["next_try"] == NOW + 90


@pytest.mark.parametrize("document", [{}, {"builds": 7, "uploads": [3], "waiting": [{"until": "soon"}]}])
def test_a_document_of_another_version_is_shown_as_far_as_it_goes(world, document):
    put_facts(world, document)
    assert world.run("image-progress").exit_code == 0


def test_without_builders_there_is_an_empty_table(world):
    assert world.run("image-progress").stdout.count("\n") == 4


def test_cancelling_names_the_build_that_is_under_way(world):
    world.put_build("deb", B1, ImageState.READY)
    world.put_build("deb", B2, ImageState.BUILDING)
    assert world.run("image-cancel", "deb").exit_code == 0
    assert world.tree.look(paths.cancel(f"deb-{B2}")) is not None
    assert world.tree.look(paths.cancel(f"deb-{B1}")) is None


def test_cancelling_an_upload_names_build_and_provider(world):
    build = world.put_build("deb", B1)
    world.put_upload(build, "0000000001", "north", ImageState.UPLOADING)
    assert world.run("image-cancel", "deb", "--provider", "north").exit_code == 0
    assert world.tree.look(paths.cancel(f"deb-{B1}/north")) is not None


@pytest.mark.parametrize("options", [(), ("--provider", "north")])
def test_nothing_under_way_is_declined(world, options):
    world.put_build("deb", B1)
    assert "under way" in world.run("image-cancel", "deb", *options).stdout
    assert world.run("--strict", "image-cancel", "deb", *options).exit_code == 1


def test_the_log_is_read_where_it_is(world, tmp_path):
    log = tmp_path / "deb.log"
    log.write_text("one\ntwo\x1b[31m\n")
    put_sheet(world, "deb", B1, **{"log": str(log), "log-tail": "two\n", "log-length": 8})
    assert world.run("image-log", f"deb-{B1}").stdout == "one\ntwo\\x1b[31m\n"


def test_elsewhere_its_end_is_shown(world):
    tail = {"log": "/nowhere/deb.log", "builder": "nb01", "log-tail": "two\n", "log-length": 8}
    put_sheet(world, "deb", B2, began=NOW - 100, **{**tail, "log-tail": "older\n"})
    put_sheet(world, "deb", B1, **tail)
    result = world.run("image-log", "deb")
    assert result.stdout == "two\n"
    assert "4 characters more are in nb01:/nowhere/deb.log" in result.stderr


def test_a_log_is_followed_to_its_end(world, monkeypatch):
    shared = {"log": "/nowhere", "builder": "nb01"}
    put_sheet(world, "deb", B1, **{**shared, "log-tail": "one\n", "log-length": 4})
    later = iter(
        [
            {"log-tail": "one\ntwo\n", "log-length": 8},
            {"log-tail": "three\n", "log-length": 20, "ended": NOW},
        ]
    )

    def wait(self, timeout):
        (part,) = encode_facts({"image": "deb", "build": B1, "began": NOW, "ended": None, **shared, **next(later)})
        world.tree.commit((paths_set(paths.sheet("deb", B1), part),), world.session)
        return True

    monkeypatch.setattr("nodepool_ng.cli.session.Connection.wait_for_change", wait)
    result = world.run("image-log", "deb", "--follow")
    assert result.stdout == "one\ntwo\nthree\n"
    assert "6 characters more" in result.stderr


def paths_set(path, data):
    from nodepool_ng.zk.store import Set

    return Set(path, data)


def test_what_changed_between_two_builds(world):
    old = {
        "elements": ["a", "b"],
        "packages": {"bash": "1", "vi": "2"},
        "env-vars": {"X": "aa"},
        "sizes": {"raw": 10**6},
    }
    new = {"elements": ["b", "c"], "packages": {"bash": "2", "vi": "2", "git": "3"}, "env-vars": {"X": "bb"}}
    put_sheet(world, "deb", B1, **old)
    put_sheet(world, "deb", B2, **new, sizes={"raw": 2 * 10**6})
    found = json.loads(world.run("image-diff", f"deb-{B1}", f"deb-{B2}", "--format", "json").stdout)
    assert [tuple(row.values()) for row in found] == [
        ("element", "a", "yes", None),
        ("element", "c", None, "yes"),
        ("variable", "X", "set", "set to something else"),
        ("package", "bash", "1", "2"),
        ("package", "git", None, "3"),
        ("size", "raw", "1.0 MB", "2.0 MB"),
    ]


def test_builds_without_packages_say_so(world):
    for build in (B1, B2):
        put_sheet(world, "deb", build)
    assert "recorded no packages" in world.run("image-diff", f"deb-{B1}", f"deb-{B2}").stderr


@pytest.mark.parametrize(
    ("build", "said"), [("nodash", "not the id of a build"), (f"deb-{B1}", "Nothing was recorded")]
)
def test_a_build_that_is_not_known_is_a_sentence(world, build, said):
    result = world.run("image-diff", build, build)
    assert said in result.stdout + result.stderr
