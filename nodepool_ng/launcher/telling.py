"""One line in the log for each thing done, with the ids that operators search for."""

import logging

from nodepool_ng.launcher.world import World
from nodepool_ng.model import action as do
from nodepool_ng.model import backing_action as cutting
from nodepool_ng.model.ids import NodeId, ProviderName, RequestId
from nodepool_ng.model.reason import sentence

_log = logging.getLogger("nodepool.launcher")

_QUIET = (do.ListServers, do.ReadCapacity, do.SweepNetwork, do.LookAtHost)


def tell(world: World, action: do.Action) -> None:
    """Log what is about to be done and why; looks at clouds only when debugging."""
    if isinstance(action, _QUIET):
        _log.debug("%s %s", type(action).__name__, action.provider)
        return
    if _log.isEnabledFor(logging.INFO):
        _log.info("%s%s: %s", _ids(world, action), what(action), sentence(action.why))


def tell_alarm(provider: ProviderName, alarm: str) -> None:
    _log.error("Provider %s: %s", provider, alarm)


def tell_trouble(provider: ProviderName, error: str | None) -> None:
    if error is None:
        _log.info("Provider %s answers", provider)
    else:
        _log.warning("Provider %s cannot be used at the moment: %s", provider, error)


def _ids(world: World, action: do.Action) -> str:
    """Return the prefix by which lines about one request, node or event are found."""
    request_id: RequestId | None = getattr(action, "request", None) or action.why.request
    node_id: NodeId | None = getattr(action, "node", None)
    request = world.picture.requests.get(request_id) if request_id else None
    parts = []
    if request is not None and request.record.event_id:
        parts.append(f"[e: {request.record.event_id}] ")
    if request_id is not None:
        parts.append(f"[node_request: {request_id}] ")
    if node_id is not None:
        parts.append(f"[node: {node_id}] ")
    return "".join(parts)


def names_of(action: do.Action) -> list[tuple[str, str]]:
    """Return the nodes and the request that an action is about, by kind and id."""
    one = getattr(action, "node", None)
    named = [str(one)] if one else []
    named += [node for node in getattr(action, "nodes", ()) if isinstance(node, str)]
    found = [("node", name) for name in dict.fromkeys(named)]
    request = getattr(action, "request", None) or action.why.request
    return [*found, ("request", request)] if request else found


def what(action: do.Action) -> str:
    """Return what is done, in words."""
    match action:
        case do.HandOut():
            return f"Handing out {', '.join(action.nodes)} from {action.provider}/{action.pool}"
        case do.Claim():
            return f"Claimed for {action.provider}/{action.pool}, launching {len(action.launches)}"
        case do.LaunchNodes():
            return f"Launching {len(action.launches)} in {action.provider}/{action.pool}"
        case do.CreateServer():
            return f"Creating its server in {action.provider}/{action.pool}"
        case do.Fulfil():
            return f"Fulfilled with {', '.join(action.nodes)}"
        case do.DeleteServer():
            return f"Deleting server {action.server} in {action.provider}"
        case do.RegisterNodes():
            return f"Registering {len(action.slots)} of {action.host.name} in {action.provider}/{action.pool}"
        case do.Decline():
            return "Failing the request" if action.fail else "Declining the request"
        case _:
            return _PHRASES[type(action)]


_PHRASES: dict[type[do.Action], str] = {
    do.AdoptNode: "Adopting the node",
    do.AdoptRequest: "Adopting the request",
    do.ScanHostKeys: "Reading its host keys",
    do.RecordReady: "Ready",
    do.RetryNode: "Trying again",
    do.CompleteRequest: "Completing the request",
    do.Release: "Putting the request back",
    do.Unlock: "Giving back a lock",
    do.FreeNode: "Freeing the node",
    do.RetireNode: "Deleting the node",
    do.EraseNode: "Erasing the record",
    do.SweepGhost: "Sweeping an empty record",
    do.AdvanceServer: "Taking the next step with the server",
    do.AttachAddress: "Giving the server a floating IP",
    do.KeepConsole: "Reading the console",
    do.SweepNetwork: "Sweeping the network",
    do.ForgetConfirmation: "Forgetting the permission for a large sweep",
    do.SweepLocks: "Removing locks of requests that are gone",
    do.LookAtHost: "Looking at a machine",
    do.RenewNode: "Renewing the record",
    cutting.AskForBacking: "Requesting nodes to be cut into slots",
    cutting.WithdrawBacking: "Taking back the request for a node to be cut",
    cutting.TakeBacking: "Cutting the node into slots",
    cutting.TakeSlot: "Taking a slot",
    cutting.SpoilBacking: "Giving it no new slots",
    cutting.ReleaseBacking: "Letting go of the backing node",
    cutting.UnlockBacking: "Removing a lasting lock",
    do.ListServers: "Listing servers",
    do.ReadCapacity: "Reading capacity",
    do.CheckCanary: "Running the image's check",
    do.JudgeUpload: "Judging the image",
}
