"""Commands about images, builds, uploads and providers, on a tree in memory."""

import json
import os
import stat

import pytest
import yaml

from nodepool_ng.cli import data
from nodepool_ng.model.ids import ImageName
from nodepool_ng.model.lifecycle import ImageState, NodeState
from nodepool_ng.model.settings import DiskImage
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.paths import BuildAt, UploadAt
from nodepool_ng.zk.store import Create, Delete

IMAGES = "/nodepool/images"
B1, B2 = "4ceb9f263b42405b9a161e2baf0db0b9", "add825ec8cd947308b7bff4368df7b4e"


def column(result, number):
    return [line.split("|")[number - 1].strip() for line in result.stdout.splitlines()[3:-1]]


@pytest.fixture
def two_images(world):
    """What the recorded samples were taken of."""
    build = world.put_build("fake-image", B1, builder="localhost", formats=("qcow2", "raw"))
    arm = world.put_build("fake-image-arm", B2, builder="localhost", formats=("qcow2",))
    world.put(f"{IMAGES}/fake-image/builds/lock")
    for of, provider, id in [
        (build, "fake-provider", "6fa8b09bb4a84a7fbc4dcb605a33e277"),
        (build, "fake-provider-raw", "16d37cca4fe54c08b90a2bc6f522b7fe"),
        (arm, "fake-provider", "9ea4e1da731e48b29dc9eee44effd012"),
    ]:
        world.put(f"{paths.uploads(of.image, of.id, provider)}/lock")
        name = f"{of.image}-1795211759"
        world.put_upload(of, "0000000001", provider, external_name=name, external_id=id)
    return build, arm


def upload_at(world, build, provider, number):
    at = UploadAt(build.image, build.id, provider, number)
    path = paths.upload(at.image, at.build, at.provider, at.id)
    return codec.decode(path, at, world.data(path))


def build_at(world, image, id):
    path = paths.build(image, id)
    return codec.decode(path, BuildAt(image, id), world.data(path))


def test_uploads_are_listed_as_recorded(world, two_images):
    result = world.run("image-list")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:6] == [
        "| Build ID                         | Upload ID  | Provider          | Image          | Provider Image Name       | Provider Image ID                | State | Age         |",  # noqa: E501
        "+----------------------------------+------------+-------------------+----------------+---------------------------+----------------------------------+-------+-------------+",
        "| 4ceb9f263b42405b9a161e2baf0db0b9 | 0000000001 | fake-provider     | fake-image     | fake-image-1795211759     | 6fa8b09bb4a84a7fbc4dcb605a33e277 | ready | 00:00:01:07 |",  # noqa: E501
        "| 4ceb9f263b42405b9a161e2baf0db0b9 | 0000000001 | fake-provider-raw | fake-image     | fake-image-1795211759     | 16d37cca4fe54c08b90a2bc6f522b7fe | ready | 00:00:01:07 |",  # noqa: E501
        "| add825ec8cd947308b7bff4368df7b4e | 0000000001 | fake-provider     | fake-image-arm | fake-image-arm-1795211759 | 9ea4e1da731e48b29dc9eee44effd012 | ready | 00:00:01:07 |",  # noqa: E501
    ]


def test_builds_are_listed_as_recorded(world, two_images):
    assert world.run("dib-image-list").stdout.splitlines() == [
        "+-------------------------------------------------+----------------+-----------+-----------+-------+-------------+",
        "| ID                                              | Image          | Builder   | Formats   | State | Age         |",  # noqa: E501
        "+-------------------------------------------------+----------------+-----------+-----------+-------+-------------+",
        "| fake-image-4ceb9f263b42405b9a161e2baf0db0b9     | fake-image     | localhost | qcow2,raw | ready | 00:00:01:17 |",  # noqa: E501
        "| fake-image-arm-add825ec8cd947308b7bff4368df7b4e | fake-image-arm | localhost | qcow2     | ready | 00:00:01:17 |",  # noqa: E501
        "+-------------------------------------------------+----------------+-----------+-----------+-------+-------------+",
    ]


