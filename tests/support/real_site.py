"""Daemons that work on the real services, and their configuration."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack import catalogue
from nodepool_ng.model.image import Upload
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.paths import UploadAt
from nodepool_ng.zk.store import Got
from tests.support.daemons import Daemon, Site, site
from tests.support.real_cloud import RealCloud

STAND_IN = """#!/bin/bash
set -e
while [ $# -gt 0 ]; do
    case $1 in
        -o) out=$2; shift ;;
    esac
    shift
done
head -c 3000000 /dev/urandom > "$out.raw"
qemu-img convert -f raw -O qcow2 "$out.raw" "$out.qcow2"  # Glance looks whether it is one
rm "$out.raw"
md5sum "$out.qcow2" > "$out.qcow2.md5"
sha256sum "$out.qcow2" > "$out.qcow2.sha256"
"""
IMAGE = "tiny"
BASE = "base"
LABEL = "small"
PROVIDER = "real"


@contextmanager
def site_on(
    cloud: RealCloud, folder: Path, zookeeper: ZooKeeperSettings, request: pytest.FixtureRequest
) -> Iterator[Site]:
    """A site whose daemons talk to these services; when its test fails, their logs are shown."""
    with site(folder, zookeeper) as made:
        made.environment["OS_CLIENT_CONFIG_FILE"] = str(cloud.place.clouds_yaml)
        yield made
        report = getattr(request.node, "outcome_of_call", None)
        if report is not None and report.failed:
            print(made.logs("nodepool")[-8000:])


def configure(
    place: Site, *, min_ready: int = 0, max_servers: int = 40, labels: dict[str, int] | None = None, **provider: object
) -> None:
    """Write nodepool.yaml: an image that a stand-in for disk-image-create makes, and a pool in the real cloud.

    `labels` says how many of each label are kept ready, beside `min_ready` of the usual one.
    """
    script = place.folder / "dib stand-in"
    script.write_text(STAND_IN)
    script.chmod(0o755)
    wanted = {LABEL: min_ready, **(labels or {})}
    place.configure(
        **{
            "images-dir": str(place.folder / "images"),
            "build-log-dir": str(place.folder / "logs"),
            "labels": [{"name": name, "min-ready": count} for name, count in wanted.items()],
            "diskimages": [{"name": IMAGE, "elements": ["one"], "dib-cmd": f"'{script}'"}],
            "providers": [
                {
                    "name": PROVIDER,
                    "cloud": catalogue.PROJECT,
                    "launch-timeout": 300,
                    "diskimages": [{"name": IMAGE, "meta": {"kind": "test"}}],
                    "pools": [pool("main", wanted, max_servers)],
                    **provider,
                }
            ],
        }
    )


def pool(name: str, labels: dict[str, int], max_servers: int) -> dict[str, object]:
    """Return a pool whose servers are not logged into: fake hosts have no machines to log into."""
    return {
        "name": name,
        "max-servers": max_servers,
        "host-key-checking": False,
        "labels": [{"name": label, "diskimage": IMAGE, "flavor-name": "small"} for label in labels],
    }


def builder(place: Site) -> Daemon:
    """Start a builder."""
    return place.daemon("nodepool-builder", "-c", str(place.config), "-d", "-p", str(place.folder / "builder.pid"))


def uploads(place: Site) -> list[Upload]:
    """Return the records of all uploads of the image to the provider."""
    found = []
    for build in place.children(paths.builds(IMAGE)):
        for path in place.children(f"{build}/providers/{PROVIDER}/images"):
            got, at = place.read(path), paths.parse(path)
            if isinstance(got, Got) and got.data and isinstance(at, UploadAt):
                record = codec.decode(path, at, got.data)
                assert isinstance(record, Upload), record
                found.append(record)
    return found


def uploaded(place: Site, besides: Upload | None = None) -> bool:
    """Tell whether the image, or one that is newer than another, is in service in the provider."""
    there = [upload for upload in uploads(place) if upload.state is ImageState.READY]
    return any(besides is None or upload.external_id != besides.external_id for upload in there)


def ready_made(place: Site, cloud: RealCloud, *, min_ready: int, cloud_name: str = "", **provider: object) -> str:
    """Configure as `configure` does, with an image that is in the cloud already; returns the image's id."""
    image = cloud.image(BASE)
    label = {"name": LABEL, "cloud-image": BASE, "flavor-name": "small"}
    place.configure(
        labels=[{"name": LABEL, "min-ready": min_ready}],
        providers=[
            {
                "name": PROVIDER,
                "cloud": cloud_name or catalogue.PROJECT,
                "launch-timeout": 300,
                "cloud-images": [{"name": BASE}],
                "pools": [{"name": "main", "max-servers": 40, "host-key-checking": False, "labels": [label]}],
                **provider,
            }
        ],
    )
    return image
