"""A simulated region: its servers, networks, images and volumes, and what they have in common.

There is no I/O here, no clock and no luck of its own: every verb takes `now`, in seconds on whatever clock the
caller lives by, and `rng` is handed in. A verb either returns plain data or raises `Refused`. Time may stand
still between two calls but must not go backwards.

    region = Region("north", RegionSettings(boot=Span(fixed=5)), random.Random(1))
    me = Caller("project", "user")
    server = region.servers.create(me, ServerAsk(name="n1", flavor="small"), now=0.0)
    server.status(4.9)  # BUILD
    server.status(5.0)  # ACTIVE

How long a call takes is not part of the verbs: ask `region.gate.latency(call)` and wait on your own clock.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from nodepool_ng.sim.calls import Call
from nodepool_ng.sim.fabric import Fabric
from nodepool_ng.sim.gate import Gate
from nodepool_ng.sim.images import Images
from nodepool_ng.sim.machines import Machines
from nodepool_ng.sim.refused import Refused, not_found
from nodepool_ng.sim.server import Caller
from nodepool_ng.sim.servers import Servers
from nodepool_ng.sim.settings import Flavor, RegionSettings
from nodepool_ng.sim.volumes import Volumes

FIXED_FROM_THE_START = ("networks", "images", "ssh", "machines")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A public key that servers may be created with."""

    name: str
    public_key: str = "ssh-ed25519 AAAA simulated"


class Region:
    """One region of a cloud."""

    def __init__(self, name: str, settings: RegionSettings, rng: random.Random) -> None:
        self.name = name
        self.gate = Gate(settings, rng)
        self.images = Images(self.gate, name)
        self.fabric = Fabric(self.gate, name)
        self.volumes = Volumes(self.gate)
        self.servers = Servers(self.gate, self.images, self.fabric, self.volumes)
        self.machines = Machines(self.gate, name)
        self._public_keys: dict[str, str] = {}

    @property
    def settings(self) -> RegionSettings:
        """What is in force now."""
        return self.gate.settings

    def change(self, changes: Mapping[str, object]) -> RegionSettings:
        """Change some settings; maps are merged, everything else is replaced.

        Raises Refused 400 for values that are wrong, and for what cannot change while the region runs.
        """
        for key in FIXED_FROM_THE_START:
            if key in changes:
                raise Refused(400, f"{key} cannot be changed while the region runs.")
        try:
            settings = RegionSettings.model_validate(_merged(self.settings.model_dump(mode="json"), changes))
        except ValidationError as error:
            first = error.errors()[0]
            raise Refused(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        self.gate.change(settings)
        return settings

    def list_flavors(self, caller: Caller, *, now: float) -> tuple[Flavor, ...]:
        """Return all flavors."""
        with self.gate.passing(Call.FLAVOR_LIST, now):
            return self.settings.flavors

    def get_flavor(self, caller: Caller, flavor_id: str, *, now: float) -> Flavor:
        """Return one flavor by id."""
        with self.gate.passing(Call.FLAVOR_GET, now):
            for flavor in self.settings.flavors:
                if flavor.id == flavor_id:
                    return flavor
            raise not_found("Flavor", flavor_id)

    def list_zones(self, caller: Caller, *, now: float) -> tuple[str, ...]:
        """Return the availability zones."""
        with self.gate.passing(Call.ZONE_LIST, now):
            return self.settings.zones

    def list_key_pairs(self, caller: Caller, *, now: float) -> tuple[KeyPair, ...]:
        """Return the key pairs; all users share them."""
        with self.gate.passing(Call.KEYPAIR_LIST, now):
            return tuple(self._key_pair(name) for name in self.settings.key_pairs)

    def get_key_pair(self, caller: Caller, name: str, *, now: float) -> KeyPair:
        """Return one key pair."""
        with self.gate.passing(Call.KEYPAIR_GET, now):
            if name not in self.settings.key_pairs:
                raise Refused(404, f"Keypair {name} not found for user {caller.user}")
            return self._key_pair(name)

    def create_key_pair(self, caller: Caller, name: str, public_key: str, *, now: float) -> KeyPair:
        """Add a key pair."""
        with self.gate.passing(Call.KEYPAIR_CREATE, now):
            names = self.settings.key_pairs
            if name in names:
                raise Refused(409, f"Key pair '{name}' already exists.")
            if 0 <= self.settings.quota.key_pairs <= len(names):
                raise Refused(403, "Quota exceeded, too many key pairs.")
            self.gate.change(self.settings.model_copy(update={"key_pairs": (*names, name)}))
            self._public_keys[name] = public_key
            return self._key_pair(name)

    def delete_key_pair(self, caller: Caller, name: str, *, now: float) -> None:
        """Take a key pair away."""
        with self.gate.passing(Call.KEYPAIR_DELETE, now):
            if name not in self.settings.key_pairs:
                raise Refused(404, f"Keypair {name} not found for user {caller.user}")
            left = tuple(each for each in self.settings.key_pairs if each != name)
            self.gate.change(self.settings.model_copy(update={"key_pairs": left}))

    def _key_pair(self, name: str) -> KeyPair:
        key = self._public_keys.get(name)
        return KeyPair(name=name) if key is None else KeyPair(name=name, public_key=key)


def _merged(old: Mapping[str, object], new: Mapping[str, object]) -> dict[str, object]:
    merged = dict(old)
    for key, value in new.items():
        was = merged.get(key)
        is_span = isinstance(was, Mapping) and {"fixed", "uniform", "lognormal"} <= was.keys()
        mergeable = isinstance(was, Mapping) and isinstance(value, Mapping) and not is_span
        merged[key] = _merged(was, value) if mergeable else value  # type: ignore[arg-type]
    return merged
