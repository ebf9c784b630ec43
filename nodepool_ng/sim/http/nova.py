"""Nova's calls."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.routing import Route

from nodepool_ng.sim.calls import Call
from nodepool_ng.sim.http.door import Reply, Row, Visit, answer, member, not_admitted, paged, routes, whole
from nodepool_ng.sim.http.nova_json import EMBEDDED_FLAVOR, EXTRA_SPECS, Written, flavor_json
from nodepool_ng.sim.http.site import Site, seconds
from nodepool_ng.sim.refused import Refused
from nodepool_ng.sim.region import KeyPair
from nodepool_ng.sim.server import Server, ServerAsk

WORDS: Mapping[int, str] = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    409: "conflictingRequest",
    413: "overLimit",
    429: "overLimit",
    500: "computeFault",
    503: "serviceUnavailable",
}
KNOWS_AUTO = (2, 37)
"""Since this microversion a create must say which networks, or `auto`, or `none`."""
TYPED_KEYS = (2, 2)
"""Since this one keys have a type, and calls on them answer 201 and 204."""
ABSOLUTE = {"instances": "Instances", "cores": "Cores", "ram": "RAMSize"}


def nova(site: Site) -> list[Route]:
    """Return Nova's routes for all regions."""
    calls = _Servers()
    rows: tuple[Row, ...] = (
        ("GET", "/servers/detail", Call.SERVER_LIST, calls.detail),
        ("GET", "/servers", Call.SERVER_LIST, calls.brief),
        ("POST", "/servers", Call.SERVER_CREATE, _create),
        ("GET", "/servers/{id}", Call.SERVER_GET, calls.get),
        ("PUT", "/servers/{id}", Call.SERVER_UPDATE, calls.update),
        ("DELETE", "/servers/{id}", Call.SERVER_DELETE, calls.delete),
        ("GET", "/servers/{id}/metadata", Call.SERVER_GET, _metadata),
        ("POST", "/servers/{id}/metadata", Call.SERVER_UPDATE, _add_metadata),
        ("PUT", "/servers/{id}/metadata", Call.SERVER_UPDATE, _replace_metadata),
        ("DELETE", "/servers/{id}/metadata/{key}", Call.SERVER_UPDATE, _drop_metadata),
        ("GET", "/servers/{id}/os-volume_attachments", Call.SERVER_GET, _attachments),
        ("GET", "/servers/{id}/os-security-groups", Call.SERVER_GET, _groups),
        ("POST", "/servers/{id}/action", Call.SERVER_CONSOLE, _act),
        ("GET", "/flavors/detail", Call.FLAVOR_LIST, _flavors),
        ("GET", "/flavors", Call.FLAVOR_LIST, _flavors),
        ("GET", "/flavors/{id}", Call.FLAVOR_GET, _flavor),
        ("GET", "/flavors/{id}/os-extra_specs", Call.FLAVOR_GET, _extra_specs),
        ("GET", "/limits", Call.LIMITS_GET, _limits),
        ("GET", "/os-availability-zone", Call.ZONE_LIST, _zones),
        ("GET", "/os-keypairs", Call.KEYPAIR_LIST, _key_pairs),
        ("POST", "/os-keypairs", Call.KEYPAIR_CREATE, _create_key_pair),
        ("GET", "/os-keypairs/{name}", Call.KEYPAIR_GET, _key_pair),
        ("DELETE", "/os-keypairs/{name}", Call.KEYPAIR_DELETE, _delete_key_pair),
        ("GET", "/extensions", Call.EXTENSION_LIST, _extensions),
    )
    return routes(site, "compute/v2.1", rows, complaint, {"Vary": "OpenStack-API-Version"})


def complaint(refused: Refused) -> bytes:
    """Return Nova's form of an error."""
    if refused.status == 401:
        return not_admitted(refused)
    word = WORDS.get(refused.status, "computeFault")
    return json.dumps({word: {"code": refused.status, "message": refused.message}}).encode()


