"""What a label costs in a cloud: choosing its flavor, and adding up what it needs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from nodepool_ng.drivers.openstack.wire import RawFlavor
from nodepool_ng.model.quota import CORES, INSTANCES, RAM, VOLUME_GB, VOLUMES, Resources
from nodepool_ng.model.server import LabelFacts
from nodepool_ng.model.settings import PoolLabel


@dataclass(frozen=True, slots=True)
class Flavor:
    """A size of server; `ram` is in MiB."""

    ram: int
    name: str
    id: str
    vcpus: int


def flavors_of(raw: Iterable[RawFlavor]) -> tuple[Flavor, ...]:
    """Return the flavors in the order in which labels choose: by memory, then by name."""
    flavors = (Flavor(f.get("ram", 0), f.get("name", ""), f["id"], f.get("vcpus", 0)) for f in raw)
    return tuple(sorted(flavors, key=lambda flavor: (flavor.ram, flavor.name)))


def choose_flavor(flavors: Iterable[Flavor], label: PoolLabel) -> Flavor | None:
    """Return the label's flavor, or None when the cloud has none that fits.

    With `min-ram` it is the first that is large enough and whose name contains `flavor-name`; without, the one
    whose name or id is `flavor-name`.
    """
    wanted = label.flavor_name
    if label.min_ram:
        return next((f for f in flavors if f.ram >= label.min_ram and (wanted or "") in f.name), None)
    return next((f for f in flavors if wanted in (f.name, f.id)), None)


def no_flavor(label: PoolLabel) -> str:
    """Return the sentence that says why a label has no flavor."""
    match label:
        case PoolLabel(min_ram=0, flavor_name=name):
            return f"the cloud has no flavor {name!r}"
        case PoolLabel(min_ram=ram, flavor_name=None):
            return f"the cloud has no flavor with at least {ram} MiB of memory"
        case PoolLabel(min_ram=ram, flavor_name=name):
            return f"the cloud has no flavor with {name!r} in its name and at least {ram} MiB of memory"


@lru_cache(maxsize=1024)
def amounts(cores: int, ram: int, volumes: int = 0, volume_gb: int = 0) -> Resources:
    """Return the resources of one server. Equal servers share one value: there are thousands of them."""
    found = {INSTANCES: 1, CORES: cores, RAM: ram}
    if volumes:
        found |= {VOLUMES: volumes, VOLUME_GB: volume_gb}
    return Resources(MappingProxyType(found))


def facts_of(label: PoolLabel, flavors: Iterable[Flavor], images: Mapping[str, str | None]) -> LabelFacts:
    """Return what a pool's label needs, or why it cannot be had. `images` are the cloud images that were looked up."""
    flavor = choose_flavor(flavors, label)
    if flavor is None:
        return LabelFacts(needs=amounts(0, 0), broken=no_flavor(label))
    volumes = (1, label.volume_size) if label.boot_from_volume else (0, 0)
    broken = None
    if label.cloud_image is not None and images.get(label.cloud_image) is None:
        broken = f"the cloud has no active image {label.cloud_image!r}"
    return LabelFacts(needs=amounts(flavor.vcpus, flavor.ram, *volumes), broken=broken)


def dearest(first: LabelFacts, second: LabelFacts) -> LabelFacts:
    """Return one answer for a label that two pools make differently: the larger needs; broken only if both are."""
    if first.broken is not None or second.broken is not None:
        return second if second.broken is None else first
    names = {**first.needs.amounts, **second.needs.amounts}
    return LabelFacts(needs=Resources({name: max(first.needs.get(name), second.needs.get(name)) for name in names}))
