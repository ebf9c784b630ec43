"""The register: every metric that a daemon sends, once. `docs/metrics.rst` is made from it.

Names that Nodepool 11 sends are those of its own; what is new goes beside them and never into their place. Whatever
sends a number does so with one of these entries, so nothing can be sent that is not here; a test sends everything
once, so nothing is here that is not sent.
"""

from collections.abc import Iterator

from nodepool_ng.telemetry.sample import Kind, Metric, Scope, counter, gauge, timer

LAUNCH_BUCKETS = (5.0, 10.0, 20.0, 40.0, 60.0, 90.0, 120.0, 180.0, 240.0, 300.0, 450.0, 600.0, 900.0)
WAIT_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 10800.0)
API_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0)
PLAN_BUCKETS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
IMAGE_BUCKETS = (30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0)


ALL, EACH, BUILD = Scope.INSTALLATION, Scope.LAUNCHER, Scope.BUILDER

# Nodes and requests of the whole installation.
NODES = gauge(ALL, "nodepool.nodes.{state}", "nodepool_nodes", "nodes", "Nodes in a state.")
PROVIDER_NODES = gauge(
    ALL, "nodepool.provider.{provider}.nodes.{state}", "nodepool_nodes_by_provider", "nodes", "The same by provider."
)
LABEL_NODES = gauge(
    ALL,
    "nodepool.label.{label}.nodes.{state}",
    "nodepool_nodes_by_label",
    "nodes",
    "The same by label; a node with two labels counts in both.",
)
ADDRESSABLE_REQUESTS = gauge(
    ALL,
    "nodepool.provider.{provider}.pool.{pool}.addressable_requests",
    "nodepool_pool_addressable_requests",
    "requests",
    "Open requests all of whose labels the pool has.",
)
REQUESTS = gauge(ALL, "nodepool.requests.{state}", "nodepool_requests", "requests", "Requests in a state.")
OLDEST_REQUEST = gauge(
    ALL,
    "nodepool.requests.oldest",
    "nodepool_request_oldest_seconds",
    "s",
    "Age of the oldest request that is not served yet; 0 when there is none.",
)
COMPONENTS = gauge(
    ALL, "nodepool.components.{kind}", "nodepool_components", "components", "Registered launchers, pools and builders."
)
IMAGE_AGE = gauge(
    ALL,
    "nodepool.image.{image}.provider.{provider}.age",
    "nodepool_image_age_seconds",
    "s",
    "How long ago the newest ready upload became ready.",
)
IMAGE_FAILURES = gauge(
    ALL,
    "nodepool.image.{image}.failed_builds",
    "nodepool_image_failed_builds",
    "builds",
    "Builds that failed since the last good one.",
)

# What a launcher is configured with, and knows of its providers.
MAX_SERVERS = gauge(
    EACH,
    "nodepool.provider.{provider}.max_servers",
    "nodepool_provider_max_servers",
    "servers",
    "Sum of the pools' max-servers; where one has none, the project's quota. Not sent when neither is known.",
)
TENANT_LIMIT = gauge(
    EACH,
    "nodepool.tenant_limits.{tenant}.{limit}",
    "nodepool_tenant_limit",
    "",
    "Configured limits of tenants: cores, instances, ram (MiB), volumes, volume-gb. Those without one are not sent.",
    limit="resource",
)
MIN_READY = gauge(
    EACH, "nodepool.label.{label}.min_ready", "nodepool_label_min_ready", "nodes", "Configured min-ready of a label."
)
POOL_USAGE = gauge(
    EACH,
    "nodepool.provider.{provider}.pool.{pool}.usage.{resource}",
    "nodepool_pool_usage",
    "",
    "What the pool's nodes use: instances, cores, ram (MiB), …",
)
POOL_LIMIT = gauge(
    EACH,
    "nodepool.provider.{provider}.pool.{pool}.limit.{resource}",
    "nodepool_pool_limit",
    "",
    "The pool's configured limits.",
)
PROVIDER_USAGE = gauge(
    EACH,
    "nodepool.provider.{provider}.usage.{resource}",
    "nodepool_provider_usage",
    "",
    "What our nodes use of the provider's project.",
)
PROVIDER_FOREIGN = gauge(
    EACH,
    "nodepool.provider.{provider}.foreign.{resource}",
    "nodepool_provider_foreign_usage",
    "",
    "What others use of the provider's project.",
)
PROVIDER_LIMIT = gauge(
    EACH,
    "nodepool.provider.{provider}.limit.{resource}",
    "nodepool_provider_limit",
    "",
    "The quota of the provider's project, as the cloud says.",
)
PROVIDER_UP = gauge(
    EACH,
    "nodepool.provider.{provider}.up",
    "nodepool_provider_up",
    "0/1",
    "0 while the last call about the provider as a whole failed. Sent by the launcher that has its lease.",
)
PROVIDER_LIST_AGE = gauge(
    EACH,
    "nodepool.provider.{provider}.list_age",
    "nodepool_provider_list_age_seconds",
    "s",
    "How long ago the servers were listed. Sent by the launcher that has the provider's lease.",
)
PROVIDER_ALARM = gauge(
    EACH,
    "nodepool.provider.{provider}.alarm",
    "nodepool_provider_alarm",
    "0/1",
    "1 while a sweep is stopped until `nodepool confirm`.",
)
PROVIDER_FROZEN = gauge(
    EACH,
    "nodepool.provider.{provider}.frozen.{what}",
    "nodepool_provider_frozen",
    "0/1",
    "Whether `nodepool freeze` forbids creates or deletes. Sent by the launcher that has the provider's lease.",
)
WAITING = gauge(
    EACH,
    "nodepool.requests.waiting.{reason}",
    "nodepool_requests_waiting",
    "requests",
    "Requests that wait for this reason at least in one pool of this launcher; the first page shows each in words.",
)