def test_damaged_builds_and_uploads_are_told_and_stop_nothing(world, two_images):
    world.put(f"{IMAGES}/fake-image/builds/{B2}", b"[]")
    world.put(f"{IMAGES}/fake-image/builds/{B1}/providers/fake-provider/images/0000000002", b"{")
    for command in ("image-list", "dib-image-list"):
        result = world.run(command)
        assert (result.exit_code, len(result.stderr.splitlines())) == (0, 2)
    assert column(world.run("dib-image-list"), 3) == ["fake-image", "fake-image-arm"]


def test_the_pause_of_an_image_hides_the_states_of_its_builds(world, two_images):
    assert world.run("image-pause", "fake-image").output == ""
    assert column(world.run("dib-image-list"), 6) == ["paused", "ready"]
    assert column(world.run("image-status"), 3) == ["True", "False"]
    assert world.run("image-pause", "fake-image").exit_code == 0
    assert world.run("image-unpause", "fake-image").output == ""
    assert column(world.run("image-status"), 3) == ["False", "False"]
    assert world.run("image-unpause", "fake-image").exit_code == 0


def test_an_image_that_was_never_built_can_be_paused(world):
    assert world.run("image-pause", "fake-image").exit_code == 0
    assert world.tree.look(f"{IMAGES}/fake-image/pause")


@pytest.mark.parametrize("command", ["image-pause", "image-build"])
def test_an_image_that_nobody_knows_is_one_sentence(world, command):
    result = world.run(command, "unknown")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "unknown" in result.stderr
    assert world.tree.paths() == ()


def test_unpausing_an_image_that_nobody_knows_is_done(world):
    assert (world.run("image-unpause", "unknown").exit_code, world.tree.paths()) == (0, ())


def test_a_request_for_a_build_is_pending_until_whoever_has_the_lock_made_a_build(world, two_images):
    assert world.run("image-build", "fake-image").output == ""
    assert world.run("image-build", "fake-image").output == ""
    status = world.run("image-status")
    assert (column(status, 4), column(status, 5)) == (["pending", ""], ["00:00:00:03", ""])
    world.put(f"{IMAGES}/fake-image/builds/lock/{'0' * 32}__lock__0000000000", ephemeral=True)
    assert column(world.run("image-status"), 4) == ["pending", ""]
    world.put_build("fake-image", B2, ImageState.BUILDING)
    assert column(world.run("image-status"), 4) == ["building", ""]
    [row, _] = json.loads(world.run("image-status", "--format", "json").stdout)
    assert row["build_request"] == "building"
    assert isinstance(row["build_request_age"], int)


def test_an_image_paused_in_the_configuration_is_not_built(world):
    result = world.run("image-build", "resting")
    assert (result.exit_code, world.tree.paths()) == (1, ())
    assert "paused" in result.stderr


def test_the_request_for_an_image_paused_in_zookeeper_waits(world):
    world.run("image-pause", "fake-image")
    result = world.run("image-build", "fake-image")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "image-unpause" in result.stderr


def options(build, provider, number):
    return ["--provider", provider, "--image", build.image, "--upload-id", number, "--build-id", build.id]


def test_an_upload_is_marked_for_deletion(world, two_images):
    build, _ = two_images
    assert world.run("image-delete", *options(build, "fake-provider", "0000000001")).output == ""
    after = upload_at(world, build, "fake-provider", "0000000001")
    assert (after.state, after.external_name) == (ImageState.DELETING, "fake-image-1795211759")


def test_an_upload_that_is_not_there_is_no_failure(world, two_images):
    build, _ = two_images
    before = world.tree.paths()
    result = world.run("image-delete", *options(build, "elsewhere", "0000000001"))
    assert (result.exit_code, world.tree.paths()) == (0, before)
    assert "no upload" in result.stdout


def test_an_upload_under_way_is_left_alone(world, two_images):
    build, _ = two_images
    upload = world.put_upload(build, "0000000002", "fake-provider", ImageState.UPLOADING)
    result = world.run("image-delete", *options(build, "fake-provider", "0000000002"))
    assert (result.exit_code, upload_at(world, build, "fake-provider", "0000000002")) == (0, upload)
    assert "still being uploaded" in result.stdout


