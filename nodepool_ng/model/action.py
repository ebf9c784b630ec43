"""What the launcher may do: few, named, each with the reason why.

An action says what; `launcher.effects` knows how. `subjects` names everything that the action touches: while it is
in flight nothing else is started on any of them. `takes` is what it will use up once it has succeeded and is not
yet visible in a node record.
"""

from dataclasses import dataclass
from typing import TypeAlias

from nodepool_ng.model.backing_action import (
    AskForBacking,
    ReleaseBacking,
    SpoilBacking,
    TakeBacking,
    TakeSlot,
    UnlockBacking,
    WithdrawBacking,
)
from nodepool_ng.model.gate import Gate
from nodepool_ng.model.hosts import Knock
from nodepool_ng.model.ids import (
    LabelName,
    NodeId,
    PoolId,
    PoolName,
    ProviderName,
    RequestId,
    ServerId,
    Timestamp,
)
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.quota import NONE, Resources
from nodepool_ng.model.reason import Reason
from nodepool_ng.model.settings import HostKey, StaticHost

Subject: TypeAlias = tuple[str, str]
"""A kind (`node`, `request`, `server`, `list`, …) and an identifier within it."""


def node_subject(node: NodeId) -> Subject:
    return "node", node


def request_subject(request: RequestId) -> Subject:
    return "request", request


def warm_subject(provider: ProviderName, pool: PoolName, label: LabelName) -> Subject:
    return "warm", f"{provider}/{pool}/{label}"


def host_subject(provider: ProviderName, host: HostKey) -> Subject:
    return "host", f"{provider}/{host[1]}@{host[0]}:{host[2]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One node to be launched."""

    label: LabelName
    zone: str | None
    needs: Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOut:
    """Give ready nodes to a request: `nodes` in the order of the request's labels."""

    request: RequestId
    provider: ProviderName
    pool: PoolName
    nodes: tuple[NodeId, ...]
    knocks: tuple[Knock, ...] = ()
    """Machines that have to answer first."""
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Take a request for a pool that has room for all of it: some nodes are ready, the others are launched."""

    request: RequestId
    provider: ProviderName
    pool: PoolName
    nodes: tuple[NodeId, ...]
    launches: tuple[Launch, ...]
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchNodes:
    """Launch nodes for a request that is claimed already, or (no request) for the warm pool, or (`canary`) to prove an
    upload, which is named by its path."""

    request: RequestId | None
    provider: ProviderName
    pool: PoolName
    launches: tuple[Launch, ...]
    why: Reason
    canary: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckCanary:
    """Run the image's own check on a canary that is up. `timeout` is in seconds."""

    node: NodeId
    server: ServerId
    host_keys: tuple[str, ...]
    command: str
    timeout: float
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeUpload:
    """Write down what an upload's canary has shown."""

    node: NodeId
    upload: str
    gate: Gate
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptNode:
    """Lock a half-built node whose launcher is gone, to go on with it."""

    node: NodeId
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptRequest:
    """Lock a pending request whose launcher is gone, to go on with it."""

    request: RequestId
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateServer:
    """Ask the cloud for the server of a node that is building and ours."""

    node: NodeId
    provider: ProviderName
    pool: PoolName
    label: LabelName
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvanceServer:
    """Take the further steps that a server needs whose cloud waits for us."""

    node: NodeId
    provider: ProviderName
    pool: PoolName
    label: LabelName
    server: ServerId
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachAddress:
    """Give a server that nobody outside can reach a floating IP."""

    node: NodeId
    provider: ProviderName
    server: ServerId
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepConsole:
    """Put what a server printed on its console into the log, before the server is deleted."""

    node: NodeId
    provider: ProviderName
    server: ServerId
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanHostKeys:
    """Find out the host keys of a server that is active."""

    node: NodeId
    address: str
    port: int
    ssh: bool
    deadline: Timestamp
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordReady:
    """Write down that a node is up. One without a request is unlocked by the same transaction."""

    node: NodeId
    server: ServerId
    host_keys: tuple[str, ...]
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """A node of a request that is up but not yet written down as ready."""

    node: NodeId
    server: ServerId
    host_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fulfil:
    """Hand over a claimed request, all of whose nodes are up. `booted` are those still recorded as building."""

    request: RequestId
    nodes: tuple[NodeId, ...]
    booted: tuple[Booted, ...]
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryNode:
    """Begin a fresh attempt under the same node; what the old one made is a duplicate from then on."""

    node: NodeId
    counted: bool
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Put a claimed request back: its nodes become spares, it waits again for everybody."""

    request: RequestId
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteRequest:
    """Write a waiting request with all the keys that Zuul needs to read it."""

    request: RequestId
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Decline:
    """Write into a request that `pools` cannot serve it; with `fail` these were the last ones."""

    request: RequestId
    pools: tuple[PoolId, ...]
    fail: bool
    because: tuple[Reason, ...]
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlock:
    """Give back a lock that we hold without a use for it."""

    node: NodeId | None = None
    request: RequestId | None = None
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeNode:
    """Make a ready node nobody's again, if its request is still gone when looked at under the lock."""

    node: NodeId
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireNode:
    """Commit to deleting a node. `expect` is the state it must still have under the lock."""

    node: NodeId
    expect: NodeState
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteServer:
    """Ask the cloud for the end of a server of ours."""

    provider: ProviderName
    server: ServerId
    node: NodeId | None
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseNode:
    """Remove the record of a node whose server is gone."""

    node: NodeId
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepGhost:
    """Remove a node znode that has no data."""

    node: NodeId
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepLocks:
    """Remove the lock directories of requests that have been gone for long."""

    requests: tuple[RequestId, ...]
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepNetwork:
    """Delete what servers of ours left behind in a provider: in its network, and of the volumes that were to go with
    them."""

    provider: ProviderName
    ports: bool
    floating_ips: bool
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAtHost:
    """Find out where a machine of a static pool is, and what host keys it has."""

    provider: ProviderName
    pool: PoolName
    host: StaticHost
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetConfirmation:
    """Take an operator's permission for a large sweep away once it has been used."""

    provider: ProviderName
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterNodes:
    """Write down a ready node for each of some slots of a machine that was looked at just now."""

    provider: ProviderName
    pool: PoolName
    host: StaticHost
    slots: tuple[int, ...]
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewNode:
    """Bring the record of a free static node up to what configuration and machine say now; it keeps its id."""

    node: NodeId
    host: StaticHost
    slot: int
    host_keys: tuple[str, ...]
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ListServers:
    """Look at a provider's servers: at all of them, or at what changed since an instant."""

    provider: ProviderName
    since: Timestamp | None
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCapacity:
    """Read a provider's limits, zones, and what its labels need."""

    provider: ProviderName
    why: Reason


