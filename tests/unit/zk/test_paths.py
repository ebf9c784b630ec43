"""Every path of the contract can be built from names and read back into them."""

import pytest

from nodepool_ng.model.ids import BuildId, ImageName, NodeId, PoolName, ProviderName, RequestId, UploadId
from nodepool_ng.zk import paths
from nodepool_ng.zk.paths import (
    BranchAt,
    BuildAt,
    BuildRequestedAt,
    BuildsAt,
    ComponentAt,
    ContenderAt,
    ImageAt,
    InstallationAt,
    LeaseAt,
    LockAt,
    NodeAt,
    PausedAt,
    RequestAt,
    UploadAt,
    UploadsAt,
    parse,
)

NODE = NodeId("0000000042")
REQUEST = RequestId("200-0000000007")
IMAGE = ImageName("bookworm")
BUILD = BuildId("ab" * 16)
CLOUD = ProviderName("a cloud/1")
PLAIN = ProviderName("cloud-a")
UPLOAD = UploadId("0000000001")
CONTENDER = "0" * 32 + "__lock__0000000003"
B = f"/nodepool/images/bookworm/builds/{BUILD}"


@pytest.mark.parametrize(
    ("path", "text", "place"),
    [
        (paths.node(NODE), "/nodepool/nodes/0000000042", NodeAt(NODE)),
        (paths.node_lock(NODE), "/nodepool/nodes/0000000042/lock", LockAt(NodeAt(NODE))),
        (paths.request(REQUEST), "/nodepool/requests/200-0000000007", RequestAt(REQUEST)),
        (paths.request_lock(REQUEST), "/nodepool/requests-lock/200-0000000007", LockAt(RequestAt(REQUEST))),
        (paths.image(IMAGE), "/nodepool/images/bookworm", ImageAt(IMAGE)),
        (paths.paused(IMAGE), "/nodepool/images/bookworm/pause", PausedAt(IMAGE)),
        (paths.build_requested(IMAGE), "/nodepool/images/bookworm/request-build", BuildRequestedAt(IMAGE)),
        (paths.builds(IMAGE), "/nodepool/images/bookworm/builds", BuildsAt(IMAGE)),
        (paths.builds_lock(IMAGE), "/nodepool/images/bookworm/builds/lock", LockAt(BuildsAt(IMAGE))),
        (paths.build(IMAGE, BUILD), B, BuildAt(IMAGE, BUILD)),
        (paths.build_lock(IMAGE, BUILD), f"{B}/lock", LockAt(BuildAt(IMAGE, BUILD))),
        (paths.build_providers(IMAGE, BUILD), f"{B}/providers", BranchAt()),
        (paths.provider_of_build(IMAGE, BUILD, PLAIN), f"{B}/providers/cloud-a", BranchAt()),
        (paths.uploads(IMAGE, BUILD, PLAIN), f"{B}/providers/cloud-a/images", UploadsAt(IMAGE, BUILD, PLAIN)),
        (
            paths.uploads_lock(IMAGE, BUILD, PLAIN),
            f"{B}/providers/cloud-a/images/lock",
            LockAt(UploadsAt(IMAGE, BUILD, PLAIN)),
        ),
        (
            paths.upload(IMAGE, BUILD, PLAIN, UPLOAD),
            f"{B}/providers/cloud-a/images/0000000001",
            UploadAt(IMAGE, BUILD, PLAIN, UPLOAD),
        ),
        (
            paths.upload_lock(IMAGE, BUILD, PLAIN, UPLOAD),
            f"{B}/providers/cloud-a/images/0000000001/lock",
            LockAt(UploadAt(IMAGE, BUILD, PLAIN, UPLOAD)),
        ),
        (paths.component("pool", "host0000000000"), "/nodepool/components/pool/host0000000000", None),
        (paths.INSTALLATION, "/nodepool_ng/installation", InstallationAt()),
        (paths.lease(CLOUD), "/nodepool_ng/leases/a%20cloud%2F1", LockAt(LeaseAt(CLOUD))),
        (
            paths.pool_lease(CLOUD, PoolName("ma/in")),
            "/nodepool_ng/pool-leases/a%20cloud%2F1/ma%2Fin",
            LockAt(LeaseAt(CLOUD, PoolName("ma/in"))),
        ),
    ],
)
def test_a_path_is_built_and_read_back(path, text, place):
    assert path == text
    assert parse(path) == (place or ComponentAt("pool", "host0000000000"))


@pytest.mark.parametrize(
    "what",
    [
        NodeAt(NODE),
        RequestAt(REQUEST),
        BuildsAt(IMAGE),
        BuildAt(IMAGE, BUILD),
        UploadsAt(IMAGE, BUILD, PLAIN),
        UploadAt(IMAGE, BUILD, PLAIN, UPLOAD),
        LeaseAt(CLOUD),
        LeaseAt(CLOUD, PoolName("main")),
    ],
)
def test_whatever_can_be_locked_has_a_lock_directory_with_contenders(what):
    directory = paths.lock_of(what)
    assert parse(directory) == LockAt(what)
    assert parse(f"{directory}/{CONTENDER}") == ContenderAt(what, CONTENDER)


@pytest.mark.parametrize(
    "path",
    [
        "/zuul/nodes",
        "/nodepool/launchers/x",
        "/nodepool/requests/200-1/child",
        "/nodepool/nodes/1/other",
        "/nodepool/nodes/1/lock/a/b",
        "/nodepool/images/x/other",
        "/nodepool_ng/other",
        "/",
    ],
)
def test_what_no_contract_knows_is_nothing(path):
    assert parse(path) is None


@pytest.mark.parametrize(
    "path", ["/nodepool", paths.NODES, paths.REQUESTS, paths.IMAGES, paths.COMPONENTS, "/nodepool_ng"]
)
def test_branches_are_told_from_records(path):
    assert parse(path) == BranchAt()


def test_parents_come_highest_first():
    assert paths.parents("/nodepool/nodes/1/lock") == ("/nodepool", "/nodepool/nodes", "/nodepool/nodes/1")
