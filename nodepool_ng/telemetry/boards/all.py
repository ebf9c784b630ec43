"""The dashboards that are shipped."""

from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.telemetry import metrics as m
from nodepool_ng.telemetry.boards.board import Board, Choice, Panel
from nodepool_ng.telemetry.boards.query import Query, called, level, rate, took, total

ERRORS = "error.*"
_USUAL = (NodeState.BUILDING, NodeState.READY, NodeState.IN_USE, NodeState.USED, NodeState.HOLD, NodeState.DELETING)

OVERVIEW = Board(
    "overview",
    "overview",
    [
        *(Panel(state.value, [level(m.NODES, None, state=state)], stat=True) for state in _USUAL),
        Panel("Nodes by state", [level(m.NODES, "state")], stack=True),
        Panel("Nodes in use, by provider", [level(m.PROVIDER_NODES, "provider", state="in-use")], stack=True),
        Panel("Ready nodes, by label", [level(m.LABEL_NODES, "label", state="ready")]),
        Panel("Nodes in use, by label", [level(m.LABEL_NODES, "label", state="in-use")], stack=True),
        Panel("Open requests", [level(m.REQUESTS, "state", state="{requested,pending}")], stack=True),
        Panel("Oldest open request", [level(m.OLDEST_REQUEST)], "s"),
        Panel("Launches that succeeded, by provider, a minute", [rate(m.LAUNCH_PROVIDER, "provider", result="ready")]),
        Panel("Launches that failed, by provider, a minute", [rate(m.LAUNCH_PROVIDER, "provider", result=ERRORS)]),
        Panel("Time to ready, by provider", [took(m.LAUNCH_PROVIDER, "provider", result="ready")], "s"),
        Panel("Launchers, pools, builders", [level(m.COMPONENTS, "kind")]),
    ],
)

_HERE = {"provider": "$provider"}
_COMPUTE = ("compute.POST.servers", "compute.GET.servers_detail", "compute.DELETE.server", "compute.GET.limits")
_NETWORK = ("network.GET.networks", "network.GET.ports", "network.GET.floatingips", "network.POST.floatingips")


def _against_quota(resource: str) -> list[Query]:
    """Ask what we use of a provider, what others use, and how much there is."""
    names = {"ours": m.PROVIDER_USAGE, "others": m.PROVIDER_FOREIGN, "quota": m.PROVIDER_LIMIT}
    return [called(level(metric, None, resource=resource, **_HERE), name) for name, metric in names.items()]


PROVIDER = Board(
    "provider",
    "provider",
    [
        *(Panel(state.value, [level(m.PROVIDER_NODES, None, state=state, **_HERE)], stat=True) for state in _USUAL),
        Panel("Nodes by state", [level(m.PROVIDER_NODES, "state", **_HERE)], stack=True),
        Panel(
            "Servers: ours, others', quota",
            [
                *_against_quota("instances"),
                called(level(m.MAX_SERVERS, None, **_HERE), "max-servers"),
            ],
        ),
        Panel(
            "Cores: ours, others', quota",
            _against_quota("cores"),
        ),
        Panel(
            "Servers by pool, and the pools' limits",
            [
                level(m.POOL_USAGE, "pool", resource="instances", **_HERE),
                level(m.POOL_LIMIT, "pool", resource="instances", **_HERE),
            ],
        ),
        Panel("Requests that a pool could serve", [level(m.ADDRESSABLE_REQUESTS, "pool", **_HERE)]),
        Panel(
            "Launches a minute",
            [
                rate(m.LAUNCH_PROVIDER, None, result="ready", **_HERE),
                rate(m.LAUNCH_PROVIDER, None, result=ERRORS, **_HERE),
            ],
        ),
        Panel("Time to ready", [took(m.LAUNCH_PROVIDER, "provider", result="ready", **_HERE)], "s"),
        Panel("Time to ready, by zone", [took(m.LAUNCH_AZ, "az", result="ready", **_HERE)], "s"),
        *(Panel(task, [took(m.API_CALL, "status", task=task, **_HERE)], "s") for task in (*_COMPUTE, *_NETWORK)),
        Panel("Calls without an answer, a minute", [rate(m.API_FAILED, "provider", **_HERE)]),
        Panel("Age of the last list", [level(m.PROVIDER_LIST_AGE, "provider", **_HERE)], "s"),
        Panel("Leaked resources removed, a minute", [rate(m.LEAKED, "resource", **_HERE)]),
        Panel(
            "Usable; sweep stopped",
            [
                called(level(m.PROVIDER_UP, None, **_HERE), "usable"),
                called(level(m.PROVIDER_ALARM, None, **_HERE), "sweep stopped"),
            ],
        ),
    ],
    [Choice("provider", m.PROVIDER_NODES, "provider")],
)

