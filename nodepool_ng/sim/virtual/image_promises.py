"""What is promised about images, judged at every transaction of a builder and every image that a cloud deletes."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nodepool_ng.drivers import MARK_INSTALLATION
from nodepool_ng.model.gate import GateState, gate_of, in_service, proves
from nodepool_ng.model.ids import ImageName, ProviderName
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.lifecycle import ImageState, NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.sim.region import Region
from nodepool_ng.sim.virtual.process import VirtualProcess
from nodepool_ng.sim.virtual.promise import INSTALLATION, Promise
from nodepool_ng.sim.virtual.witness import Deed, WitnessedTree, Written, reading
from nodepool_ng.zk import paths
from nodepool_ng.zk.paths import BuildAt, UploadAt


class ImageReferee:
    """`breach` is told what was broken."""

    def __init__(
        self,
        tree: WitnessedTree,
        regions: Mapping[ProviderName, Region],
        breach: Callable[[Promise, str], None],
    ) -> None:
        self._tree = tree
        self._regions = regions
        self._breach = breach

    def judge(self, deed: Deed, builder: VirtualProcess[Any]) -> None:
        """See whether a builder's transaction leaves what requests depend on."""
        for written in deed.images:
            at = paths.parse(written.path)
            before, after = _record(written, at, written.before), _record(written, at, written.after)
            if before is None or before.state is not ImageState.READY:
                continue
            if after is not None and after.state is ImageState.READY:
                self._stays_in_service(before, after, builder.name)
                continue
            match before:
                case Upload():
                    self._upload_goes(before, builder.name)
                case Build():
                    self._build_goes(before, builder.name)

    def unproven(self, before: Node | None, after: Node) -> str:
        """Say what is wrong with the image that a node is made from; empty if nothing is."""
        if proves(after):
            taken = after.state is NodeState.READY or after.allocated_to is not None
            return "a canary is not for anybody" if taken else ""
        if before is not None and before.image_id == after.image_id:
            return ""
        at = paths.parse(after.image_id or "")
        znode = self._tree.look(after.image_id) if after.image_id and isinstance(at, UploadAt) else None
        upload = reading(after.image_id or "", at, znode.data) if znode is not None and znode.data else None  # type: ignore[arg-type]
        gate = gate_of(upload) if isinstance(upload, Upload) else None
        return "" if gate is None or gate.state is GateState.PASSED else f"its upload is {gate.state} at the gate"

    def is_ready(self, image: ImageName, provider: ProviderName) -> bool:
        """Tell whether nodes can boot from an image in a provider."""
        return any((u.image, u.provider) == (image, provider) and in_service(u) for u in self._uploads())

    def removing(self, builder: VirtualProcess[Any], provider: ProviderName, image: str) -> None:
        """A builder's order to delete an image has reached its cloud."""
        row = self._regions[provider].images.rows.get(image)
        if row is None:
            return
        if row.properties.get(MARK_INSTALLATION) != INSTALLATION:
            self._breach(Promise.OURS, f"{builder.name} deletes image {row.name}, which is not ours")
        for upload in self._uploads():
            if upload.state is ImageState.READY and upload.external_id == image:
                self._breach(Promise.IMAGES, f"{builder.name} deletes image {row.name}, which is ready to be used")

    def complaints(self) -> Iterator[str]:
        """Yield what is wrong once everything has come to rest."""
        uploads = list(self._uploads())
        named = {(upload.provider, upload.external_id) for upload in uploads}
        records: list[Build | Upload] = [*uploads, *self._builds()]
        for record in records:
            if record.state is not ImageState.READY:
                yield f"{type(record).__name__.lower()} {record.id} of {record.image} rests as {record.state}"
        for provider, region in self._regions.items():
            ours = {id for id, row in region.images.rows.items() if row.properties.get(MARK_INSTALLATION)}
            for image in ours:
                if (provider, image) not in named:
                    yield f"image {image} in {provider} has no upload"
            for upload in uploads:
                if upload.provider == provider and upload.external_id not in ours:
                    yield f"upload {upload.id} of {upload.image} in {provider} has no image"

    def _stays_in_service(self, before: Build | Upload, after: Build | Upload, who: str) -> None:
        if isinstance(before, Upload) and isinstance(after, Upload) and in_service(before) and not in_service(after):
            self._breach(Promise.IMAGES, f"{who} takes upload {before.id} of {before.image} out of service")

    def _upload_goes(self, upload: Upload, who: str) -> None:
        """The newest one in service is what nodes boot from."""
        if not in_service(upload):
            return
        others = [
            other.state_time
            for other in self._uploads()
            if (other.image, other.provider) == (upload.image, upload.provider) and in_service(other)
        ]
        if max(others, default=0.0) < upload.state_time:
            self._breach(Promise.IMAGES, f"{who} gives up the upload that {upload.provider} boots {upload.image} from")

    def _build_goes(self, build: Build, who: str) -> None:
        others = [
            other.id
            for other in self._builds()
            if other.image == build.image and other.state is ImageState.READY and other.state_time > build.state_time
        ]
        if not others:
            self._breach(Promise.IMAGES, f"{who} gives up the newest good build of {build.image}")
        newest: dict[tuple[ImageName, ProviderName], Upload] = {}
        for upload in self._uploads():
            key = (upload.image, upload.provider)
            if in_service(upload) and (key not in newest or upload.state_time > newest[key].state_time):
                newest[key] = upload
        for upload in newest.values():
            if upload.build == build.id:
                self._breach(Promise.IMAGES, f"{who} gives up a build that {upload.provider} boots {build.image} from")

    def _uploads(self) -> Iterator[Upload]:
        return (record for record in self._records() if isinstance(record, Upload))

    def _builds(self) -> Iterator[Build]:
        return (record for record in self._records() if isinstance(record, Build))

    def _records(self) -> Iterator[object]:
        for path in self._tree.below(paths.IMAGES):
            at = paths.parse(path)
            znode = self._tree.look(path)
            if isinstance(at, BuildAt | UploadAt) and znode is not None and znode.data:
                yield reading(path, at, znode.data)


def _record(written: Written, at: object, data: bytes | None) -> Build | Upload | None:
    if not data or not isinstance(at, BuildAt | UploadAt):
        return None
    found = reading(written.path, at, data)
    return found if isinstance(found, Build | Upload) else None
