"""What operators want to end: builds and uploads, each named by its key, so that an order never meets a later one."""

from nodepool_ng.model.image_action import Cancel, Destination, upload_subject
from nodepool_ng.model.image_snapshot import ImageSnapshot
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.plan.image_agenda import Agenda


def plan_cancels(s: ImageSnapshot, agenda: Agenda) -> None:
    """Add the end of what is ours. An order about something that nobody is making any more is taken away by whoever
    sees it first; one about another builder's work is left to that builder."""
    for order in sorted(s.cancels):
        ours = next((key for key in s.running.values() if str(key) == order), None) or _upload(s, order)
        if ours is not None:
            agenda.add(Cancel(order=order, of=ours, why=Reason(code=Code.ORDERED)))
        elif not _under_way(s, order):
            agenda.add(Cancel(order=order, of=None, why=Reason(code=Code.NOT_NEEDED)))


def _upload(s: ImageSnapshot, order: str) -> Destination | None:
    for key, upload in s.uploads.items():
        to = Destination(key.image, key.build, key.provider)
        if str(to) == order and upload.state is ImageState.UPLOADING and upload_subject(to) in s.in_flight:
            return to
    return None


def _under_way(s: ImageSnapshot, order: str) -> bool:
    """Tell whether somebody is at it. A record without a lock is what a builder left that died: nobody would ever carry
    the order out, and what is left goes by itself."""
    building = (
        key for key, build in s.builds.items() if build.state is ImageState.BUILDING and key.image in s.build_locks
    )
    uploading = (
        to
        for key, upload in s.uploads.items()
        if upload.state is ImageState.UPLOADING
        and (to := Destination(key.image, key.build, key.provider)) in s.upload_locks
    )
    return any(str(one) == order for one in (*building, *uploading))
