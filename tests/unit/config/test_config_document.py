"""YAML as plain values with places."""

from collections.abc import Callable
from typing import Any

import pytest

from nodepool_ng.config.complaint import ConfigError
from nodepool_ng.config.document import DEEPEST, Document, parse
from nodepool_ng.config.source import substitute


def document(text: str) -> Document:
    return parse(substitute("f", text, {}))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("---", None),
        ("[1, 0x10, 1_000, 1.5, .inf, yes, ~, 'x', \"y\"]", [1, 16, 1000, 1.5, float("inf"), True, None, "x", "y"]),
        ("{1: a, yes: b, ~: c, 2026-01-02: d}", {"1": "a", "yes": "b", "~": "c", "2026-01-02": "d"}),
        ("[2026-01-02, =, <<]", ["2026-01-02", "=", "<<"]),
        ("a: !!str 1", {"a": "1"}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {p: 1, q: 1}\nb: {<<: *x, q: 2}", {"a": {"p": 1, "q": 1}, "b": {"q": 2, "p": 1}}),
        ("[&x {p: 1}, &y {p: 2, q: 2}, {<<: [*x, *y]}]", [{"p": 1}, {"p": 2, "q": 2}, {"p": 1, "q": 2}]),
        ("a: |\n  line\n  line\n", {"a": "line\nline\n"}),
    ],
)
def test_values(text: str, value: object) -> None:
    assert document(text).root == value


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: *x", "f:1:4: fatal: there is no anchor &x"),
        ("a: &x [*x]", "f:1:8: fatal: the anchor &x contains itself"),
        ("a: &x {b: {c: *x}}", "f:1:15: fatal: the anchor &x contains itself"),
        ("? [1]\n: 2", "f:1:3: fatal: a list or mapping cannot be a key"),
        ("{<<: 1}", "f:1:6: fatal: only mappings can be merged"),
        ("a: !!python/name:os.system x", "f:1:4: fatal: the tag tag:yaml.org,2002:python/name:os.system means nothing"),
        ("a: !!set {b}", "f:1:4: fatal: the tag tag:yaml.org,2002:set means nothing"),
        ("a: !!binary eA==", "f:1:4: fatal: the tag tag:yaml.org,2002:binary means nothing"),
        ("a: !!int x", "f:1:4: fatal: this cannot be read as int"),
        ("a: 0x_", "f:1:4: fatal: this cannot be read as int"),
        ("a: !!bool x", "f:1:4: fatal: this cannot be read as bool"),
        ("a: " + "9" * 5000, "f:1:4: fatal: this cannot be read as int"),
        ("a: b: c", "f:1:5: fatal: this is not YAML"),
        ("a: \x00", "f:1:4: fatal: this is not YAML"),
        ("%YAML 3.0\n---\na", "f:1:1: fatal: this is not YAML"),
        ("a\n---\nb", "f:2:1: fatal: a second YAML document"),
        ("---\n---\n", "f:2:1: fatal: a second YAML document"),
        ("[" * 100_000, f"f:1:{DEEPEST + 2}: fatal: this is nested more than {DEEPEST} levels deep"),
    ],
)
def test_refusals(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        document(text)
    assert str(caught.value).startswith(complaint)


def test_aliases_that_multiply_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]" for at in range(1, 12)]
    with pytest.raises(ConfigError, match="expand beyond all reason"):
        document("\n".join(lines))


def test_a_merged_key_is_where_it_was_written() -> None:
    read = document("base: &b\n  p: 1\nother:\n  <<: *b\n  q: 2\n")
    place: Callable[..., Any] = read.place
    assert str(place(("other", "p"))) == "f:2:6"
    assert str(place(("other", "q"), key=True)) == "f:5:3"
    assert str(place(("other",))) == "f:4:3"


def test_a_missing_thing_is_where_it_is_missing_from() -> None:
    read = document("a:\n  - {b: 1}\n")
    assert str(read.place(("a", 0, "c"))) == "f:2:5"


def test_entries_keep_their_places_and_numbers_when_others_are_cut() -> None:
    read = document("a:\n  - 1\n  - x: 2\n  - name: three\n")
    read.cut(read.at(("a",)), 0)
    assert (str(read.place(("a", 0))), read.path(("a", 0))) == ("f:3:5", "a[1]")
    assert read.path(("a", 1, "name")) == "a[three].name"
