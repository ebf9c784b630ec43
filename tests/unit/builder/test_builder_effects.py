"""Builders at work in virtual time: the whole way of an image, and what crosses it."""

from dataclasses import replace

import pytest

from nodepool_ng.builder.jobs import RunHook
from nodepool_ng.drivers import Refused, Throttled
from nodepool_ng.drivers.calls import RemoveImage, UploadImage
from nodepool_ng.model.image_action import BuildKey
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.model.settings import ProviderImage
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.store import Create
from tests.unit.builder.virtual import (
    BUILD_TIME,
    IMAGE,
    UPLOAD_TIME,
    Disk,
    VirtualSite,
    lost_answer,
    requested,
)


@pytest.fixture
def site() -> VirtualSite:
    return VirtualSite()


def test_an_image_is_built_and_goes_into_both_clouds_at_once(site):
    builder = site.builder()
    site.wait(site.in_service(), BUILD_TIME + UPLOAD_TIME + 2)
    (build,) = site.builds().values()
    assert (build.builder, build.builder_id, build.formats) == ("host", builder.disk.builder_id, ("qcow2",))
    assert (build.username, build.python_path) == ("zuul", "auto")
    uploads = site.uploads()
    assert {(provider, number) for provider, _, number in uploads} == {("north", "0000000001"), ("south", "0000000001")}
    upload = uploads["north", build.id, "0000000001"]
    order = site.clouds["north"].images[upload.external_id]
    assert order.name == upload.external_name
    assert order.name.startswith(f"{IMAGE}-")
    assert order.properties == {"a": "1", "b": "2"}
    assert (order.marks.build, order.marks.upload, order.marks.provider) == (build.id, upload.id, "north")
    assert (upload.format, upload.username) == ("qcow2", "zuul")
    assert site.faults(builder.disk) == []


def test_while_it_is_built_the_record_says_so_and_the_lock_is_held(site):
    site.builder()
    site.wait(lambda: site.states() == ["building"])
    site.run(BUILD_TIME / 2)
    (build,) = site.builds().values()
    assert (build.formats, build.username) == (("qcow2",), None)
    (contender,) = site.contenders()
    assert contender.startswith(f"{paths.builds_lock(IMAGE)}/")


def test_the_builder_is_registered_again_after_its_session_ended(site):
    builder = site.builder()
    site.run(1)

    def registered():
        return [p for p in site.tree.paths() if p.startswith("/nodepool/components/builder/host")]

    (first,) = registered()
    component = codec.decode_component("builder", first.rpartition("/")[2], site.tree.look(first).data)
    assert (component.state, component.hostname) == ("running", "host")
    builder.store.expire()
    site.run(1)
    (second,) = registered()
    assert second != first


def test_the_third_build_takes_the_place_of_the_first(site):
    builder = site.builder()
    site.wait(site.in_service(1))
    first = set(site.builds())
    for count in (2, 2):
        site.request_build()
        site.wait(lambda: not requested(site))
        site.wait(site.in_service(count))
    assert builder.builds == 3
    assert not first & set(site.builds())
    assert site.faults(builder.disk) == []


def test_a_failed_build_keeps_the_request_and_backs_off(site):
    builder = site.builder()
    site.wait(site.in_service())
    site.build_says = "no"
    site.request_build()
    site.run(BUILD_TIME + 5)
    assert requested(site)
    assert builder.builds == 2
    assert "failed" in site.states()
    (failed,) = [build for build in site.builds().values() if build.state is ImageState.FAILED]
    assert failed.formats == ()
    site.run(3600)
    assert 5 < builder.builds < 12
    assert len([b for b in site.builds().values() if b.state is ImageState.READY]) == 1
    site.build_says = ""
    site.wait(lambda: not requested(site), 3700)
    site.wait(site.in_service(2))
    assert site.faults(builder.disk) == []


def test_a_request_by_hand_does_not_wait_for_a_back_off(site):
    site.build_says = "no"
    builder = site.builder()
    site.run(1200)
    tried = builder.builds
    site.build_says = ""
    site.request_build()
    site.wait(site.in_service(), BUILD_TIME + UPLOAD_TIME + 80)
    assert builder.builds == tried + 1


def test_what_cannot_be_built_is_not_begun(site):
    site.troubles = ["qemu-img is not installed"]
    builder = site.builder()
    site.run(100)
    assert builder.builds == 0
    assert site.states() == []
    assert "qemu-img" in builder.reconciler.latest.builds[IMAGE].detail
    site.troubles = []
    site.wait(site.in_service())