Action: TypeAlias = (
    HandOut
    | Claim
    | LaunchNodes
    | AdoptNode
    | AdoptRequest
    | CreateServer
    | AdvanceServer
    | AttachAddress
    | KeepConsole
    | ScanHostKeys
    | RecordReady
    | Fulfil
    | RetryNode
    | Release
    | CompleteRequest
    | Decline
    | Unlock
    | FreeNode
    | RetireNode
    | DeleteServer
    | EraseNode
    | SweepGhost
    | SweepLocks
    | SweepNetwork
    | ForgetConfirmation
    | LookAtHost
    | RegisterNodes
    | RenewNode
    | AskForBacking
    | WithdrawBacking
    | TakeBacking
    | TakeSlot
    | SpoilBacking
    | ReleaseBacking
    | UnlockBacking
    | ListServers
    | ReadCapacity
    | CheckCanary
    | JudgeUpload
)


_ONE_OF_MANY = (CreateServer, AdvanceServer, DeleteServer, AttachAddress, KeepConsole)
_ASKS_CLOUDS = (*_ONE_OF_MANY, SweepNetwork, ListServers, ReadCapacity)


def cloud_of(action: object) -> ProviderName | None:
    """Return the provider whose cloud the action asks, None where it asks none."""
    return action.provider if isinstance(action, _ASKS_CLOUDS) else None


def waits_its_turn(action: object) -> bool:
    """Tell whether the action's call is one of many, which are made at the pace that a cloud allows. Looks are few, and
    everything else depends on them."""
    return isinstance(action, _ONE_OF_MANY)


def subjects(action: Action) -> tuple[Subject, ...]:
    """Return everything that the action touches."""
    match action:
        case HandOut() | Claim():
            return (request_subject(action.request), *map(node_subject, action.nodes))
        case Fulfil():
            return (request_subject(action.request), *map(node_subject, action.nodes))
        case LaunchNodes(request=None):
            return (warm_subject(action.provider, action.pool, action.launches[0].label),)
        case LaunchNodes(request=request) if request is not None:
            return (request_subject(request),)
        case AdoptRequest() | Release() | Decline() | CompleteRequest():
            return (request_subject(action.request),)
        case Unlock(node=node) if node is not None:
            return (node_subject(node),)
        case Unlock(request=request) if request is not None:
            return (request_subject(request),)
        case DeleteServer():
            return (("server", f"{action.provider}/{action.server}"),)
        case SweepNetwork():
            return (("network", action.provider),)
        case ForgetConfirmation():
            return (("confirmation", action.provider),)
        case SweepLocks():
            return (("sweep", "request-locks"),)
        case LookAtHost() | RegisterNodes():
            return (host_subject(action.provider, action.host.key),)
        case AskForBacking():
            return (("backing", f"{action.provider}/{action.label}"),)
        case WithdrawBacking():
            return (request_subject(action.request),)
        case TakeBacking():
            return (request_subject(action.request), node_subject(action.node))
        case TakeSlot():
            return (node_subject(action.node), ("slot", f"{action.backing}/{action.slot}"))
        case ListServers():
            return (("list", action.provider),)
        case ReadCapacity():
            return (("capacity", action.provider),)
        case ScanHostKeys():
            return (("scan", action.node),)
        case (
            AdoptNode()
            | CreateServer()
            | AdvanceServer()
            | AttachAddress()
            | KeepConsole()
            | RecordReady()
            | RetryNode()
            | FreeNode()
            | RetireNode()
            | EraseNode()
            | SweepGhost()
            | RenewNode()
            | SpoilBacking()
            | ReleaseBacking()
            | UnlockBacking()
            | CheckCanary()
            | JudgeUpload()
        ):
            return (node_subject(action.node),)
        case _:
            raise TypeError(f"{action!r} names nothing that it acts on")


def launches(action: Action) -> tuple[Launch, ...]:
    """Return the nodes that the action will add."""
    match action:
        case Claim() | LaunchNodes():
            return action.launches
        case _:
            return ()


def takes(action: Action) -> Resources:
    """Return what the action will use up in its provider and pool."""
    parts = launches(action)
    if not parts:
        return NONE
    amounts = parts[0].needs
    for part in parts[1:]:
        amounts = amounts + part.needs
    return amounts