# Launches: one for each attempt.
LAUNCH = timer(
    EACH,
    "nodepool.launch.{result}",
    "nodepool_launch",
    LAUNCH_BUCKETS,
    "From the first attempt's start to the end of this one. Result: `ready`, or `error.<kind>`.",
    Kind.TIMED,
)
LAUNCH_PROVIDER = timer(
    EACH,
    "nodepool.launch.provider.{provider}.{result}",
    "nodepool_launch_by_provider",
    LAUNCH_BUCKETS,
    "The same by provider.",
    Kind.TIMED,
)
LAUNCH_AZ = timer(
    EACH,
    "nodepool.launch.provider.{provider}.{az}.{result}",
    "nodepool_launch_by_provider_az",
    LAUNCH_BUCKETS,
    "The same by availability zone, where the node has one.",
    Kind.TIMED,
)
LAUNCH_REQUESTOR = timer(
    EACH,
    "nodepool.launch.requestor.{requestor}.{result}",
    "nodepool_launch_by_requestor",
    LAUNCH_BUCKETS,
    "The same by requestor; `NodePool_min-ready` for the warm pool.",
    Kind.TIMED,
)
LAUNCH_IMAGE = timer(
    EACH,
    "nodepool.launch.image.{image}.{result}",
    "nodepool_launch_by_image",
    LAUNCH_BUCKETS,
    "The same by image. Documented by Nodepool 11, which never sends it.",
    Kind.TIMED,
)
LEAKED = counter(
    EACH,
    "nodepool.provider.{provider}.leaked.{resource}",
    "nodepool_leaked_total",
    "resources",
    "Leaked resources that were removed: instances, ports, floatingips, volumes, images.",
)
REQUEST_WAIT = timer(
    EACH,
    "nodepool.requests.wait.{provider}.{label}",
    "nodepool_request_wait_seconds",
    WAIT_BUCKETS,
    "From a request's creation to its nodes, by provider and label (`several` for mixed requests).",
)
REQUESTS_ENDED = counter(
    EACH,
    "nodepool.requests.ended.{result}",
    "nodepool_requests_ended_total",
    "requests",
    "Requests that this launcher fulfilled (warm: from ready nodes; cold: with launches) or failed.",
)

# Calls to clouds.
CALLED = ("provider",)
API_CALL = timer(
    EACH,
    "{prefix}.{task}.{status}",
    "nodepool_task",
    API_BUCKETS,
    "An answered API call. The prefix is `nodepool.task.<provider>` unless clouds.yaml or STATSD_PREFIX has another; "
    "the task is `<service>.<METHOD>.<name>`.",
    Kind.TIMED,
    CALLED,
)
API_ATTEMPTED = counter(EACH, "{prefix}.{task}.attempted", None, "calls", "API calls, answered or not.", CALLED)
API_FAILED = counter(
    EACH, "{prefix}.{task}.failed", "nodepool_task_failed_total", "calls", "API calls that got no answer.", CALLED
)
API_SLOW = counter(
    EACH, "{prefix}.{task}.over_1000", None, "calls", "API calls that took longer than a second.", CALLED
)