def test_a_build_is_marked_for_deletion(world, two_images):
    assert world.run("dib-image-delete", f"fake-image-arm-{B2}").output == ""
    after = build_at(world, "fake-image-arm", B2)
    assert (after.state, after.formats, after.builder) == (ImageState.DELETING, ("qcow2",), "localhost")


@pytest.mark.parametrize("id", ["fake-image-arm-0000000000", "none-0"])
def test_a_build_that_is_not_there_is_no_failure(world, two_images, id):
    result = world.run("dib-image-delete", id)
    assert (result.exit_code, result.stdout) == (0, f"There is no build {id}.\n")


def test_a_build_under_way_is_left_alone(world):
    world.put_build("fake-image", B1, ImageState.BUILDING)
    result = world.run("dib-image-delete", f"fake-image-{B1}")
    assert (result.exit_code, build_at(world, "fake-image", B1).state) == (0, ImageState.BUILDING)
    assert "still being built" in result.stdout


@pytest.mark.parametrize("id", ["nodash", "-x", "x-"])
def test_an_id_without_an_image_or_a_build_is_one_sentence(world, id):
    result = world.run("dib-image-delete", "--", id)
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1


def test_info_shows_uploads_and_nodes_of_a_provider(world, two_images):
    build, _ = two_images
    world.put_upload(build, "0000000002", "fake-provider")
    world.put_node("0000000001", external_id="1a3eeec3db8e4e23a0c62beee83917ad")
    world.put_node("0000000002", provider="other")
    assert world.run("info", "fake-provider").stdout.splitlines() == [
        "ZooKeeper data for provider fake-provider",
        "",
        "Image data:",
        "+----------------+----------------------------------+-----------------------+",
        "| Image Name     | Build ID                         | Upload IDs            |",
        "+----------------+----------------------------------+-----------------------+",
        "| fake-image     | 4ceb9f263b42405b9a161e2baf0db0b9 | 0000000001,0000000002 |",
        "| fake-image-arm | add825ec8cd947308b7bff4368df7b4e | 0000000001            |",
        "+----------------+----------------------------------+-----------------------+",
        "",
        "Nodes:",
        "+------------+----------------------------------+",
        "| ID         | Server ID                        |",
        "+------------+----------------------------------+",
        "| 0000000001 | 1a3eeec3db8e4e23a0c62beee83917ad |",
        "+------------+----------------------------------+",
    ]


def test_info_of_an_unknown_provider_has_empty_tables(world):
    result = world.run("info", "unknown")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 3 + 4 + 2 + 4)


@pytest.mark.parametrize("read", [json.loads, yaml.safe_load], ids=["json", "yaml"])
def test_info_is_one_object_for_programs(world, two_images, read):
    build, arm = two_images
    world.put_upload(build, "0000000002", "fake-provider")
    world.put_node("0000000001", external_id="1a3eeec3db8e4e23a0c62beee83917ad")
    world.put_node("0000000002", provider="other")
    form = "json" if read is json.loads else "yaml"
    assert read(world.run("info", "fake-provider", "--format", form).stdout) == {
        "provider": "fake-provider",
        "images": [
            {"image": "fake-image", "build_id": build.id, "upload_ids": ["0000000001", "0000000002"]},
            {"image": "fake-image-arm", "build_id": arm.id, "upload_ids": ["0000000001"]},
        ],
        "nodes": [{"id": "0000000001", "server_id": "1a3eeec3db8e4e23a0c62beee83917ad"}],
    }
    assert read(world.run("info", "unknown", "--format", form).stdout) == {
        "provider": "unknown",
        "images": [],
        "nodes": [],
    }
    assert world.run("info", "fake-provider", "--format", "csv").exit_code == 2


