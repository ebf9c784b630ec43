"""The samples that we ship are good, and go together."""

from pathlib import Path

from nodepool_ng.config import load

ETC = Path(__file__).parents[3] / "etc"


def test_the_samples_load_and_say_what_they_show() -> None:
    found = load(str(ETC / "nodepool.yaml"), str(ETC / "secure.yaml"), env={})

    assert [complaint.what for complaint in found.warnings] == []
    assert list(found.settings.providers) == ["east", "lab", "hall"]
    assert found.settings.zookeeper is not None
    assert found.settings.zookeeper.hosts == ("zk.example.org:2281",)
