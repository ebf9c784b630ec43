"""A cloud that only talks: answers by rule, and a transcript of what was asked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from nodepool_ng.drivers import DriverError
from nodepool_ng.drivers.openstack.calls import Answer, Traits
from nodepool_ng.drivers.openstack.refusal import refusal


@dataclass
class Talk:
    """A `Door` whose answers are given by `(method, path)`; a list is answered from its front."""

    answers: dict[tuple[str, str], Any] = field(default_factory=dict)
    traits_: Traits = field(default_factory=Traits)
    missing: tuple[str, ...] = ()
    version: tuple[int, int] | None = (2, 69)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    def connect(self) -> None:
        pass

    def close(self) -> None:
        pass

    def traits(self) -> Traits:
        return self.traits_

    def has(self, service: str) -> bool:
        return service not in self.missing

    def microversion(self) -> tuple[int, int] | None:
        return self.version

    def call(
        self,
        service: str,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Any = None,
        data: Any = None,
        headers: Any = None,
        timeout: float | None = None,
        fine: tuple[int, ...] = (),
    ) -> Answer:
        if data is not None:
            json = b"".join(data)
        self.asked.append((method, path, json if json is not None else params))
        answer = self.answers[method, path]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, DriverError):
            raise answer
        if isinstance(answer, int):
            if answer in fine or answer < 400:
                return Answer(subject=f"{method} {path}", status=answer)
            raise refusal(f"{method} {path}", answer, "")
        return Answer(subject=f"{method} {path}", status=200, body=_encoded(answer), date=None)

    def verbs(self) -> list[tuple[str, str]]:
        """What was asked, without the bodies."""
        return [(method, path) for method, path, _ in self.asked]


def _encoded(answer: Any) -> bytes:
    return json.dumps(answer).encode()


@pytest.fixture
def talk() -> Talk:
    return Talk(
        {
            ("GET", "/flavors/detail"): {
                "flavors": [
                    {"id": "2", "name": "large", "ram": 8192, "vcpus": 8},
                    {"id": "1", "name": "small", "ram": 2048, "vcpus": 1},
                ]
            },
            ("GET", "/networks"): {
                "networks": [
                    {"id": "net-in", "name": "inner", "router:external": False},
                    {"id": "net-out", "name": "outer", "router:external": True},
                ]
            },
            ("GET", "/images"): {"images": [{"id": "img-1", "name": "base", "status": "active"}]},
            ("GET", "/limits"): [
                {"limits": {"absolute": {"maxTotalInstances": 10, "maxTotalCores": -1, "maxTotalRAMSize": 51200}}},
                {"limits": {"absolute": {"maxTotalVolumes": 4, "maxTotalVolumeGigabytes": 1000}}},
            ],
            ("GET", "/os-availability-zone"): {
                "availabilityZoneInfo": [
                    {"zoneName": "az1", "zoneState": {"available": True}},
                    {"zoneName": "az2", "zoneState": {"available": False}},
                ]
            },
            ("POST", "/servers"): {"server": {"id": "srv-1"}},
            ("DELETE", "/servers/srv-1"): 204,
        }
    )