@pytest.fixture
def doomed(world, two_images):
    """A provider with everything that it can have, beside another one; returns what is not the provider's."""
    world.put_node("0000000002", provider="fake-provider-raw")
    others = set(world.tree.paths())
    world.put_node("0000000001", state=NodeState.IN_USE)
    world.lock("0000000001")
    build, arm = two_images
    world.put(f"{paths.uploads(build.image, build.id, 'fake-provider')}/lock/{'0' * 32}__lock__0000000000")
    of_provider = [f"{paths.build_providers(b.image, b.id)}/fake-provider" for b in (build, arm)]
    return {p for p in others if not any(p == top or p.startswith(top + "/") for top in of_provider)}


@pytest.mark.parametrize("answer", ["y\n", "Y\n"])
def test_erase_asks_and_removes_all_of_a_provider_and_nothing_else(world, doomed, answer):
    result = world.run("erase", "fake-provider", input=answer)
    assert result.exit_code == 0
    assert "1 nodes and 2 uploads" in result.stdout
    assert {path for path in world.tree.paths() if not path.startswith("/nodepool_ng")} == doomed


def test_erase_with_force_does_not_ask(world, doomed):
    result = world.run("erase", "--force", "fake-provider")
    assert (result.exit_code, result.stdout) == (0, "Erased of fake-provider: nodes 1, uploads 2.\n")
    assert {path for path in world.tree.paths() if not path.startswith("/nodepool_ng")} == doomed


@pytest.mark.parametrize("answer", ["", "\n", "n\n", "yes\n"])
def test_erase_without_a_yes_erases_nothing(world, doomed, answer):
    before = world.tree.paths()
    result = world.run("erase", "fake-provider", input=answer)
    assert (result.exit_code, world.tree.paths()) == (0, before)
    assert "Nothing was erased." in result.stdout


def test_erase_of_an_unknown_provider_has_nothing_to_do(world, two_images):
    result = world.run("erase", "unknown", input="y\n")
    assert (result.exit_code, result.stdout) == (0, "ZooKeeper has nothing of the provider unknown.\n")


def test_a_confirmation_is_put_where_the_launcher_looks(world):
    world.configure(providers={"Fake/provider ö": None})
    assert world.run("confirm", "Fake/provider ö").exit_code == 0
    assert world.tree.paths()[-1] == "/nodepool_ng/confirmed/Fake%2Fprovider%20%C3%B6"
    assert world.run("confirm", "Fake/provider ö").exit_code == 0


def test_a_provider_that_is_not_configured_cannot_be_confirmed(world):
    result = world.run("confirm", "typo")
    assert (result.exit_code, world.tree.paths()) == (1, ())


def test_export_writes_builds_uploads_and_pauses_for_the_owner_only(world, two_images, tmp_path):
    build, _ = two_images
    world.run("image-pause", "fake-image")
    world.run("image-build", "fake-image")
    world.put(f"{IMAGES}/fake-image/builds/damaged", b"{")
    world.put(f"{IMAGES}/fake-image/builds/ghost")
    file = tmp_path / "images.json"
    file.write_text("x" * 100_000)
    file.chmod(0o666)
    result = world.run("export-image-data", str(file))
    assert result.exit_code == 0
    assert "builds/damaged" in result.stderr
    records = json.loads(file.read_text())
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert len(records) == 1 + 2 + 3
    assert records[f"{IMAGES}/fake-image/pause"] == ""
    path = paths.build(build.image, build.id)
    assert records[path].encode() == world.data(path)


def test_export_to_where_nothing_can_be_written_is_one_sentence(world, tmp_path):
    result = world.run("export-image-data", str(tmp_path / "none" / "file"))
    assert result.exit_code == 1
    assert "cannot be written: No such file or directory" in result.stderr


def exported(world, path):
    world.run("export-image-data", str(path))
    return json.loads(path.read_text())


def test_what_was_exported_can_be_imported_elsewhere_and_again(world, two_images, tmp_path):
    build, _ = two_images
    world.put_upload(build, "0000000007", "fake-provider")
    world.run("image-pause", "fake-image")
    records = exported(world, tmp_path / "a")
    for path in reversed(world.tree.paths()):
        world.commit(Delete(path))
    assert world.tree.paths() == ()
    for _ in range(2):
        assert world.run("import-image-data", str(tmp_path / "a")).output == ""
        assert exported(world, tmp_path / "b") == records


