"""The environment in the text, and the places behind it."""

from collections.abc import Callable

import pytest

from nodepool_ng.config import ConfigError, Loaded
from nodepool_ng.config.complaint import Place
from nodepool_ng.config.source import substitute


def test_values_are_put_in_before_the_text_is_yaml(loaded: Callable[..., Loaded]) -> None:
    found = loaded(
        "webapp: {port: %(NODEPOOL_PORT)}\nimages-dir: /srv/%(NODEPOOL_NAME)\n", NODEPOOL_PORT="8010", NODEPOOL_NAME="x"
    )
    assert (found.settings.web.port, found.settings.images_dir) == (8010, "/srv/x")
    assert found.warnings == ()


def test_a_value_may_be_yaml_of_several_lines(loaded: Callable[..., Loaded]) -> None:
    found = loaded("labels: %(NODEPOOL_LABELS)\nimages-dir: /x", NODEPOOL_LABELS="\n- name: oak\n- name: elm")
    assert list(found.settings.labels) == ["oak", "elm"]


def test_it_works_in_the_secure_file_too(loaded: Callable[..., Loaded]) -> None:
    found = loaded("max-hold-age: 1", "zookeeper-servers: [{host: %(NODEPOOL_ZK)}]", NODEPOOL_ZK="zk9")
    assert found.settings.zookeeper is not None
    assert found.settings.zookeeper.hosts == ("zk9:2281",)


def test_a_value_may_name_a_later_variable_and_not_an_earlier_one() -> None:
    env = {"NODEPOOL_A": "%(NODEPOOL_B)", "NODEPOOL_B": "b%(NODEPOOL_A)"}
    assert substitute("f", "%(NODEPOOL_A)", env).text == "b%(NODEPOOL_A)"


@pytest.mark.parametrize("text", ["%(HOME)", "%(NODEPOOL_A)s"[:-2], "%NODEPOOL_A", "$(NODEPOOL_A)", "%(nodepool_a)"])
def test_other_words_stay(text: str) -> None:
    source = substitute("f", text, {"NODEPOOL_A": "a", "HOME": "/", "nodepool_a": "b"})
    assert source.text == text


def test_a_variable_that_is_not_set_is_told(complaints: Callable[..., list[str]]) -> None:
    assert complaints("images-dir: /srv/%(NODEPOOL_NAME)") == [
        "nodepool.yaml:1:18: warning: the environment has no variable NODEPOOL_NAME"
    ]


@pytest.mark.parametrize("value", ["x", "quite a long value", "[1,\n  2,\n  3]", ""])
def test_places_are_those_of_the_file(value: str) -> None:
    written = "a: %(NODEPOOL_X) # %(NODEPOOL_X)\r\nbé: 1\nc: 2"
    source = substitute("f", written, {"NODEPOOL_X": value})

    assert source.place(source.text.index("bé")) == Place("f", 2, 1)
    assert source.place(source.text.index("c: 2") + 3) == Place("f", 3, 4)
    assert source.place(len(source.text)) == Place("f", 3, 5)
    assert source.place(3 + len(value)) == Place("f", 1, 17)
    if value:
        assert {source.place(3 + at) for at in range(len(value))} == {Place("f", 1, 4)}


def test_a_complaint_about_a_value_points_to_its_token(complaints: Callable[..., list[str]]) -> None:
    text = "images-dir: %(NODEPOOL_LONG)\nmax-hold-age: %(NODEPOOL_AGE)\nnonsense: 1\n"
    assert complaints(text, NODEPOOL_LONG="[a,\nb]", NODEPOOL_AGE="old") == [
        "nodepool.yaml:1:13: error: images-dir is a list, not text",
        "nodepool.yaml:2:15: error: max-hold-age is text, not a whole number",
        "nodepool.yaml:3:1: error: nonsense is not a known key",
    ]


def test_a_value_that_is_no_text_is_refused(loaded: Callable[..., Loaded]) -> None:
    with pytest.raises(ConfigError, match="names NODEPOOL_X, whose value is not UTF-8 text"):
        loaded("images-dir: %(NODEPOOL_X)", NODEPOOL_X="\udcff")
