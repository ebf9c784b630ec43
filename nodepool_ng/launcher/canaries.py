"""What a launcher knows of uploads that are at the gate, and of the canaries that are to prove them."""

from collections.abc import Iterable

from nodepool_ng.model.gate import in_service, waits_at_gate
from nodepool_ng.model.ids import ImageName, NodeId, ProviderName
from nodepool_ng.model.image import Upload
from nodepool_ng.model.snapshot import Checked
from nodepool_ng.zk import paths

MOST_CONSOLE = 64 * 1024
"""Characters of a console that are kept: its end, where a boot that fails tells why."""

_Where = tuple[ImageName, ProviderName]


class Canaries:
    def __init__(self) -> None:
        self.at_gate: dict[_Where, str] = {}
        self.checked: dict[NodeId, Checked] = {}
        self.consoles: dict[NodeId, str] = {}

    def sorted_out(self, uploads: Iterable[Upload]) -> dict[_Where, Upload]:
        """Take in all uploads; return, for each image and provider, the one to boot from: of those in service the one
        that became ready last."""
        newest: dict[_Where, Upload] = {}
        waiting: dict[_Where, Upload] = {}
        for upload in uploads:
            found = newest if in_service(upload) else waiting if waits_at_gate(upload) else None
            key = (upload.image, upload.provider)
            if found is not None and (key not in found or upload.state_time > found[key].state_time):
                found[key] = upload
        self.at_gate = {key: paths.upload(one.image, one.build, one.provider, one.id) for key, one in waiting.items()}
        return newest

    def came_up_short(self, node: NodeId, console: str) -> None:
        """The console of a canary that did not come up was read."""
        self.consoles[node] = console[-MOST_CONSOLE:]

    def gone(self, node: NodeId) -> None:
        self.checked.pop(node, None)
        self.consoles.pop(node, None)
