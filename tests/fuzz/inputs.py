"""What others may send: bytes, JSON of any shape, and records that are right but for one thing."""

import json
from typing import Any

from hypothesis import strategies as st

HOSTILE = (
    "",
    "\x00",
    "\x1b]0;owned\x07\x1b[2J",
    "a\r\nb",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "'; DROP TABLE nodes; --",
    "${jndi:ldap://x}",
    "%s%n%(x)s{0}",
    "\u202e\u2066",
    "\ud800",
    "x" * 5_000,
)
words = st.sampled_from(HOSTILE) | st.text(max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | words
values: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=10
)


def almost(right: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a record of which a few members are replaced, are missing, or are too many."""

    def broken(wrong: dict[str, Any], missing: set[str]) -> dict[str, Any]:
        return {key: value for key, value in (right | wrong).items() if key not in missing}

    keys = st.sampled_from(sorted(right))
    return st.builds(broken, st.dictionaries(keys | words, values, max_size=3), st.sets(keys, max_size=2))


def as_bytes(records: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Return JSON of records, now and then cut off, or nested deeper than any reader can follow."""
    whole = records.map(lambda record: json.dumps(record).encode())
    cut = st.builds(lambda data, end: data[: end % (len(data) + 1)], whole, st.integers(0))
    deep = st.sampled_from([b"[" * 5_000, b'{"a":' * 5_000, b"[" * 500 + b"]" * 500])
    return whole | cut | st.binary(max_size=200) | deep
