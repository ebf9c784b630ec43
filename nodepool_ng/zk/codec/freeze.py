"""An operator's order to leave a provider alone, as bytes and as `model.freeze.Freeze`."""

from nodepool_ng.model.freeze import Freeze
from nodepool_ng.zk.codec.fields import Record, dump, flag


def from_record(record: Record) -> Freeze:
    """Return the order; raise `BadField`. What it does not name is frozen: an order is never taken lightly."""
    return Freeze(creates=flag(record, "creates", True), deletes=flag(record, "deletes", True))


def encode_freeze(freeze: Freeze) -> bytes:
    return dump({"creates": freeze.creates, "deletes": freeze.deletes})