def test_an_import_overwrites_and_uses_up_the_numbers(world, two_images, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "AT_ONCE", 3)
    build, _ = two_images
    parent = paths.uploads(build.image, build.id, "fake-provider")
    record = '{"state": "ready", "state_time": 1}'
    (tmp_path / "a").write_text(json.dumps({f"{parent}/0000000023": record, f"{parent}/0000000001": record}))
    assert world.run("import-image-data", str(tmp_path / "a")).exit_code == 0
    assert world.data(f"{parent}/0000000001") == record.encode()
    assert set(world.tree.children(parent).names) == {"lock", "0000000001", "0000000023"}
    [made] = world.tree.commit([Create(f"{parent}/", sequence=True)], world.session).results
    assert int(made[-10:]) > 23


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"/nodepool/nodes/0000000001": "{}"}',
        '{"/nodepool/images/x/builds/lock": ""}',
        '{"/nodepool/images/../pause": ""}',
        '{"/nodepool/images//pause": ""}',
        '{"/nodepool/images/x/pause": 1}',
        '{"/nodepool/images/x/builds/b/providers/p/images/2147483646": "{}"}',
        '{"/nodepool/images/x/pause": "", "/zuul": ""}',
        '{"/nodepool/images/\\u001b/pause": ""}',
    ],
)
def test_what_is_no_export_is_not_imported_at_all(world, tmp_path, text):
    (tmp_path / "a").write_text(text)
    result = world.run("import-image-data", str(tmp_path / "a"))
    assert (result.exit_code, world.tree.paths(), len(result.stderr.splitlines())) == (1, (), 1)
    assert "nothing was imported" in result.stderr
    assert "\x1b" not in result.stderr


def test_a_missing_file_is_one_sentence(world, tmp_path):
    result = world.run("import-image-data", str(tmp_path / "none"))
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def test_validation_needs_no_zookeeper(world, tmp_path):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("zookeeper-servers: [{host: zk}]\n")
    bad.write_text("zookeeper-servers: [{host: zk}]\nlabels: [{nam: x}]\n")
    ok = world.run("-c", str(good), "config-validate")
    assert (ok.exit_code, ok.stdout, ok.stderr) == (0, "", f"validating {good}\n")
    wrong = world.run("-c", str(bad), "config-validate")
    assert (wrong.exit_code, world.stores) == (1, [])
    assert f"{bad}:2:" in wrong.stderr


def test_complaints_are_records_with_line_and_column(world, tmp_path):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("zookeeper-servers: [{host: zk}]\n")
    bad.write_text("zookeeper-servers: [{host: zk}]\nlabels:\n  - {nam: x}\n")
    ok = world.run("-c", str(good), "config-validate", "--format", "json")
    assert (ok.exit_code, json.loads(ok.stdout)) == (0, [])
    wrong = world.run("-c", str(bad), "config-validate", "--format", "json")
    assert (wrong.exit_code, wrong.stderr) == (1, f"validating {bad}\n")
    found = json.loads(wrong.stdout)
    unknown = next(one for one in found if "nam" in one["what"] and one["column"] == 6)
    assert (unknown["file"], unknown["line"], unknown["gravity"]) == (str(bad), 3, "error")
    assert unknown["remedy"]
    csv = world.run("-c", str(bad), "config-validate", "--format", "csv").stdout
    assert csv.startswith("file,line,column,gravity,")


def test_a_file_that_is_not_there_is_a_record_without_a_line(world, tmp_path):
    missing = tmp_path / "none.yaml"
    (found,) = json.loads(world.run("-c", str(missing), "config-validate", "--format", "json").stdout)
    assert (found["file"], found["line"], found["column"], found["gravity"]) == (str(missing), None, None, "fatal")


def test_the_images_of_the_configuration_are_those_of_its_diskimages(world):
    world.configure(images={ImageName("new"): DiskImage(name=ImageName("new"))})
    assert world.run("image-build", "new").exit_code == 0
    assert world.run("image-build", "fake-image").exit_code == 1
