"""The same calls to a simulated and to a real Ironic, and what each answered, without what differs from run to run."""

from __future__ import annotations

import re
import time
import uuid
from typing import Any

from nodepool_ng.drivers.ironic.driver import MICROVERSIONS
from nodepool_ng.drivers.openstack.calls import BARE_METAL
from nodepool_ng.drivers.openstack.cloud import Cloud, Speaks
from nodepool_ng.drivers.openstack.refusal import message_of
from nodepool_ng.model.settings import Provider

ALL = tuple(range(400, 600))
PATIENCE = 30.0  # seconds
FIELDS = (
    "provision_state,power_state,maintenance,maintenance_reason,fault,last_error,resource_class,traits,owner,lessee,"
    "retired,instance_uuid,extra,network_data,properties"
)
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Talk:
    """One conversation, and its transcript."""

    def __init__(self, cloud: str, region: str | None = None) -> None:
        provider = Provider(name="talk", driver="ironic", cloud=cloud, region_name=region)  # type: ignore[arg-type]
        self._door = Cloud(provider, None, Speaks(BARE_METAL, MICROVERSIONS))
        self.transcript: list[tuple[str, int, Any]] = []
        self._named: dict[str, str] = {}

    def __enter__(self) -> Talk:
        self._door.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._door.close()

    def name(self, value: str, word: str) -> str:
        """Have a word stand for an id in the transcript; return the id."""
        self._named[value] = word
        return value

    def say(self, method: str, path: str, body: Any = None, *, keys: tuple[str, ...] | None = None) -> Any:
        """Make a call, note what was answered: of an answer that is well, the `keys`; return its content."""
        status, content, told = self._call(method, path, body)
        if status < 400:
            told = {key: content.get(key) for key in keys} if keys is not None else None
        self.transcript.append((self._plain(f"{method} {path}"), status, self._plain(told)))
        return content

    def until(self, path: str, key: str, value: str) -> None:
        """Wait until a field has a value; this is not noted."""
        deadline = time.monotonic() + PATIENCE
        while True:
            status, content, _ = self._call("GET", path, None)
            if status < 400 and content.get(key) == value:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path}: {key} is {content.get(key)}, not {value}")
            time.sleep(0.1)

    def _call(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any], Any]:
        where, _, query = path.partition("?")
        params = dict(part.split("=") for part in query.split("&")) if query else None
        answer = self._door.call(BARE_METAL, method, where, json=body, params=params, fine=ALL)
        content = answer.json() if answer.body and answer.status < 400 else {}
        return answer.status, content, message_of(answer.body.decode())

    def _plain(self, told: Any) -> Any:
        match told:
            case dict():
                return {key: self._plain(value) for key, value in told.items()}
            case list():
                return [self._plain(value) for value in told]
            case str():
                for value, word in self._named.items():
                    told = told.replace(value, word)
                return _ID.sub("<id>", told)
        return told


def converse(talk: Talk) -> list[tuple[str, int, Any]]:
    """Enrol a machine, have it allocated, deployed and cleaned, with mistakes on the way; return the transcript."""
    name = talk.name(f"talk-{uuid.uuid4().hex[:8]}", "<machine>")
    body = {"name": name, "driver": "fake-hardware", "resource_class": name, "extra": {"a": 1}}
    made = talk.say("POST", "/nodes", body, keys=("provision_state", "power_state", "instance_uuid", "maintenance"))
    node = f"/nodes/{talk.name(made['uuid'], '<node>')}"
    try:
        _enrolled(talk, node)
        _allocated(talk, node, name, made["uuid"])
    finally:
        _gone(talk, node)
    return talk.transcript


def _enrolled(talk: Talk, node: str) -> None:
    talk.say("PUT", f"{node}/traits/CUSTOM_TALK")
    talk.say("PUT", f"{node}/states/provision", {"target": "active"})
    talk.say("PUT", f"{node}/states/provision", {"target": "nonsense"})
    talk.say("PUT", f"{node}/states/provision", {"target": "manage"})
    talk.until(node, "provision_state", "manageable")
    talk.say("PUT", f"{node}/states/power", {"target": "power off"})
    talk.until(node, "power_state", "power off")
    talk.say("PUT", f"{node}/states/provision", {"target": "provide"})
    talk.until(node, "provision_state", "available")
    talk.say("GET", f"{node}?fields={FIELDS}", keys=tuple(FIELDS.split(",")))


