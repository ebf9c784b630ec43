"""One line in the log for each thing done, and one when what keeps a build or upload waiting changes."""

import logging

from nodepool_ng.builder.outcome import DiskSeen, Done, Failed, ImagesSeen, Outcome
from nodepool_ng.model import image_action as do
from nodepool_ng.model.image_action import image_subjects
from nodepool_ng.model.reason import Code, Reason, sentence
from nodepool_ng.plan.images import ImagePlan

_log = logging.getLogger("nodepool.builder")

_QUIET = (do.LookAtDisk, do.ListImages, do.ClaimFiles, do.HoldOn, do.LetGo)
_SILENT = frozenset({Code.NOT_DUE, Code.NOT_OURS, Code.IMAGE_LOCKED, Code.BUSY, Code.NOT_SEEN_YET})


def tell(action: do.ImageAction) -> None:
    """Log what is about to be done and why; looks only when debugging."""
    level = logging.DEBUG if isinstance(action, _QUIET) else logging.INFO
    if _log.isEnabledFor(level):
        _log.log(level, "%s: %s", _what(action), sentence(action.why))


def tell_failure(action: do.ImageAction, outcome: Outcome) -> None:
    match outcome:
        case Failed(why):
            _log.warning("%s failed: %s", _what(action), why)
        case Done() | DiskSeen() | ImagesSeen():
            pass
        case _:
            _log.debug("%s: %s", _what(action), outcome)


class Waits:
    """Remembers what was told already, so that each fact is told once."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[Code, str]] = {}
        self._alarms: dict[str, str] = {}

    def tell(self, plan: ImagePlan) -> None:
        """Log what waits and why, where that changed since the last plan."""
        now = {f"Build of {image}": why for image, why in plan.builds.items()}
        now |= {f"Upload of {to}": why for to, why in plan.uploads.items()}
        told = {}
        for what, why in now.items():
            if why.code in _SILENT:
                continue
            told[what] = _fact(why)
            if self._told.get(what) != told[what]:
                _log.info("%s waits: %s", what, sentence(why))
        self._told = told
        alarms = {str(provider): alarm for provider, alarm in plan.alarms.items()}
        for provider, alarm in alarms.items():
            if self._alarms.get(provider) != alarm:
                _log.error("Provider %s: %s", provider, alarm)
        self._alarms = alarms


def _fact(why: Reason) -> tuple[Code, str]:
    """A countdown is the same fact as a second ago."""
    return why.code, f"{why.used}/{why.detail}"


def _what(action: do.ImageAction) -> str:
    match action:
        case do.BuildImage():
            return f"Building {action.image} as {', '.join(sorted(action.formats))}"
        case do.UploadBuild():
            return f"Uploading {action.to}"
        case do.RetireBuild():
            return f"Deleting build {action.build}"
        case do.EraseBuild():
            return f"Erasing the record of build {action.build}"
        case do.RetireUpload():
            return f"Deleting upload {action.upload}"
        case do.RemoveUpload():
            return f"Removing upload {action.upload} from its cloud"
        case do.RemoveFiles():
            return f"Removing {action.format or 'all'} files of {action.build}"
        case do.DeleteImage():
            return f"Deleting leaked image {action.image} in {action.provider}"
        case do.Cancel():
            return f"Cancelling {action.order}" if action.of else f"Taking away the order to cancel {action.order}"
        case do.SweepEmpty():
            return f"Sweeping {action.path}"
        case _:
            return f"{type(action).__name__} {image_subjects(action)[0][1]}"
