"""The same calls to any OpenStack, and what was answered, in a form that can be compared: the status, and the shape of
the body: its members and their types, with the text of refusals.

Neither ids nor instants are part of it, nor how long anything took.
"""

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from nodepool_ng.drivers.openstack.refusal import message_of
from nodepool_ng.drivers.openstack.wire import (
    RawAddress,
    RawFixedIp,
    RawFlavor,
    RawFloatingIp,
    RawImage,
    RawNetwork,
    RawPort,
    RawServer,
    RawZone,
)

PATIENCE = 60.0  # seconds
UNKNOWN = "00000000-0000-4000-8000-000000000000"
_VARYING = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}|req-\S+|10(\.\d+){3}")

TELLING = ("status", "OS-EXT-STS:vm_state", "OS-EXT-STS:task_state", "OS-EXT-IPS:type", "os_hash_algo")
"""Members whose values are compared, too."""

Shape = Mapping[str, Any] | list[Any] | str


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: its status, and the shape of what came with it; refusals keep their text."""

    status: int
    shape: Shape | None
    text: str = ""


class Limit(Protocol):
    def __call__(self, **limits: int) -> None: ...


@dataclass
class Talk:
    """One side of the comparison: a connection of the SDK, and all that was said over it, by the name of the step."""

    connection: Any
    limit: Limit
    """Sets quotas of the project, by the names they have in the simulation."""
    said: dict[str, Said] = field(default_factory=dict)

    def call(self, step: str, service: str, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Make one call and keep what was answered under the name of the step; returns the decoded body."""
        content = self.ask(service, method, path, body, **more)
        self.said[step] = said(content)
        return decoded(content)

    def ask(self, service: str, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Make one call that is not compared; returns the response."""
        adapter = getattr(self.connection, service)
        options: dict[str, Any] = {"raise_exc": False, "connect_retries": 0, "status_code_retries": 0, **more}
        if service == "compute":
            options.setdefault("microversion", "2.69")
        if body is not None:
            options["json"] = body
        return adapter.session.request(
            adapter.get_endpoint().rstrip("/") + path,
            method,
            authenticated=True,
            user_agent="transcript",
            endpoint_filter={"service_type": adapter.service_type},
            **options,
        )

    def until(self, what: str, condition: Any) -> None:
        """Wait until something holds in the cloud."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, what
            time.sleep(0.3)


def said(response: Any) -> Said:
    """Return what an answer comes to."""
    content = decoded(response)
    if response.status_code < 400:
        return Said(response.status_code, None if content is None else shape(content))
    form = None if content is None else shape(content)
    return Said(response.status_code, form, _VARYING.sub("ID", message_of(response.text)))


def decoded(response: Any) -> Any:
    """Return a body of JSON; None where there is none."""
    try:
        return response.json()
    except ValueError:
        return None


def shape(value: Any) -> Shape:
    """Return the members of a value and the names of their types; a list is as its first entry."""
    match value:
        case dict():
            return {key: each if key in TELLING and each else shape(each) for key, each in sorted(value.items())}
        case list():
            return [shape(value[0])] if value else []
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case None:
            return "null"
    return "string"


def differences(real: Shape | None, simulated: Shape | None, at: str = "") -> Iterator[str]:
    """Yield what the simulated shape has that the real one has not, or has otherwise. What it leaves out is fine
    here: which members have to be there is for `needed` to say."""
    match real, simulated:
        case dict(), dict():
            for key, each in simulated.items():
                if key in real:
                    yield from differences(real[key], each, f"{at}.{key}")
                else:
                    yield f"{at}.{key} does not exist"
        case list(), list():
            if real and simulated:
                yield from differences(real[0], simulated[0], f"{at}[]")
        case ("null", _) | (_, "null"):
            return
        case _ if real != simulated:
            yield f"{at} is {simulated!r} instead of {real!r}"


def play(talk: Talk, folder: Path) -> None:
    """Have the whole conversation; the folder is for a small image."""
    qcow2 = folder / "empty.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(qcow2), "1M"], check=True)
    _compute(talk)
    _network(talk)
    _image(talk, qcow2.read_bytes())
    _identity(talk)


def _compute(talk: Talk) -> None:
    call, c = talk.call, "compute"
    call("no servers", c, "GET", "/servers/detail")
    call("no servers, in brief", c, "GET", "/servers")
    call("limits", c, "GET", "/limits")
    call("zones", c, "GET", "/os-availability-zone")
    flavors = call("flavors", c, "GET", "/flavors/detail")["flavors"]
    flavor = next(one["id"] for one in flavors if one["name"] == "small")
    call("unknown flavor", c, "GET", f"/flavors/{UNKNOWN}")
    call("unknown server", c, "GET", f"/servers/{UNKNOWN}")
    call("delete an unknown server", c, "DELETE", f"/servers/{UNKNOWN}")
    call("console of an unknown server", c, "POST", f"/servers/{UNKNOWN}/action", {"os-getConsoleOutput": {}})
    call("unknown marker", c, "GET", "/servers/detail", params={"marker": UNKNOWN})
    call("limit that is none", c, "GET", "/servers/detail", params={"limit": "many"})
    call("changes since nonsense", c, "GET", "/servers/detail", params={"changes-since": "yesterday"})

    images = talk.ask("image", "GET", "/images", params={"name": "base"}).json()["images"]
    good = {"name": "one", "flavorRef": flavor, "imageRef": images[0]["id"], "networks": "auto"}
    for step, wrong in {
        "create: unknown flavor": {"flavorRef": UNKNOWN},
        "create: unknown image": {"imageRef": UNKNOWN},
        "create: no name": {"name": ""},
        "create: name too long": {"name": "n" * 256},
        "create: metadata too long": {"metadata": {"key": "v" * 256}},
        "create: metadata not strings": {"metadata": {"key": 1}},
        "create: unknown zone": {"availability_zone": "nowhere"},
        "create: unknown key": {"key_name": "nobody's"},
        "create: unknown group": {"security_groups": [{"name": "nobody's"}]},
        "create: unknown network": {"networks": [{"uuid": UNKNOWN}]},
        "create: unknown port": {"networks": [{"port": UNKNOWN}]},
    }.items():
        call(step, c, "POST", "/servers", {"server": {**good, **wrong}})
    call("create: no networks said", c, "POST", "/servers", {"server": {k: good[k] for k in good if k != "networks"}})
    call("create: nothing", c, "POST", "/servers", {})
    for what in ("instances", "cores", "ram"):
        talk.limit(**{what: 0})
        call(f"create: over the quota of {what}", c, "POST", "/servers", {"server": good})
        call(f"limits without {what}", c, "GET", "/limits")
        talk.limit(**{what: 100000})
    began = time.time()
    made = call("create", c, "POST", "/servers", {"server": {**good, "metadata": {"whose": "ours"}}})["server"]["id"]
    one = f"/servers/{made}"

    def status() -> str:
        return str(talk.ask(c, "GET", one).json()["server"]["status"])

    talk.until("the server boots", lambda: status() == "ACTIVE")
    call("a server", c, "GET", one)
    call("servers", c, "GET", "/servers/detail")
    call("servers, in brief", c, "GET", "/servers")
    call("one of them a page", c, "GET", "/servers/detail", params={"limit": "1"})
    call("by name", c, "GET", "/servers/detail", params={"name": "^one$"})
    call("by another name", c, "GET", "/servers/detail", params={"name": "two"})
    call("metadata", c, "GET", f"{one}/metadata")
    call("add metadata", c, "POST", f"{one}/metadata", {"metadata": {"more": "of it"}})
    call("add too long metadata", c, "POST", f"{one}/metadata", {"metadata": {"more": "o" * 256}})
    call("drop metadata", c, "DELETE", f"{one}/metadata/more")
    call("drop metadata again", c, "DELETE", f"{one}/metadata/more")
    call("console", c, "POST", f"{one}/action", {"os-getConsoleOutput": {}})
    call("its ports", "network", "GET", "/ports", params={"device_id": made})
    (port,) = talk.ask("network", "GET", "/ports", params={"device_id": made}).json()["ports"]
    call("delete its port", "network", "DELETE", f"/ports/{port['id']}")
    call("limits in use", c, "GET", "/limits")
    call("delete", c, "DELETE", one)
    again = talk.ask(c, "DELETE", one).status_code  # 204, or 404 where the deletion was quick
    assert again in (204, 404, 409), again
    talk.until("the server goes", lambda: talk.ask(c, "GET", one).status_code == 404)
    call("a server that is gone", c, "GET", one)
    call("delete once more", c, "DELETE", one)
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began - 5))
    changed = talk.ask(c, "GET", "/servers/detail", params={"changes-since": since}).json()["servers"]
    # others may have been deleted in these seconds, too
    talk.said["changes since"] = Said(200, shape({"servers": [each for each in changed if each["id"] == made]}))
    call("no ports are left", "network", "GET", "/ports", params={"device_id": made})

    key = {"keypair": {"name": "a-key", "public_key": PUBLIC_KEY}}
    call("enter a key", c, "POST", "/os-keypairs", key)
    call("enter it again", c, "POST", "/os-keypairs", key)
    call("keys", c, "GET", "/os-keypairs")
    call("a key", c, "GET", "/os-keypairs/a-key")
    call("unknown key", c, "GET", "/os-keypairs/another")
    call("drop a key", c, "DELETE", "/os-keypairs/a-key")
    call("drop it again", c, "DELETE", "/os-keypairs/a-key")


PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBjm1mAZrBuGEuJ9OODFbG6Dg3kzGWHxSHBfQXn6c6Yx tests"


def _network(talk: Talk) -> None:
    call, n = talk.call, "network"
    networks = call("networks", n, "GET", "/networks")["networks"]
    inside = next(one["id"] for one in networks if not one["router:external"])
    outside = next(one["id"] for one in networks if one["router:external"])
    call("a network by name", n, "GET", "/networks", params={"name": "nowhere"})
    call("unknown network", n, "GET", f"/networks/{UNKNOWN}")
    call("subnets", n, "GET", "/subnets")
    call("port on an unknown network", n, "POST", "/ports", {"port": {"network_id": UNKNOWN}})
    port = call("make a port", n, "POST", "/ports", {"port": {"network_id": inside, "name": "p"}})["port"]["id"]
    call("a port", n, "GET", f"/ports/{port}")
    call("ports that are down", n, "GET", "/ports", params={"status": "DOWN"})
    floating = {"floating_network_id": outside, "port_id": port, "description": "d"}
    made = call("make a floating IP", n, "POST", "/floatingips", {"floatingip": floating})["floatingip"]["id"]
    call("second floating IP for a port", n, "POST", "/floatingips", {"floatingip": floating})
    call("floating IPs by description", n, "GET", "/floatingips", params={"description": "d"})
    call("floating IPs by another", n, "GET", "/floatingips", params={"description": "e"})
    call("a floating IP", n, "GET", f"/floatingips/{made}")
    call("floating IP on an unknown network", n, "POST", "/floatingips", _floating(UNKNOWN))
    call("floating IP on an inner network", n, "POST", "/floatingips", _floating(inside))
    unknown = {"floating_network_id": outside, "port_id": UNKNOWN}
    call("floating IP for an unknown port", n, "POST", "/floatingips", {"floatingip": unknown})
    talk.limit(ports=0, floating_ips=0)
    call("port over the quota", n, "POST", "/ports", {"port": {"network_id": inside}})
    call("floating IP over the quota", n, "POST", "/floatingips", _floating(outside))
    talk.limit(ports=1000, floating_ips=1000)
    call("delete a port in use", n, "DELETE", f"/ports/{port}")
    call("floating IP without its port", n, "GET", f"/floatingips/{made}")
    call("delete a floating IP", n, "DELETE", f"/floatingips/{made}")
    call("delete it again", n, "DELETE", f"/floatingips/{made}")
    for owner in ("compute:az1", "baremetal:none", "somebody:else"):
        left = {"network_id": inside, "device_id": UNKNOWN, "device_owner": owner}
        path = f"/ports/{call(f'a port of {owner}', n, 'POST', '/ports', {'port': left})['port']['id']}"
        call(f"delete a port of {owner}", n, "DELETE", path)
        call(f"take it away from {owner}", n, "PUT", path, {"port": {"device_owner": ""}})
        call(f"delete it without {owner}", n, "DELETE", path)
    call("delete an unknown port", n, "DELETE", f"/ports/{UNKNOWN}")
    call("unknown port", n, "GET", f"/ports/{UNKNOWN}")
    call("security groups", n, "GET", "/security-groups")