def microversion(visit: Visit) -> tuple[int, int]:
    """Return the microversion a caller wants; (2, 1) unless said."""
    said = visit.headers.get("openstack-api-version", "").removeprefix("compute ")
    said = said or visit.headers.get("x-openstack-nova-api-version", "")
    if said == "latest":
        return (2, 96)
    major, _, minor = said.partition(".")
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else (2, 1)


def _versioned(visit: Visit, reply: Reply) -> Reply:
    said = "{}.{}".format(*microversion(visit))
    headers = {**reply.headers, "OpenStack-API-Version": f"compute {said}", "X-OpenStack-Nova-API-Version": said}
    return Reply(status=reply.status, body=reply.body, items=reply.items, headers=headers)


class _Servers:
    """The calls that show servers, with what they have written down of them."""

    def __init__(self) -> None:
        self._written = Written()

    def detail(self, visit: Visit) -> Reply:
        rows, more = _page(visit, _wanted(visit))
        embedded = microversion(visit) >= EMBEDDED_FLAVOR
        of, now, here = self._written.of, visit.now, visit.here
        servers = [of(server, now=now, embedded=embedded, here=here) for server in rows]
        body = b'{"servers": [' + b", ".join(servers) + b"]" + _next(visit, "servers/detail", rows, more) + b"}"
        return _versioned(visit, Reply(body=body, items=len(rows)))

    def brief(self, visit: Visit) -> Reply:
        rows, more = _page(visit, _wanted(visit))
        shown = [{"id": server.id, "name": server.name, "links": []} for server in rows]
        body = json.dumps({"servers": shown}).encode()[:-1] + _next(visit, "servers", rows, more) + b"}"
        return _versioned(visit, Reply(body=body, items=len(rows)))

    def get(self, visit: Visit) -> Reply:
        return self._shown(visit, visit.region.servers.get(visit.caller, visit.path["id"], now=visit.now))

    def update(self, visit: Visit) -> Reply:
        # Only names can be changed this way, and nobody depends on it: the server is shown as it is.
        servers = visit.region.servers
        return self._shown(visit, servers.set_metadata(visit.caller, visit.path["id"], {}, now=visit.now))

    def delete(self, visit: Visit) -> Reply:
        visit.region.servers.delete(visit.caller, visit.path["id"], now=visit.now)
        self._written.forget(visit.path["id"])
        return Reply(status=204)

    def _shown(self, visit: Visit, server: Server) -> Reply:
        embedded = microversion(visit) >= EMBEDDED_FLAVOR
        raw = self._written.of(server, now=visit.now, embedded=embedded, here=visit.here)
        return _versioned(visit, Reply(body=b'{"server": ' + raw + b"}"))


def _wanted(visit: Visit) -> tuple[Server, ...]:
    since = visit.asked("changes-since")
    rows = visit.region.servers.list(
        visit.caller, now=visit.now, changed_since=None if since is None else seconds(since)
    )
    name, status = visit.asked("name"), visit.asked("status")
    if name is not None:
        try:
            pattern = re.compile(name)
        except re.error as error:
            raise Refused(400, f"Invalid name filter: {name}") from error
        rows = tuple(server for server in rows if pattern.search(server.name))
    if status is not None:
        rows = tuple(server for server in rows if server.status(visit.now) == status.upper())
    return rows


def _page(visit: Visit, rows: tuple[Server, ...]) -> tuple[tuple[Server, ...], bool]:
    most = visit.region.settings.page
    limit = min(most, whole(visit.asked("limit"), most))
    marker = visit.asked("marker")
    first = 0
    if marker is not None:
        places = [place for place, server in enumerate(rows) if server.id == marker]
        if not places:
            raise Refused(400, f"marker [{marker}] not found")
        first = places[0] + 1
    return rows[first : first + limit], len(rows) > first + limit


