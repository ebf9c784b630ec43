"""Configurations as texts, and complaints as lines that a test can be read by."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nodepool_ng.config import Complaint, Loaded, load, validate


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Write a text into a file of its own and return its path."""

    def write(text: str, name: str = "nodepool.yaml") -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def loaded(write: Callable[..., str]) -> Callable[..., Loaded]:
    """Load a text, with another as the secure file."""

    def loaded(text: str, secure: str | None = None, **env: str) -> Loaded:
        return load(write(text), None if secure is None else write(secure, "secure.yaml"), env)

    return loaded


@pytest.fixture
def complaints(write: Callable[..., str]) -> Callable[..., list[str]]:
    """Validate a text and return its complaints, each without its folder and its remedy."""

    def complaints(text: str, secure: str | None = None, **env: str) -> list[str]:
        return said(validate(write(text), None if secure is None else write(secure, "secure.yaml"), env))

    return complaints


def said(complaints: Sequence[Complaint]) -> list[str]:
    return [
        f"{Path(one.place.file).name}:{one.place.line}:{one.place.column}: {one.gravity}: {one.what}"
        for one in complaints
    ]
