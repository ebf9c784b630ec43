"""An operator's order to give nothing new to something, as bytes and as `model.cordon.Cordon`."""

from nodepool_ng.model.cordon import Cordon
from nodepool_ng.zk.codec.fields import Record, dump, flag, number, text


def from_record(record: Record) -> Cordon:
    """Return the order; raise `BadField`."""
    return Cordon(
        drain=flag(record, "drain", False),
        by=text(record, "by") or "",
        reason=text(record, "reason") or "",
        since=number(record, "since"),
    )


def encode_cordon(cordon: Cordon) -> bytes:
    return dump({"drain": cordon.drain, "by": cordon.by, "reason": cordon.reason, "since": cordon.since})
