"""How each of a builder's actions is carried out: one function for one action, a generator of steps.

What an effect needs to know it takes from the world when it starts, and again under a lock. Every transaction that
rests on a lock contains a check of our own contender (or its deletion, which fails just the same when it is gone), so
that a builder whose session has ended publishes nothing.
"""

from nodepool_ng.builder.effects.building import build_image
from nodepool_ng.builder.effects.cancelling import cancel
from nodepool_ng.builder.effects.looking import hold_on, let_go, list_images, look_at_disk
from nodepool_ng.builder.effects.removing import (
    claim_files,
    delete_image,
    erase_build,
    remove_files,
    remove_upload,
    retire_build,
    retire_upload,
    sweep_empty,
)
from nodepool_ng.builder.effects.uploading import upload_build
from nodepool_ng.builder.outcome import Outcome
from nodepool_ng.builder.world import World
from nodepool_ng.model import image_action as do
from nodepool_ng.shell.effect import Effect


def effect_of(world: World, action: do.ImageAction) -> Effect[Outcome]:
    """Return the effect that carries out an action."""
    match action:
        case do.BuildImage():
            return build_image(world, action)
        case do.UploadBuild():
            return upload_build(world, action)
        case do.HoldOn():
            return hold_on(world, action)
        case do.LetGo():
            return let_go(world, action)
        case do.RetireBuild():
            return retire_build(world, action)
        case do.EraseBuild():
            return erase_build(world, action)
        case do.RetireUpload():
            return retire_upload(world, action)
        case do.RemoveUpload():
            return remove_upload(world, action)
        case do.RemoveFiles():
            return remove_files(world, action)
        case do.ClaimFiles():
            return claim_files(world, action)
        case do.LookAtDisk():
            return look_at_disk(world, action)
        case do.ListImages():
            return list_images(world, action)
        case do.DeleteImage():
            return delete_image(world, action)
        case do.SweepEmpty():
            return sweep_empty(world, action)
        case do.Cancel():
            return cancel(world, action)