def test_a_failing_cloud_does_not_hold_up_the_other(site):
    for _ in range(4):
        site.clouds["north"].refusals.append((UploadImage, Refused("over quota")))
    builder = site.builder()
    site.wait(lambda: any(p == "south" and u.state is ImageState.READY for (p, _, _), u in site.uploads().items()), 40)
    site.wait(site.in_service(), 10 + 20 + 40 + 80 + 150)
    assert site.clouds["north"].uploads == 1
    assert site.faults(builder.disk) == []


def test_a_cloud_that_says_when_is_asked_then(site):
    site.clouds["north"].refusals.append((UploadImage, Throttled("slowly", retry_after=300.0)))
    site.builder()
    site.run(290)
    assert site.clouds["north"].uploads == 0
    site.wait(site.in_service(), 100)


def test_a_lost_answer_leaves_nothing_behind_in_the_cloud(site):
    north = site.clouds["north"]
    builder = site.builder()
    site.wait(lambda: bool(north.images))
    # the answer to an upload that arrived is lost: its record fails, the image stays and is found by its marks
    north.images["orphan"] = replace(
        next(iter(north.images.values())), marks=replace(next(iter(north.images.values())).marks, upload="0000000099")
    )
    north.refusals.append((UploadImage, lost_answer()))
    site.wait(site.in_service())
    site.run(700)
    assert site.faults(builder.disk) == []


def test_images_that_are_not_ours_are_never_touched(site):
    builder = site.builder()
    site.wait(site.in_service())
    north = site.clouds["north"]
    ours = next(iter(north.images.values()))
    north.images["of-nodepool-11"] = replace(ours, marks=replace(ours.marks, installation=None, upload="0000000050"))
    north.images["elsewhere"] = replace(ours, marks=replace(ours.marks, installation="x", upload="0000000051"))
    site.run(1000)
    assert {"of-nodepool-11", "elsewhere"} < set(north.images)
    assert builder.alive


def test_a_cloud_that_does_not_delete_is_asked_again(site):
    builder = site.builder()
    site.wait(site.in_service())
    for _ in range(5):
        site.clouds["north"].refusals.append((RemoveImage, lost_answer()))
    (key,) = site.builds()
    site.order_deletion(key)
    site.run(20)
    assert key not in builder.disk.files, "files go before the cloud is done"
    site.wait(lambda: key not in site.builds(), 400)
    site.wait(site.in_service())
    assert site.faults(builder.disk) == []


def hooked(site: VirtualSite) -> None:
    north = replace(site.settings.providers["north"], post_upload_hook="/bin/hook", image_upload_timeout=77)
    site.settings = replace(site.settings, providers={**site.settings.providers, "north": north})


def test_the_hook_runs_before_the_image_is_in_service(site):
    hooked(site)
    site.builder()
    site.wait(lambda: bool(site.hooks))
    (hook,) = site.hooks
    (id,) = site.clouds["north"].images
    assert hook == RunHook("/bin/hook", "north", id, "/images/x", 77)
    assert [u.state for (p, _, _), u in site.uploads().items() if p == "north"] == [ImageState.UPLOADING]
    site.wait(site.in_service())


def test_a_failing_hook_takes_the_image_out_of_the_cloud_again(site):
    hooked(site)
    site.hook_says = "post-upload-hook ended with exit code 1"
    site.clouds["north"].refusals.append((RemoveImage, lost_answer()))
    builder = site.builder()
    site.wait(lambda: bool(site.hooks))
    site.wait(lambda: "failed" in site.states())
    site.hook_says = None
    site.wait(site.in_service(), 200)
    site.run(100)
    assert site.faults(builder.disk) == []


def test_delete_after_upload_keeps_nothing_but_the_record_and_a_new_provider_brings_a_new_build(site):
    site = VirtualSite(delete_after_upload=True)
    builder = site.builder()
    site.wait(site.in_service())
    site.run(5)
    assert all(not formats for formats in builder.disk.files.values())
    site.clouds["west"] = type(site.clouds["north"])()
    west = replace(site.settings.providers["north"], name="west")
    site.reconfigure(builder, replace(site.settings, providers={**site.settings.providers, "west": west}))
    site.wait(lambda: bool(site.clouds["west"].images), 100)
    assert builder.builds == 2


def test_a_new_format_brings_a_new_build(site):
    builder = site.builder()
    site.wait(site.in_service())
    raw = ProviderImage(name=IMAGE, format="raw")
    south = replace(site.settings.providers["south"], images={IMAGE: raw})
    site.reconfigure(builder, replace(site.settings, providers={**site.settings.providers, "south": south}))
    site.wait(site.in_service(2))
    assert sorted(len(build.formats) for build in site.builds().values()) == [1, 2]


