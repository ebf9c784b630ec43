"""How each action is carried out: one function for one action, a generator of steps.

What an effect needs to know it takes from the world when it starts, and again under a lock: two znodes are never
read at one instant. Every transaction that rests on a lock contains a check of our own contender (or its deletion,
which fails just the same when it is gone), so that a launcher whose session has ended changes nothing.
"""

from nodepool_ng.launcher.effects.backing import (
    ask_for_backing,
    release_backing,
    spoil_backing,
    take_backing,
    take_slot,
    unlock_backing,
    withdraw_backing,
)
from nodepool_ng.launcher.effects.canaries import check_canary, judge_upload
from nodepool_ng.launcher.effects.hosts import look_at_host, register_nodes, renew_node
from nodepool_ng.launcher.effects.looks import forget_confirmation, list_servers, read_capacity, sweep_network
from nodepool_ng.launcher.effects.nodes import (
    adopt_node,
    erase_node,
    free_node,
    record_ready,
    retire_node,
    retry_node,
    sweep_ghost,
    unlock,
)
from nodepool_ng.launcher.effects.requests import (
    adopt_request,
    claim,
    complete_request,
    decline,
    fulfil,
    hand_out,
    launch_nodes,
    release,
    sweep_locks,
)
from nodepool_ng.launcher.effects.servers import (
    advance_server,
    attach_address,
    create_server,
    delete_server,
    keep_console,
    scan_host_keys,
)
from nodepool_ng.launcher.outcome import Outcome
from nodepool_ng.launcher.world import World
from nodepool_ng.model import action as do
from nodepool_ng.model import backing_action as cutting
from nodepool_ng.shell.effect import Effect


def effect_of(world: World, action: do.Action) -> Effect[Outcome]:
    """Return the effect that carries out an action."""
    match action:
        case do.HandOut():
            return hand_out(world, action)
        case do.Claim():
            return claim(world, action)
        case do.LaunchNodes():
            return launch_nodes(world, action)
        case do.AdoptNode():
            return adopt_node(world, action)
        case do.AdoptRequest():
            return adopt_request(world, action)
        case do.CreateServer():
            return create_server(world, action)
        case do.AdvanceServer():
            return advance_server(world, action)
        case do.AttachAddress():
            return attach_address(world, action)
        case do.KeepConsole():
            return keep_console(world, action)
        case do.ScanHostKeys():
            return scan_host_keys(world, action)
        case do.RecordReady():
            return record_ready(world, action)
        case do.Fulfil():
            return fulfil(world, action)
        case do.RetryNode():
            return retry_node(world, action)
        case do.Release():
            return release(world, action)
        case do.CompleteRequest():
            return complete_request(world, action)
        case do.Decline():
            return decline(world, action)
        case do.Unlock():
            return unlock(world, action)
        case do.FreeNode():
            return free_node(world, action)
        case do.RetireNode():
            return retire_node(world, action)
        case do.DeleteServer():
            return delete_server(world, action)
        case do.EraseNode():
            return erase_node(world, action)
        case do.SweepGhost():
            return sweep_ghost(world, action)
        case do.SweepNetwork():
            return sweep_network(world, action)
        case do.ForgetConfirmation():
            return forget_confirmation(world, action)
        case do.SweepLocks():
            return sweep_locks(world, action)
        case do.LookAtHost():
            return look_at_host(world, action)
        case do.RegisterNodes():
            return register_nodes(world, action)
        case do.RenewNode():
            return renew_node(world, action)
        case cutting.AskForBacking():
            return ask_for_backing(world, action)
        case cutting.WithdrawBacking():
            return withdraw_backing(world, action)
        case cutting.TakeBacking():
            return take_backing(world, action)
        case cutting.TakeSlot():
            return take_slot(world, action)
        case cutting.SpoilBacking():
            return spoil_backing(world, action)
        case cutting.ReleaseBacking():
            return release_backing(world, action)
        case cutting.UnlockBacking():
            return unlock_backing(world, action)
        case do.ListServers():
            return list_servers(world, action)
        case do.ReadCapacity():
            return read_capacity(world, action)
        case do.CheckCanary():
            return check_canary(world, action)
        case do.JudgeUpload():
            return judge_upload(world, action)