def _floating(network: str) -> Any:
    return {"floatingip": {"floating_network_id": network}}


def _image(talk: Talk, qcow2: bytes) -> None:
    call, i = talk.call, "image"
    call("images", i, "GET", "/images")
    call("images of a name", i, "GET", "/images", params={"name": "nowhere", "status": "active"})
    call("images after an unknown marker", i, "GET", "/images", params={"marker": UNKNOWN})
    call("unknown image", i, "GET", f"/images/{UNKNOWN}")
    call("delete an unknown image", i, "DELETE", f"/images/{UNKNOWN}")
    body = {"name": "new", "disk_format": "qcow2", "container_format": "bare", "visibility": "private", "kind": "test"}
    call("image of no known format", i, "POST", "/images", {**body, "disk_format": "tape"})
    call("image with a number as property", i, "POST", "/images", {**body, "kind": 1})
    made = call("make an image", i, "POST", "/images", body)["id"]
    one = f"/images/{made}"
    call("make it again", i, "POST", "/images", {**body, "id": made})
    call("a queued image", i, "GET", one)
    octets = {"headers": {"Content-Type": "application/octet-stream"}}
    other = f"/images/{talk.ask(i, 'POST', '/images', body).json()['id']}"
    call("data of another format", i, "PUT", f"{other}/file", data=os.urandom(5000), **octets)
    call("an image after that", i, "GET", other)
    call("delete it after that", i, "DELETE", other)
    call("data", i, "PUT", f"{one}/file", data=qcow2, **octets)
    call("an active image", i, "GET", one)
    call("data once more", i, "PUT", f"{one}/file", data=qcow2, **octets)
    call("data for an unknown image", i, "PUT", f"/images/{UNKNOWN}/file", data=b"x" * 100, **octets)
    call("data as JSON", i, "PUT", f"{one}/file", {"not": "data"})
    patch = {"headers": {"Content-Type": "application/openstack-images-v2.1-json-patch"}}
    call("protect it", i, "PATCH", one, [{"op": "replace", "path": "/protected", "value": True}], **patch)
    call("delete what is protected", i, "DELETE", one)
    call("unprotect it", i, "PATCH", one, [{"op": "replace", "path": "/protected", "value": False}], **patch)
    call("change its status", i, "PATCH", one, [{"op": "replace", "path": "/status", "value": "queued"}], **patch)
    call("list it", i, "GET", "/images", params={"name": "new"})
    call("delete the image", i, "DELETE", one)
    call("delete the image again", i, "DELETE", one)
    call("an image that is gone", i, "GET", one)


