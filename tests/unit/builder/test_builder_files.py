"""Names on the builder's disk: what is taken for ours, what is not, what goes."""

import stat
import uuid
from pathlib import Path

import pytest

from nodepool_ng.builder import files
from nodepool_ng.model.ids import BuildId, ImageName

X = ImageName("x")
X_ARM = ImageName("x-arm64")
A = BuildId("a" * 32)
B = BuildId("b" * 32)
OLD = BuildId("0000000017")
KNOWN = ("qcow2", "raw", "vhd", "squashfs")


def put(folder: Path, *names: str, text: str = "content") -> None:
    for name in names:
        (folder / name).write_text(text)


def test_local_builds_are_told_apart_by_image_and_build(tmp_path):
    put(tmp_path, f"x-{A}.qcow2", f"x-{A}.qcow2.md5", f"x-{A}.qcow2.sha256", f"x-{A}.raw", f"x-{B}.squash")
    put(tmp_path, f"x-arm64-{A}.raw", f"ubuntu-24.04-{OLD}.vhd")
    (tmp_path / f"x-{A}.d").mkdir()
    builds = files.local_builds(tmp_path, KNOWN)
    assert {key: build.formats for key, build in builds.items()} == {
        (X, A): {"qcow2", "raw"},
        (X, B): {"squashfs"},
        (X_ARM, A): {"raw"},
        (ImageName("ubuntu-24.04"), OLD): {"vhd"},
    }
    assert [key for key, build in builds.items() if build.manifests] == [(X, A)]
    assert not any(build.litter for build in builds.values())


def test_half_converted_images_are_litter_not_formats(tmp_path):
    put(tmp_path, f"x-{A}.qcow2-new", f"x-{A}.vhd-intermediate", f"x-{A}.vhd-intermediate.bak", f"x-{A}.raw.md5")
    (build,) = files.local_builds(tmp_path, KNOWN).values()
    assert (build.formats, len(build.litter)) == (frozenset(), 4)


def test_what_people_put_there_is_not_ours(tmp_path):
    put(tmp_path, "x-a.qcow2", "backup-2024.qcow2", f"x-{A}", f"{A}.qcow2", "builder_id.txt", f"x-{'g' * 32}.raw")
    assert files.local_builds(tmp_path, KNOWN) == {}


def test_a_directory_that_is_absent_holds_nothing(tmp_path):
    gone = tmp_path / "gone"
    assert files.local_builds(gone, KNOWN) == {}
    assert files.names_of(gone, X, A) == []
    assert files.prune_logs(gone, X, 1) == []


def test_an_image_is_there_when_it_is_not_empty(tmp_path):
    put(tmp_path, f"x-{A}.qcow2")
    put(tmp_path, f"x-{A}.raw", text="")
    (tmp_path / f"x-{A}.qcow2.md5").write_text(f"{'1' * 32}  /somewhere/else/x.qcow2\n")
    (found,) = files.image_files(tmp_path, X, A, {"qcow2", "raw", "vhd"})
    assert (found.format, found.path.name, found.md5, found.sha256) == ("qcow2", f"x-{A}.qcow2", "1" * 32, None)


def test_size_is_what_the_disk_gives_not_what_the_image_claims(tmp_path):
    with open(tmp_path / f"x-{A}.raw", "wb") as image:
        image.write(b"x" * 4096)
        image.truncate(1 << 30)
    (found,) = files.image_files(tmp_path, X, A, {"raw"})
    assert 4096 <= found.size < 1 << 20


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        (f"{'c' * 32}  image", "c" * 32),
        (f"\\{'C' * 32}  im\\nage", "c" * 32),
        (f"{'c' * 31}  image", None),
        ("", None),
        ("\xff", None),
    ],
)
def test_side_files_are_read_with_care(tmp_path, text, digits):
    (tmp_path / "image.md5").write_text(text, encoding="latin-1")
    assert files.checksum(tmp_path / "image", "md5") == digits


def test_all_names_of_a_build_and_no_others(tmp_path):
    mine = {f"x-{A}.qcow2", f"x-{A}.qcow2.md5", f"x-{A}.raw-new", f"x-{A}.d"}
    put(tmp_path, *mine, f"x-{B}.qcow2", f"x-arm64-{A}.qcow2", f"my-x-{A}.raw")
    assert {path.name for path in files.names_of(tmp_path, X, A)} == mine


def test_names_of_one_format_are_the_image_and_its_checksums(tmp_path):
    put(tmp_path, f"x-{A}.raw", f"x-{A}.raw.md5", f"x-{A}.raw.sha256", f"x-{A}.qcow2", f"x-{A}.raw-new")
    named = [path.name for path in files.names_of_format(tmp_path, X, A, "raw")]
    assert named == [f"x-{A}.raw", f"x-{A}.raw.md5", f"x-{A}.raw.sha256"]


LOGS = [(f"x-{A}.log", 1.0), (f"x-{B}.log", 3.0), (f"x-{OLD}.log", 2.0), (f"x-arm64-{A}.log", 0.0), ("x-note.log", 0.0)]


@pytest.mark.parametrize(
    ("image", "retention", "goes"),
    [
        (X, 2, [f"x-{A}.log"]),
        (X, 1, [f"x-{A}.log", f"x-{OLD}.log"]),
        (X, 0, [f"x-{A}.log", f"x-{OLD}.log"]),
        (X, 7, []),
        (X, -1, []),
        (X_ARM, 1, []),
    ],
)
def test_an_image_prunes_its_own_oldest_logs_only(image, retention, goes):
    assert files.logs_to_prune(LOGS, image, retention) == goes


def test_pruning_removes_files(tmp_path):
    put(tmp_path, f"x-{A}.log", f"x-{B}.log", f"x-arm64-{A}.log")
    (gone,) = files.prune_logs(tmp_path, X, 1)
    assert {path.name for path in tmp_path.iterdir()} == {f"x-{A}.log", f"x-{B}.log", f"x-arm64-{A}.log"} - {gone}


def test_a_builder_keeps_its_identity(tmp_path):
    images = tmp_path / "images"
    made = files.builder_id(images)
    assert uuid.UUID(made).version == 4
    assert files.builder_id(images) == made
    assert stat.S_IMODE((images / "builder_id.txt").stat().st_mode) == 0o600


def test_an_identity_of_an_older_builder_is_taken_over_and_an_empty_one_replaced(tmp_path):
    put(tmp_path, "builder_id.txt", text="11f4bbc2\n")
    assert files.builder_id(tmp_path) == "11f4bbc2"
    put(tmp_path, "builder_id.txt", text="")
    assert uuid.UUID(files.builder_id(tmp_path)).version == 4