def _next(visit: Visit, path: str, rows: tuple[Server, ...], more: bool) -> bytes:
    # Nova gives a link whenever a page is full by the caller's limit; one that leads to an empty page costs a call.
    if not more or not rows:
        return b""
    query = [(key, value) for key, values in visit.query.items() if key != "marker" for value in values]
    href = f"{visit.here}/{path}?{urlencode([*query, ('marker', rows[-1].id)])}"
    return b', "servers_links": ' + json.dumps([{"rel": "next", "href": href}]).encode()


def _create(visit: Visit) -> Reply:
    wanted = member(visit.body, "server")
    if microversion(visit) >= KNOWS_AUTO and isinstance(wanted, Mapping) and "networks" not in wanted:
        raise Refused(400, "Invalid input for field/attribute server. 'networks' is a required property")
    server = visit.region.servers.create(visit.caller, ask_of(wanted), now=visit.now)
    href = f"{visit.here}/servers/{server.id}"
    shown = {
        "id": server.id,
        "links": [{"rel": "self", "href": href}],
        "OS-DCF:diskConfig": "MANUAL",
        "security_groups": [{"name": name} for name in server.ask.security_groups],
        "adminPass": server.id[:12],
    }
    return _versioned(visit, answer({"server": shown}, status=202, headers={"Location": href}))


def ask_of(wanted: Any) -> ServerAsk:
    """Return what a create body asks for; Refused 400 when it is not one."""
    if not isinstance(wanted, Mapping):
        raise Refused(400, "A server is described by a JSON object.")
    disks: list[dict[str, Any]] = wanted.get("block_device_mapping_v2") or []
    boot_volume = next((disk for disk in disks if disk.get("destination_type") == "volume"), {})
    networks = wanted.get("networks")
    nics = networks if isinstance(networks, list) else None
    flavor = member(wanted, "flavorRef")
    metadata = wanted.get("metadata") or {}
    if not isinstance(metadata, Mapping) or not all(isinstance(each, str) for each in metadata.values()):
        raise Refused(400, "Invalid input for field/attribute metadata: values must be strings.")
    return ServerAsk(
        name=str(member(wanted, "name")),
        flavor=str(flavor).rpartition("/")[2],
        image=wanted.get("imageRef") or boot_volume.get("uuid") or None,
        metadata=metadata,
        networks=() if networks == "none" else _ids(nics, "uuid"),
        ports=_ids(nics, "port") or (),
        security_groups=tuple(str(member(each, "name")) for each in wanted.get("security_groups") or ())
        or ("default",),
        zone=wanted.get("availability_zone"),
        key_name=wanted.get("key_name"),
        config_drive=str(wanted.get("config_drive", "")).lower() in ("true", "1"),
        user_data=wanted.get("user_data"),
        volume_size=int(boot_volume["volume_size"]) if boot_volume.get("volume_size") else None,
    )


def _ids(nics: list[Any] | None, kind: str) -> tuple[str, ...] | None:
    return None if nics is None else tuple(str(nic[kind]) for nic in nics if nic.get(kind))


def _metadata(visit: Visit) -> Reply:
    server = visit.region.servers.get(visit.caller, visit.path["id"], now=visit.now)
    return answer({"metadata": dict(server.metadata)})


def _add_metadata(visit: Visit) -> Reply:
    return _set_metadata(visit, member(visit.body, "metadata"), keep=True)


def _replace_metadata(visit: Visit) -> Reply:
    return _set_metadata(visit, member(visit.body, "metadata"), keep=False)


def _set_metadata(visit: Visit, metadata: Mapping[str, str], *, keep: bool) -> Reply:
    server = visit.region.servers.set_metadata(visit.caller, visit.path["id"], metadata, now=visit.now, keep=keep)
    return answer({"metadata": dict(server.metadata)})


def _drop_metadata(visit: Visit) -> Reply:
    live = visit.region.servers.live.get(visit.path["id"])
    if live is not None and live.caller.project == visit.caller.project and visit.path["key"] not in live.metadata:
        raise Refused(404, "Metadata item was not found")
    left = {} if live is None else {key: value for key, value in live.metadata.items() if key != visit.path["key"]}
    visit.region.servers.set_metadata(visit.caller, visit.path["id"], left, now=visit.now, keep=False)
    return Reply(status=204)


