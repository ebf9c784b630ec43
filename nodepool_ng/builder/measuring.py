"""What a builder counts: builds and uploads when they end, and what it is doing when somebody looks."""

from nodepool_ng.builder.board import Board
from nodepool_ng.builder.outcome import Built, NotBuilt, NotUploaded, Outcome, Uploaded
from nodepool_ng.builder.world import World
from nodepool_ng.model import image_action as do
from nodepool_ng.model.image_action import ImageAction
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.telemetry import events
from nodepool_ng.telemetry.meter import Meter


class Measures:
    """Turns outcomes and states into numbers. Used on the reconciler's thread; telling never waits."""

    def __init__(self, meter: Meter, board: Board) -> None:
        self._meter = meter
        self._board = board

    def ended(self, world: World, action: ImageAction, outcome: Outcome) -> None:
        if isinstance(action, do.UploadBuild):
            self._board.uploaded(action.to)
        match action, outcome:
            case do.BuildImage(image=image), (Built(result=result) | NotBuilt(result=result)) if result is not None:
                sizes = {file.format: file.size for file in result.files} if result.succeeded else {}
                code = 0 if result.succeeded else 1 if result.timed_out else result.returncode or 1
                self._meter.tell(events.built(image, code, result.duration, world.now, sizes))
            case do.UploadBuild(to=to), Uploaded(seconds):
                self._meter.tell(events.uploaded(to.image, to.provider, seconds))
            case do.UploadBuild(to=to), NotUploaded():
                self._meter.tell(events.upload_failed(to.image, to.provider))
            case _:
                pass

    def look(self, world: World) -> None:
        """Tell what the builder is doing, zeros too: a gauge that is not sent keeps its value."""
        settings, picture = world.settings, world.picture
        locked = {at.image for at, entry in picture.builds.items() if entry.record.state is ImageState.BUILDING}
        images = {*settings.diskimages, *picture.images}
        pending = {str(name): name in picture.build_requests and name not in locked for name in sorted(images)}
        self._meter.tell(events.build_requests(pending))
        builds = {
            str(name): _doing(name in world.running, events.BUILDING, configured.pause or name in picture.paused)
            for name, configured in settings.diskimages.items()
        }
        sending = {(to.image, to.provider) for to in world.sending}
        uploads = {
            (str(image), str(provider.name)): _doing((image, provider.name) in sending, events.UPLOADING, one.pause)
            for provider in settings.providers.values()
            for image, one in provider.images.items()
        }
        self._meter.tell(
            events.builder(
                world.hostname,
                builds,
                uploads,
                build_workers=world.build_workers,
                upload_workers=world.upload_workers,
            )
        )


def _doing(busy: bool, what: int, paused: bool) -> int:
    return what if busy else events.PAUSED if paused else events.IDLE