# The launcher itself.
ZK_QUEUE = gauge(
    EACH,
    "nodepool.launcher.{hostname}.zk.{queue}",
    "nodepool_launcher_zk_queue",
    "messages",
    "What waits between ZooKeeper and the launcher. This launcher has one mirror and one inbox for all records: "
    "unanswered verbs are client.connection_queue, unread znodes stand as event_queue and letters not dealt with as "
    "playback_queue of each cache.",
)
IN_FLIGHT = gauge(
    EACH, "nodepool.launcher.{hostname}.in_flight", "nodepool_launcher_in_flight", "actions", "Actions under way."
)
CONNECTED = gauge(
    EACH,
    "nodepool.launcher.{hostname}.connected",
    "nodepool_launcher_connected",
    "0/1",
    "Whether ZooKeeper is connected and all of it is known.",
)
LEASES = gauge(
    EACH,
    "nodepool.launcher.{hostname}.leases",
    "nodepool_launcher_leases",
    "providers",
    "Providers that this launcher acts for.",
)
BROKEN_FILES = gauge(
    EACH,
    "nodepool.launcher.{hostname}.broken_files",
    "nodepool_launcher_broken_files",
    "0/1",
    "1 while the files of the configuration cannot be used, and what they said before is in force.",
)
ELECTED = gauge(
    EACH,
    "nodepool.launcher.{hostname}.elected",
    "nodepool_launcher_elected",
    "0/1",
    "Whether this launcher tells the numbers of the whole installation.",
)
PLAN = timer(
    EACH, "nodepool.launcher.{hostname}.plan", "nodepool_launcher_plan_seconds", PLAN_BUCKETS, "Making one plan."
)
LOST_ACTIONS = counter(
    EACH,
    "nodepool.launcher.{hostname}.lost.{action}",
    "nodepool_launcher_lost_actions_total",
    "actions",
    "Actions that were not carried out since the world was not as expected; they are planned anew.",
)

# Builders.
DIB_SIZE = gauge(
    BUILD,
    "nodepool.dib_image_build.{image}.{format}.size",
    "nodepool_dib_image_build_size",
    "bytes",
    "What a built file takes on the disk.",
    format="ext",
)
DIB_RC = gauge(
    BUILD,
    "nodepool.dib_image_build.{image}.status.rc",
    "nodepool_dib_image_build_result_code",
    "",
    "Exit code of the last build; 1 after a timeout.",
)
DIB_DURATION = timer(
    BUILD,
    "nodepool.dib_image_build.{image}.status.duration",
    "nodepool_dib_image_build_duration",
    IMAGE_BUCKETS,
    "Duration of a build, good or bad.",
)
DIB_LAST_BUILD = gauge(
    BUILD,
    "nodepool.dib_image_build.{image}.status.last_build",
    "nodepool_dib_image_build_last_build",
    "unix time",
    "When the last build ended, good or bad.",
)
IMAGE_UPDATE = timer(
    BUILD,
    "nodepool.image_update.{image}.{provider}",
    "nodepool_image_update",
    IMAGE_BUCKETS,
    "An upload that succeeded, its hook included.",
    Kind.TIMED,
)
IMAGE_UPDATE_FAILED = counter(
    BUILD,
    "nodepool.image_update_failed.{image}.{provider}",
    "nodepool_image_update_failed_total",
    "uploads",
    "Uploads that failed.",
)
BUILD_REQUESTS = gauge(
    BUILD,
    "nodepool.image_build_requests",
    "nodepool_image_build_requests",
    "requests",
    "Builds that were asked for by hand and have not begun.",
)
IMAGE_BUILD_REQUESTS = gauge(
    BUILD,
    "nodepool.image.{image}.image_build_requests",
    "nodepool_image_build_requests_by_image",
    "requests",
    "The same by image: 0 or 1.",
)
BUILD_STATE = gauge(
    BUILD,
    "nodepool.builder.{hostname}.image.{image}.build.state",
    "nodepool_builder_build_state",
    "",
    "0 idle, 1 building, 3 paused. The host name is the full one.",
)
UPLOAD_STATE = gauge(
    BUILD,
    "nodepool.builder.{hostname}.image.{image}.provider.{provider}.upload.state",
    "nodepool_builder_upload_state",
    "",
    "0 idle, 2 uploading, 3 paused.",
)
CURRENT_BUILDS = gauge(
    BUILD,
    "nodepool.builder.{hostname}.current_builds",
    "nodepool_builder_current_builds",
    "builds",
    "Builds under way. Documented by Nodepool 11, which never sends it; so are the three below.",
)
CURRENT_UPLOADS = gauge(
    BUILD,
    "nodepool.builder.{hostname}.current_uploads",
    "nodepool_builder_current_uploads",
    "uploads",
    "Uploads under way.",
)
BUILD_WORKERS = gauge(
    BUILD,
    "nodepool.builder.{hostname}.build_workers",
    "nodepool_builder_build_workers",
    "builds",
    "Builds that may be under way at once.",
)
UPLOAD_WORKERS = gauge(
    BUILD,
    "nodepool.builder.{hostname}.upload_workers",
    "nodepool_builder_upload_workers",
    "uploads",
    "Uploads that may be under way at once.",
)


def register() -> Iterator[Metric]:
    """Yield all entries, in the order of this file."""
    yield from (value for value in globals().values() if isinstance(value, Metric))