def _identity(talk: Talk) -> None:
    session = talk.connection.session
    wrong = {"identity": {"methods": ["password"], "password": {"user": _user("guessed")}}}
    url = talk.connection.config.get_auth_args()["auth_url"] + "/auth/tokens"
    plain = {"authenticated": False, "raise_exc": False, "user_agent": "transcript"}
    talk.said["wrong password"] = said(session.request(url, "POST", json={"auth": wrong}, **plain))
    talk.said["login without anything"] = said(session.request(url, "POST", json={"auth": {}}, **plain))
    for service, path in (("compute", "/servers/detail"), ("network", "/networks"), ("image", "/images")):
        endpoint = getattr(talk.connection, service).get_endpoint().rstrip("/")
        for step, headers in (("no token", {}), ("expired token", {"X-Auth-Token": "gAAAAA" + "x" * 170})):
            answer = session.request(endpoint + path, "GET", headers=headers, **plain)
            talk.said[f"{step} for {service}"] = said(answer)


def _user(password: str) -> Any:
    return {"name": "ci", "domain": {"id": "default"}, "password": password}


_SERVER = {**RawServer.__annotations__, **RawAddress.__annotations__, **RawFlavor.__annotations__}
NEEDED: Mapping[str, frozenset[str]] = {
    "server": frozenset(_SERVER),
    "servers": frozenset(_SERVER),
    "flavors": frozenset(RawFlavor.__annotations__),
    "availabilityZoneInfo": frozenset(RawZone.__annotations__),
    "networks": frozenset(RawNetwork.__annotations__),
    "ports": frozenset({**RawPort.__annotations__, **RawFixedIp.__annotations__}),
    "floatingip": frozenset(RawFloatingIp.__annotations__),
    "floatingips": frozenset(RawFloatingIp.__annotations__),
    "images": frozenset(RawImage.__annotations__),
}
"""Members that the product reads of what, so that what the real cloud says the simulated one has to say, too."""


def lacks(real: Shape | None, simulated: Shape | None) -> Iterator[str]:
    """Yield the members that the product reads and the real shape has, but not the simulated one."""
    match real, simulated:
        case dict(), dict():
            for key in real.keys() & simulated.keys() & NEEDED.keys():
                yield from _lacks(real[key], simulated[key], NEEDED[key], f".{key}")


def _lacks(real: Shape | None, simulated: Shape | None, needed: frozenset[str], at: str) -> Iterator[str]:
    match real, simulated:
        case dict(), dict():
            for key, each in real.items():
                if key in simulated:
                    yield from _lacks(each, simulated[key], needed, f"{at}.{key}")
                elif key in needed:
                    yield f"{at}.{key}"
        case list(), list():
            if real and simulated:
                yield from _lacks(real[0], simulated[0], needed, f"{at}[]")