def test_an_image_that_left_the_configuration_leaves_nothing(site):
    builder = site.builder()
    site.wait(site.in_service())
    bare = {name: replace(p, images={}) for name, p in site.settings.providers.items()}
    site.reconfigure(builder, replace(site.settings, diskimages={}, providers=bare))
    site.wait(lambda: site.states() == [])
    site.run(60)
    assert site.faults(builder.disk) == []
    assert not any(cloud.images for cloud in site.clouds.values())
    assert builder.disk.seen() == {}


def test_a_builder_that_lacks_an_image_leaves_other_builders_builds_alone(site):
    first = site.builder()
    site.wait(site.in_service())
    bare = {name: replace(p, images={}) for name, p in site.settings.providers.items()}
    site.builder(settings=replace(site.settings, diskimages={}, providers=bare))
    site.run(1000)
    assert site.in_service()()
    assert site.faults(first.disk) == []


def test_a_builder_on_an_empty_zookeeper_deletes_no_file(site):
    disk = Disk("earlier", files={BuildKey(IMAGE, "e" * 32): {"qcow2"}}, claims={BuildKey(IMAGE, "e" * 32): "other"})
    site.builder(disk)
    site.wait(site.in_service())
    site.run(1000)
    assert disk.files[BuildKey(IMAGE, "e" * 32)] == {"qcow2"}


def test_files_whose_records_were_erased_go_with_them(site):
    builder = site.builder()
    site.wait(site.in_service())
    (first,) = site.builds()
    site.erase_all()
    site.wait(site.in_service())
    site.run(700)
    assert first not in builder.disk.seen()
    assert site.faults(builder.disk) == []


def test_two_builders_never_do_the_same_twice(site):
    first, second = site.builder(), site.builder()
    site.wait(site.in_service())
    for _ in range(3):
        site.request_build()
        site.wait(lambda: not requested(site))
        site.wait(site.in_service(2))
    assert first.builds + second.builds == 4
    assert sum(cloud.uploads for cloud in site.clouds.values()) == 8
    assert site.faults(first.disk, second.disk) == []


def test_the_record_of_a_crashed_build_goes_by_another_builders_hand(site):
    first = site.builder()
    site.wait(lambda: site.states() == ["building"])
    (key,) = site.builds()
    site.run(1)
    site.kill(first)
    second = site.builder()
    site.wait(site.in_service())
    assert key not in site.builds()
    assert second.builds == 1
    # its files wait for their owner
    assert key in first.disk.seen()
    again = site.builder(first.disk)
    site.run(60)
    assert again.builds == 0
    assert site.faults(first.disk, second.disk) == []


def test_a_session_that_ends_during_a_build_does_not_cost_the_build(site):
    builder = site.builder()
    site.wait(lambda: site.states() == ["building"])
    site.run(BUILD_TIME / 2)
    builder.store.expire()
    site.wait(site.in_service())
    assert builder.builds == 1
    assert site.faults(builder.disk) == []


def test_a_stale_builder_publishes_nothing(site):
    """Its session ends while it is cut off; somebody else clears away what it began, and builds."""
    first = site.builder()
    site.wait(lambda: site.states() == ["building"])
    (key,) = site.builds()
    site.run(1)
    session = first.store.session_id
    first.store.suspend()
    site.tree.end_session(session)
    second = site.builder()
    site.wait(site.in_service())
    first.store.resume()
    site.run(60)
    assert key not in site.builds()
    assert (first.builds, second.builds) == (1, 1)
    assert site.faults(first.disk, second.disk) == []


def test_an_upload_outlives_the_session_it_was_begun_in(site):
    builder = site.builder()
    site.wait(lambda: site.states() == ["ready", "uploading", "uploading"])
    builder.store.expire()
    site.wait(site.in_service())
    assert [cloud.uploads for cloud in site.clouds.values()] == [1, 1]
    assert site.faults(builder.disk) == []


@pytest.mark.parametrize("when", ["building", "uploading"])
@pytest.mark.parametrize("dark", [3.0, 40.0])
def test_a_cut_connection_delays_but_loses_nothing(site, when, dark):
    builder = site.builder()
    site.wait(lambda: when in site.states())
    site.run(0.5)
    builder.store.suspend()
    site.run(dark)
    builder.store.resume()
    site.wait(site.in_service())
    assert builder.builds == 1
    assert [cloud.uploads for cloud in site.clouds.values()] == [1, 1]
    assert site.faults(builder.disk) == []


def test_znodes_that_a_late_lock_made_are_swept(site):
    builder = site.builder()
    site.wait(site.in_service())
    ghost = paths.build(IMAGE, "f" * 32)
    site.commit(Create(ghost), Create(f"{ghost}/lock"))
    site.run(5)
    assert ghost not in site.tree.paths()
    assert builder.alive
