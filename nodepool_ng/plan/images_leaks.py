"""Images in the clouds that bear our marks and that no record stands for: what a crash left behind.

What another installation, Nodepool 11 or a person put there is not looked at.
"""

from nodepool_ng.model.ids import ProviderName, Seconds
from nodepool_ng.model.image_action import BuildKey, DeleteImage, ListImages, UploadKey
from nodepool_ng.model.image_snapshot import CloudImage, CloudImages, ImageSnapshot
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.plan.image_agenda import Agenda

LIST_EVERY: Seconds = 300.0
LOOK_TWICE: Seconds = 10.0
"""When an image without a record is looked for again."""
SWEEP_MAX_COUNT = 5
SWEEP_MAX_SHARE = 0.1
"""A sweep that would delete more than both stops."""


def plan_leaks(s: ImageSnapshot, agenda: Agenda) -> dict[ProviderName, str]:
    """Add lists of images that are due and deletions of leaked ones; return a sentence for each provider where a
    sweep was stopped because it would take too many."""
    alarms = {}
    for provider in s.settings.providers.values():
        if not provider.images and not any(key.provider == provider.name for key in s.uploads):
            continue
        known = s.clouds.get(provider.name)
        _list(s, agenda, provider.name, known)
        if known is None:
            continue
        leaks = [image for image in known.ours if _orphan(s, provider.name, image) and image.first_seen < known.listed]
        many = len(leaks) > SWEEP_MAX_COUNT and len(leaks) > SWEEP_MAX_SHARE * known.count
        if many and not known.confirmed:
            alarms[provider.name] = (
                f"{len(leaks)} of {known.count} images would be deleted as leaks; "
                f"nothing is deleted until `nodepool confirm {provider.name}` says so"
            )
            continue
        for image in leaks:
            why = Reason(code=Code.NO_RECORD, provider=provider.name)
            agenda.add(DeleteImage(provider=provider.name, image=image.id, why=why))
    return alarms


def _list(s: ImageSnapshot, agenda: Agenda, provider: ProviderName, known: CloudImages | None) -> None:
    why = Reason(code=Code.DUE, provider=provider)
    if known is None or provider in s.stale_clouds:
        agenda.add(ListImages(provider=provider, why=why))
        return
    suspects = any(_orphan(s, provider, image) for image in known.ours)
    if agenda.due(known.listed + (LOOK_TWICE if suspects else LIST_EVERY)):
        agenda.add(ListImages(provider=provider, why=why))


def _orphan(s: ImageSnapshot, provider: ProviderName, image: CloudImage) -> bool:
    """Tell whether no record stands for an image. One that cannot be read may."""
    return not any(_same(key, provider, image) for key in (*s.uploads, *s.unreadable))


def _same(key: object, provider: ProviderName, image: CloudImage) -> bool:
    if isinstance(key, UploadKey):
        return (key.provider, key.build, key.id) == (provider, image.build, image.upload)
    return isinstance(key, BuildKey) and key.build == image.build
