"""Whatever is in the file, the answer is a configuration or complaints."""

import string
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from nodepool_ng.config import ConfigError, Gravity, load, validate
from nodepool_ng.config.judge import known_keys, nested_models
from nodepool_ng.config.providers import DRIVERS
from nodepool_ng.config.schema import Main

WORDS = ["oak", "wood", "forest", "{image_name}", "{x}", "7", "2.5", "no", "&"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS)
KEYS = st.sampled_from(known_keys(Main)) | st.text(string.printable, max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


def written(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Mappings with the keys of a model and mostly the right shape."""
    known = {str(field.alias): _of(field.annotation) for field in model.model_fields.values()}
    return st.fixed_dictionaries({}, optional=known | {"unknown": SCALARS})


def _of(annotation: Any) -> st.SearchStrategy[Any]:
    inner = next(nested_models(annotation), None)
    return SCALARS | st.lists(SCALARS if inner is None else written(inner), max_size=2)


def named(driver: str) -> st.SearchStrategy[Any]:
    return written(DRIVERS[driver]).map(lambda provider: provider | {"driver": driver})


PROVIDERS: st.SearchStrategy[Any] = st.sampled_from(sorted(DRIVERS)).flatmap(named)
CONFIGURATIONS = st.builds(
    lambda main, providers: main | {"providers": providers}, written(Main), st.lists(PROVIDERS, max_size=2)
)


def answer(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "nodepool.yaml")
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        complaints = validate(str(path), str(path), {})
        if any(one.gravity is Gravity.FATAL for one in complaints):
            with pytest.raises(ConfigError) as caught:
                load(str(path), str(path), {})
            assert caught.value.complaints == complaints
        else:
            assert load(str(path), str(path), {}).warnings == complaints
        lines = text.count("\n") + text.count("\r") + 1
        assert all(one.place.line <= lines and "\n" not in str(one) for one in complaints)


@settings(deadline=None)
@given(st.text())
def test_any_text(text: str) -> None:
    answer(text)


@settings(deadline=None)
@given(st.text(list("abc:-[]{},&*!|>'\"%#?~<=0123 \n")))
def test_any_text_that_is_almost_yaml(text: str) -> None:
    answer(text)


@settings(deadline=None)
@given(VALUES)
def test_any_values(value: object) -> None:
    answer(yaml.safe_dump(value, allow_unicode=True))


@settings(deadline=None)
@given(CONFIGURATIONS)
def test_anything_that_looks_like_a_configuration(value: object) -> None:
    answer(yaml.safe_dump(value))
