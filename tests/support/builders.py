"""A site for builders: configuration with a stand-in for disk-image-create, and eyes on records, clouds and disk."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from nodepool_ng.model.component import BUILDER
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.blocking import call
from nodepool_ng.zk.client import KazooStore
from nodepool_ng.zk.paths import BuildAt, UploadAt
from nodepool_ng.zk.store import Children, Commit, Create, Get, Got, Names
from tests.support.daemons import Daemon, Site, wait_for

STAND_IN = """#!/bin/bash
while [ $# -gt 0 ]; do
    case $1 in
        -o) out=$2; shift ;;
        -t) formats=${2//,/ }; shift ;;
    esac
    shift
done
echo "building $DIB_IMAGE_NAME"
[ -e "$FAIL" ] && exit 3
echo part > "$out.raw-part"
if [ -p "$HOLD" ]; then
    echo $$ > "$HOLD.pid"
    read -r _ < "$HOLD"
fi
for format in $formats; do
    # Glance looks whether the bytes are of the format that they are said to have
    case $format in
        qcow2) printf 'QFI\\373' ;;
        vhd) printf conectix ;;
        vhdx) printf vhdxfile ;;
        vmdk) printf KDMV ;;
    esac > "$out.$format"
    [ -n "$SPARSE" ] && truncate -s "$SPARSE" "$out.$format" && continue
    head -c 300000 /dev/urandom >> "$out.$format"
    md5sum "$out.$format" > "$out.$format.md5"
    sha256sum "$out.$format" > "$out.$format.sha256"
done
rm "$out.raw-part"
"""
IMAGE = "tiny"
CLOUDS = {"acme": {"regions": {"north": {}, "south": {}}}}


@dataclass
class Yard:
    """A site for builders, with eyes of its own in ZooKeeper."""

    place: Site
    store: KazooStore

    @property
    def hold(self) -> Path:
        return self.place.folder / "hold"

    @property
    def fail(self) -> Path:
        return self.place.folder / "fail"

    def images(self, name: str = "images") -> Path:
        return self.place.folder / name

    def configure(
        self,
        *,
        images: str = "images",
        north: tuple[str, ...] = (IMAGE,),
        elements_dir: str = "",
        more: Mapping[str, object] = MappingProxyType({}),
        sparse: str = "",
        **diskimage: object,
    ) -> None:
        """Write the configuration; `north` are the images of that region, `more` goes into the file, the rest into the
        diskimage. With `sparse` its files have that length (as truncate knows it) and take no room."""
        script = self.place.folder / "dib stand-in"
        script.write_text(STAND_IN)
        script.chmod(0o755)
        self.place.configure(
            **{
                "images-dir": str(self.images(images)),
                "build-log-dir": str(self.place.folder / "logs"),
                "build-log-retention": 2,
                "elements-dir": elements_dir,
                "labels": [],
                "diskimages": [
                    {
                        "name": IMAGE,
                        "elements": ["one"],
                        "dib-cmd": f"'{script}'",
                        "env-vars": {"HOLD": str(self.hold), "FAIL": str(self.fail), "SPARSE": sparse},
                        **diskimage,
                    }
                ],
                "providers": [
                    {
                        "name": name,
                        "cloud": "acme",
                        "region-name": name,
                        "diskimages": [{"name": one, "meta": {"kind": "test"}} for one in listed],
                        "pools": [],
                    }
                    for name, listed in (("north", north), ("south", (IMAGE,)))
                ],
                **more,
            }
        )

    def builder(self, tag: str = "", *arguments: str) -> Daemon:
        pid = self.place.folder / f"builder{tag}.pid"
        return self.place.daemon(
            "nodepool-builder", "-c", str(self.place.config), "-d", "-p", str(pid), *arguments, tag=tag
        )

    def builders(self) -> tuple[str, ...]:
        """Return the builders that are registered."""
        (answer,) = call(self.store, [Children(paths.components(BUILDER))])
        return answer.names if isinstance(answer, Names) else ()

    def records(self) -> dict[BuildAt | UploadAt, Build | Upload]:
        """Return all builds and uploads of the image."""
        found: dict[BuildAt | UploadAt, Build | Upload] = {}
        layer = [paths.builds(IMAGE)]
        while layer:
            answers = call(self.store, [Children(path) for path in layer])
            layer = [
                f"{path}/{name}"
                for path, answer in zip(layer, answers, strict=True)
                if isinstance(answer, Names)
                for name in answer.names
            ]
            for path, got in zip(layer, call(self.store, [Get(path) for path in layer]), strict=True):
                at = paths.parse(path)
                if isinstance(at, BuildAt | UploadAt) and isinstance(got, Got) and got.data:
                    record = codec.decode(path, at, got.data)
                    assert isinstance(record, Build | Upload), record
                    found[at] = record
        return found

    def builds(self) -> dict[str, Build]:
        return {at.id: record for at, record in self.records().items() if isinstance(record, Build)}

    def uploads(self) -> list[Upload]:
        return [record for record in self.records().values() if isinstance(record, Upload)]

    def states(self) -> list[str]:
        return sorted(str(record.state) for record in self.records().values())

    def in_service(self, builds: int = 1, providers: int = 2) -> bool:
        """Tell whether so many builds are ready in so many providers, and there is nothing else."""
        return self.states() == ["ready"] * builds * (1 + providers)

    def request_build(self) -> None:
        call(self.store, [Commit((Create(paths.build_requested(IMAGE)),))])

    def requested(self) -> bool:
        (got,) = call(self.store, [Get(paths.build_requested(IMAGE))])
        return isinstance(got, Got)

    def another_build(self, builds: int) -> None:
        before = set(self.builds())
        self.request_build()
        wait_for(lambda: not self.requested(), "the request by hand is done with")
        wait_for(lambda: bool(set(self.builds()) - before) and self.in_service(builds), f"{builds} builds in service")

    def in_clouds(self) -> set[tuple[str, str]]:
        """Return the images that are in the clouds beside the planted one."""
        return {
            (name, image["id"])
            for name in ("north", "south")
            for image in self.place.sim.region("acme", name).state().images
            if image["name"] != "base"
        }

    def recorded(self) -> set[tuple[str, str | None]]:
        return {(upload.provider, upload.external_id) for upload in self.uploads()}

    def files(self, name: str = "images") -> list[str]:
        """Return what is in the images directory, hidden folders aside."""
        return sorted(path.name for path in self.images(name).glob("[!.]*"))

    def settled(self) -> bool:
        """Tell whether clouds and disk hold what the records say, and nothing is left of unfinished work."""
        ids = self.builds()
        theirs = {file for file in self.files() if file != "builder_id.txt"}
        wanted = {f"{IMAGE}-{id}.qcow2{suffix}" for id in ids for suffix in ("", ".md5", ".sha256")}
        return self.in_clouds() == self.recorded() and theirs == wanted


@contextmanager
def yard(place: Site, clouds: Mapping[str, object] = CLOUDS) -> Iterator[Yard]:
    """A site with clouds, configured for one image in two regions."""
    store = KazooStore(place.zookeeper)
    store.start()
    made = Yard(place, store)
    place.start_clouds(clouds=clouds)
    made.configure()
    try:
        yield made
    finally:
        store.stop()