def _allocated(talk: Talk, node: str, name: str, machine: str) -> None:
    mine = talk.name(str(uuid.uuid4()), "<allocation>")
    wanted = {"uuid": mine, "name": name, "resource_class": name, "traits": ["CUSTOM_TALK"], "extra": {"b": 2}}
    keys = ("uuid", "name", "state", "node_uuid", "last_error", "resource_class", "traits", "candidate_nodes", "extra")
    talk.say("POST", "/allocations", {**wanted, "candidate_nodes": [machine]}, keys=keys)
    talk.until(f"/allocations/{mine}", "state", "active")
    talk.say("GET", f"/allocations/{mine}", keys=keys)
    talk.say("POST", "/allocations", wanted)
    talk.say("POST", "/allocations", {**wanted, "uuid": str(uuid.uuid4())})
    for number, more in enumerate(({}, {"candidate_nodes": [machine]}, {"resource_class": "none"})):
        late = talk.name(str(uuid.uuid4()), f"<late {number}>")
        talk.say("POST", "/allocations", {"uuid": late, "resource_class": name, **more}, keys=("state",))
        talk.until(f"/allocations/{late}", "state", "error")
        talk.say("GET", f"/allocations/{late}", keys=("state", "node_uuid", "last_error"))
        talk.say("DELETE", f"/allocations/{late}")
    talk.say("POST", "/allocations", {"name": "x"})
    talk.say("POST", "/allocations", {"resource_class": "x", "candidate_nodes": ["none"]})
    talk.say("GET", "/allocations/none")
    talk.say("DELETE", "/allocations/none")
    talk.say("GET", "/nodes/none")
    talk.say("GET", f"{node}/vifs", keys=("vifs",))
    talk.say("GET", f"{node}/states/console", keys=("console_enabled", "console_info"))
    patch = [
        {"op": "add", "path": "/instance_info/image_source", "value": "http://127.0.0.1/a"},
        {"op": "add", "path": "/instance_info/image_checksum", "value": "ab" * 16},
        {"op": "add", "path": "/extra/ours", "value": {"c": 3}},
    ]
    talk.say("PATCH", node, patch, keys=("instance_info", "extra", "provision_state"))
    talk.say("PATCH", node, [{"op": "remove", "path": "/extra/none"}])
    talk.say("PUT", f"{node}/states/provision", {"target": "deleted"})
    talk.say("PUT", f"{node}/states/provision", {"target": "active", "configdrive": {"meta_data": {"a": "b"}}})
    talk.say("PATCH", node, patch)
    talk.say("PUT", f"{node}/states/provision", {"target": "deleted"})
    talk.until(node, "provision_state", "active")
    found = talk.say("GET", f"/nodes?instance_uuid={mine}&fields=uuid,instance_info", keys=())
    told = found["nodes"][0]["instance_info"]
    talk.transcript.append(("instance_info", 200, {key: told.get(key) for key in ("image_source", "configdrive")}))
    talk.say("DELETE", f"/allocations/{mine}")
    talk.say("PUT", f"{node}/states/provision", {"target": "active"})
    talk.say("PUT", f"{node}/states/provision", {"target": "provide"})
    talk.say("PUT", f"{node}/maintenance", {"reason": "a look"})
    talk.say("GET", f"{node}?fields=maintenance,maintenance_reason,fault", keys=("maintenance", "maintenance_reason"))
    talk.say("DELETE", f"{node}/maintenance")
    talk.say("PUT", f"{node}/states/provision", {"target": "deleted"})
    talk.until(node, "provision_state", "available")
    talk.say("GET", f"/allocations/{mine}")
    talk.say("GET", node, keys=("provision_state", "instance_uuid", "instance_info", "extra", "allocation_uuid"))


def _gone(talk: Talk, node: str) -> None:
    talk.say("DELETE", node)
    talk.say("GET", node)
