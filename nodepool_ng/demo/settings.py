"""The demo's clouds, and the configuration of its daemons, as text in the files that an operator would write."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from nodepool_ng.demo.folder import Folder
from nodepool_ng.model.ids import ImageName, LabelName, ProviderName

IMAGE = ImageName("tiny")
ELEMENT = "ng-tiny"
ANYWHERE = LabelName("tiny")
FLAVOR = "small"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Region:
    """One region of one cloud; a provider is made of each."""

    cloud: str
    name: str

    @property
    def provider(self) -> ProviderName:
        return ProviderName(f"{self.cloud}-{self.name}")

    @property
    def label(self) -> LabelName:
        """A label that only this region has."""
        return LabelName(f"{ANYWHERE}-{self.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a demo plays on, and how much."""

    regions: tuple[Region, ...]
    ssh: bool = True
    """Whether servers can be logged into."""

    @property
    def min_ready(self) -> Mapping[LabelName, int]:
        """The warm pool by label: some nodes in every region, and some wherever there is room."""
        return {ANYWHERE: 3, **{region.label: 3 for region in self.regions}}

    @property
    def warm(self) -> int:
        """How many nodes the warm pool has."""
        return sum(self.min_ready.values())

    @property
    def jobs(self) -> Mapping[str, tuple[LabelName, ...]]:
        """What the CI scheduler runs, and on what. The last node of the last job is held."""
        return {"unit-tests": (ANYWHERE,), "cluster-tests": (self.regions[-1].label,) * 3}


SIMULATED = Stage(regions=(Region("harbor", "north"), Region("harbor", "south"), Region("meadow", "west")))

_REGION = {
    "boot": {"uniform": [2, 4]},  # seconds
    "delete": {"uniform": [0.3, 1]},
    "image_activation": 0.5,
    "latency": {"default": 0.02, "calls": {"server.create": 0.1}},
    "quota": {"instances": 20, "cores": 40, "ram": 81920},
    "ssh": True,
}


def simulation() -> str:
    """Return what `nodepool-sim` is to simulate."""
    clouds: dict[str, Any] = {}
    for region in SIMULATED.regions:
        clouds.setdefault(region.cloud, {"regions": {}})["regions"][region.name] = _REGION
    return _text({"clouds": clouds}, "The simulated clouds of the demo.")


def nodepool(
    folder: Folder,
    stage: Stage,
    zookeeper_port: int,
    web_port: int,
    ssh_ports: Mapping[ProviderName, int],
    dib_cmd: str | None,
) -> str:
    """Return the configuration of launcher and builder. Without `dib_cmd` images are really built."""
    image: dict[str, Any] = {
        "name": IMAGE,
        "elements": [ELEMENT],
        "username": "zuul",
        "env-vars": {"DIB_IMAGE_CACHE": str(folder.cache), "TMPDIR": str(folder.scratch)},
    }
    if dib_cmd is not None:
        image["dib-cmd"] = dib_cmd
    return _text(
        {
            "zookeeper-servers": [{"host": LOOPBACK, "port": zookeeper_port}],
            "webapp": {"port": web_port, "listen_address": LOOPBACK},
            "elements-dir": str(folder.elements),
            "images-dir": str(folder.images),
            "build-log-dir": str(folder.logs),
            "max-hold-age": 86400,
            "labels": [{"name": name, "min-ready": count} for name, count in stage.min_ready.items()],
            "diskimages": [image],
            "providers": [_provider(region, stage, ssh_ports) for region in stage.regions],
        },
        "The configuration of the demo's nodepool-launcher and nodepool-builder; they notice when it changes.",
    )


def _provider(region: Region, stage: Stage, ssh_ports: Mapping[ProviderName, int]) -> dict[str, Any]:
    labels = [{"name": name, "diskimage": IMAGE, "flavor-name": FLAVOR} for name in (ANYWHERE, region.label)]
    port = {"connection-port": ssh_ports[region.provider]} if region.provider in ssh_ports else {}
    unseen = {} if stage.ssh else {"host-key-checking": False}
    return {
        "name": region.provider,
        "driver": "openstack",
        "cloud": region.cloud,
        "region-name": region.name,
        "boot-timeout": 60,
        "launch-timeout": 120,
        "diskimages": [{"name": IMAGE, **port}],
        "pools": [{"name": "main", "max-servers": 12, **unseen, "labels": labels}],
    }


class _Plain(yaml.SafeDumper):
    """Writes a value that occurs twice as it is, twice."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(content: dict[str, Any], comment: str) -> str:
    return f"# {comment}\n\n{yaml.dump(content, Dumper=_Plain, sort_keys=False)}"