def _attachments(visit: Visit) -> Reply:
    server = visit.region.servers.get(visit.caller, visit.path["id"], now=visit.now)
    shown = [{"id": volume, "volumeId": volume, "serverId": server.id} for volume in server.volumes]
    return answer({"volumeAttachments": shown})


def _groups(visit: Visit) -> Reply:
    server = visit.region.servers.get(visit.caller, visit.path["id"], now=visit.now)
    return answer({"security_groups": [{"name": name, "id": name} for name in server.ask.security_groups]})


def _act(visit: Visit) -> Reply:
    member(visit.body, "os-getConsoleOutput")
    return answer({"output": visit.region.servers.console(visit.caller, visit.path["id"], now=visit.now)})


def _flavors(visit: Visit) -> Reply:
    flavors = visit.region.list_flavors(visit.caller, now=visit.now)
    specs = microversion(visit) >= EXTRA_SPECS
    shown = paged(visit, [flavor_json(flavor, here=visit.here, extra_specs=specs) for flavor in flavors])
    return _versioned(visit, answer({"flavors": shown}, items=len(shown)))


def _flavor(visit: Visit) -> Reply:
    flavor = visit.region.get_flavor(visit.caller, visit.path["id"], now=visit.now)
    specs = microversion(visit) >= EXTRA_SPECS
    return _versioned(visit, answer({"flavor": flavor_json(flavor, here=visit.here, extra_specs=specs)}))


def _extra_specs(visit: Visit) -> Reply:
    flavor = visit.region.get_flavor(visit.caller, visit.path["id"], now=visit.now)
    return answer({"extra_specs": dict(flavor.extra_specs)})


def _limits(visit: Visit) -> Reply:
    limits = visit.region.servers.limits(visit.caller, now=visit.now)
    shown = {f"maxTotal{word}": limits.limits[name] for name, word in ABSOLUTE.items()}
    shown |= {f"total{word.removesuffix('Size')}Used": limits.used[name] for name, word in ABSOLUTE.items()}
    shown |= {"maxTotalKeypairs": visit.region.settings.quota.key_pairs, "maxServerMeta": 128}
    return _versioned(visit, answer({"limits": {"rate": [], "absolute": shown}}))


def _zones(visit: Visit) -> Reply:
    zones = visit.region.list_zones(visit.caller, now=visit.now)
    shown = [{"zoneName": zone, "zoneState": {"available": True}, "hosts": None} for zone in zones]
    return answer({"availabilityZoneInfo": shown})


def _key_pair_json(pair: KeyPair) -> dict[str, object]:
    return {"name": pair.name, "public_key": pair.public_key, "fingerprint": "00:00", "type": "ssh"}


def _key_pairs(visit: Visit) -> Reply:
    pairs = visit.region.list_key_pairs(visit.caller, now=visit.now)
    return answer({"keypairs": [{"keypair": _key_pair_json(pair)} for pair in pairs]})


def _key_pair(visit: Visit) -> Reply:
    pair = visit.region.get_key_pair(visit.caller, visit.path["name"], now=visit.now)
    return answer({"keypair": _key_pair_json(pair)})


def _create_key_pair(visit: Visit) -> Reply:
    name = str(member(visit.body, "keypair", "name"))
    public_key = str(visit.body["keypair"].get("public_key") or "ssh-ed25519 AAAA simulated")
    made = visit.region.create_key_pair(visit.caller, name, public_key, now=visit.now)
    return answer({"keypair": _key_pair_json(made)}, status=201 if microversion(visit) >= TYPED_KEYS else 200)


def _delete_key_pair(visit: Visit) -> Reply:
    visit.region.delete_key_pair(visit.caller, visit.path["name"], now=visit.now)
    return Reply(status=204 if microversion(visit) >= TYPED_KEYS else 202)


def _extensions(visit: Visit) -> Reply:
    return answer({"extensions": []})
