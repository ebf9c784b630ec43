"""Names and identifiers, each a type of its own, so that a provider is never passed where a label belongs."""

from typing import NewType, TypeAlias

NodeId = NewType("NodeId", str)
"""Ten digits, given by ZooKeeper."""
RequestId = NewType("RequestId", str)
"""`<priority>-<ten digits>`; the priority is compared as a string."""
PoolId = NewType("PoolId", str)
"""Identity of one registered pool of one running launcher: what `declined_by` and a node's `launcher` hold."""
ProviderName = NewType("ProviderName", str)
PoolName = NewType("PoolName", str)
LabelName = NewType("LabelName", str)
ImageName = NewType("ImageName", str)
BuildId = NewType("BuildId", str)
"""32 hex digits; ten digits in ancient trees."""
UploadId = NewType("UploadId", str)
"""Ten digits, unique within one build and provider."""
ServerId = NewType("ServerId", str)
"""What the cloud calls the server."""
AttemptId = NewType("AttemptId", str)
"""One try to launch a node; fresh for every server that is asked for."""
InstallationId = NewType("InstallationId", str)
"""One ZooKeeper tree's identity, made once; tells our servers from another installation's."""
TenantName = NewType("TenantName", str)

Timestamp: TypeAlias = float
"""Unix time in seconds."""
Seconds: TypeAlias = float

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""What a record of a client may hold in a field that we only pass on. Integers keep all their digits."""