_THIS = {"image": "$image"}
IMAGE = Board(
    "image",
    "image",
    [
        Panel("Exit code of the last build", [level(m.DIB_RC, None, **_THIS)], stat=True),
        Panel("Builds failed since the last good one", [level(m.IMAGE_FAILURES, None, **_THIS)], stat=True),
        Panel("Builds asked for by hand", [level(m.IMAGE_BUILD_REQUESTS, None, **_THIS)], stat=True),
        Panel("Duration of builds", [took(m.DIB_DURATION, "image", **_THIS)], "s"),
        Panel("Size on disk, by format", [level(m.DIB_SIZE, "format", **_THIS)], "bytes"),
        Panel("Last build ended", [level(m.DIB_LAST_BUILD, "image", **_THIS)], "s"),
        Panel("Age in each provider", [level(m.IMAGE_AGE, "provider", **_THIS)], "s"),
        Panel("Duration of uploads", [took(m.IMAGE_UPDATE, "provider", **_THIS)], "s"),
        Panel("Uploads that failed, a minute", [rate(m.IMAGE_UPDATE_FAILED, "provider", **_THIS)]),
        Panel("Launches of it that failed, a minute", [rate(m.LAUNCH_IMAGE, "image", result=ERRORS, **_THIS)]),
        Panel("Time to ready", [took(m.LAUNCH_IMAGE, "image", result="ready", **_THIS)], "s"),
    ],
    [Choice("image", m.IMAGE_AGE, "image")],
)

_SUCH = {"label": "$label"}
LABEL = Board(
    "label",
    "label",
    [
        Panel("Nodes by state", [level(m.LABEL_NODES, "state", **_SUCH)], stack=True),
        Panel(
            "Ready, and min-ready",
            [
                called(level(m.LABEL_NODES, None, state="ready", **_SUCH), "ready"),
                called(level(m.MIN_READY, None, **_SUCH), "min-ready"),
            ],
        ),
        Panel("Waits of requests, by provider", [took(m.REQUEST_WAIT, "provider", **_SUCH)], "s"),
    ],
    [Choice("label", m.LABEL_NODES, "label")],
)

REQUESTS = Board(
    "requests",
    "requests and waits",
    [
        Panel("Requests by state", [level(m.REQUESTS, "state")], stack=True),
        Panel("Oldest open request", [level(m.OLDEST_REQUEST)], "s"),
        Panel("Requests waiting, by reason", [total(m.WAITING, "reason")]),
        Panel("Requests ended a minute", [rate(m.REQUESTS_ENDED, "result")]),
        Panel("Waits, by label", [took(m.REQUEST_WAIT, "label")], "s"),
        Panel("Waits, by provider", [took(m.REQUEST_WAIT, "provider")], "s"),
        Panel("Launches by requestor a minute", [rate(m.LAUNCH_REQUESTOR, "requestor", result="ready")]),
        Panel(
            "Launches by result a minute",
            [rate(m.LAUNCH, None, result="ready"), rate(m.LAUNCH, "result", result=ERRORS)],
        ),
    ],
)

LAUNCHER = Board(
    "launcher",
    "launchers and builders inside",
    [
        Panel("Connected to ZooKeeper", [level(m.CONNECTED)]),
        Panel("Tells the numbers of all", [total(m.ELECTED)]),
        Panel("Providers acted for", [total(m.LEASES)]),
        Panel("Actions in flight", [total(m.IN_FLIGHT)]),
        Panel("Waiting between ZooKeeper and the launcher", [total(m.ZK_QUEUE)]),
        Panel("Making a plan", [took(m.PLAN)], "s"),
        Panel("Actions lost a minute", [rate(m.LOST_ACTIONS, "action")]),
        Panel("Builds under way, and at most", [total(m.CURRENT_BUILDS), total(m.BUILD_WORKERS)]),
        Panel("Uploads under way, and at most", [total(m.CURRENT_UPLOADS), total(m.UPLOAD_WORKERS)]),
        Panel("Builds asked for by hand", [level(m.BUILD_REQUESTS)]),
    ],
)

BOARDS = (OVERVIEW, PROVIDER, IMAGE, LABEL, REQUESTS, LAUNCHER)
