"""Metastatic providers: labels that are cut out of other nodes."""

from pathlib import Path

from nodepool_ng.config import load
from nodepool_ng.model.ids import LabelName, PoolName, ProviderName
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.settings import Backing

FILES = Path(__file__).parent / "files"


def test_every_key_of_a_slice_is_read() -> None:
    provider = load(str(FILES / "accepted" / "metastatic.yaml"), env={}).settings.providers[ProviderName("bakery")]
    assert (provider.driver, provider.has_cloud) == ("metastatic", False)
    assert (provider.boot_timeout, provider.launch_timeout, provider.launch_retries) == (61, 62, 2)
    shelf, counter = provider.pools[PoolName("shelf")], provider.pools[PoolName("counter")]
    assert (shelf.limits, dict(counter.labels)) == (Resources({"instances": 20}), {})
    loaf = Backing(label=LabelName("loaf"), slots=4, grace_time=10, min_retention_time=20, max_age=30)
    assert {name: label.backing for name, label in shelf.labels.items()} == {"slice": loaf, "crumb": loaf}
    assert {name: label.host_key_checking for name, label in shelf.labels.items()} == {"slice": False, "crumb": True}


def test_what_is_left_out_is_as_in_nodepool_11() -> None:
    assert (Backing(label=LabelName("loaf")).slots, Backing(label=LabelName("loaf")).grace_time) == (1, 60)
