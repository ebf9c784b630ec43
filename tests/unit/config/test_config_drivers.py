"""Providers whose driver is not there, not yet there, or only there in tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nodepool_ng.config import ConfigError, Loaded, Skipped, load
from nodepool_ng.config.reading import TEST_MODE
from nodepool_ng.model.ids import ProviderName

FILES = Path(__file__).parent / "files"
TESTING = {TEST_MODE: "1"}


def test_a_provider_without_driver_is_left_out_and_told() -> None:
    found = load(str(FILES / "refused" / "drivers.yaml"), env={})
    assert list(found.settings.providers) == ["forest", "fakeland"]
    assert found.skipped[:2] == (
        Skipped(name=ProviderName("sky"), driver="aws", reason="there is no driver aws"),
        Skipped(name=ProviderName("toy"), driver="fake", reason="there is no driver fake"),
    )


@pytest.mark.parametrize("entry", ["name: toy, driver: fake", "name: fake-toy", "name: fake-toy, driver: static"])
def test_in_test_mode_the_fake_cloud_is_an_openstack(loaded: Callable[..., Loaded], entry: str) -> None:
    found = loaded(f"providers: [{{{entry}, cloud: c, rate: 3, pools: [{{name: main}}]}}]", **TESTING)
    assert [provider.driver for provider in found.settings.providers.values()] == ["openstack"]
    assert found.warnings == ()


def test_all_faults_are_found_at_once(write: Callable[..., str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(str(FILES / "refused" / "fatal-types.yaml"), env={})
    assert sum(complaint.gravity == "fatal" for complaint in caught.value.complaints) > 20
