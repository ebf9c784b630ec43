"""The version documents of the services of a region, which the SDK reads before its first call."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nodepool_ng.sim.http.door import Endpoint
from nodepool_ng.sim.http.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of a service; the microversions are empty where a service has none."""

    service: str
    id: str
    path: str
    newest: str = ""
    oldest: str = ""
    single: bool = False  # whether the versioned URL answers with one version or with a list


VERSIONS = (
    Version(service="compute", id="v2.1", path="v2.1", newest="2.96", oldest="2.1", single=True),
    Version(service="network", id="v2.0", path="v2.0"),
    Version(service="image", id="v2.9", path="v2"),
    Version(service="baremetal", id="v1", path="v1", newest="1.115", oldest="1.1", single=True),
    Version(service="volume", id="v3.0", path="v3", newest="3.71", oldest="3.0"),
)


def discovery(site: Site) -> list[Route]:
    """Return the routes of all version documents; they ask for no token and are not counted."""
    found = []
    for version in VERSIONS:
        root = f"/{{cloud}}/{{region}}/{version.service}"
        found += [Route(path, _all(site, version)) for path in (root, f"{root}/", f"{root}/versions")]
        found += [Route(path, _one(site, version)) for path in (f"{root}/{version.path}", f"{root}/{version.path}/")]
    return found


def _document(site: Site, version: Version, request: Request) -> dict[str, object]:
    path = request.path_params
    href = f"{site.base_url}/{path['cloud']}/{path['region']}/{version.service}/{version.path}/"
    return {
        "id": version.id,
        "status": "CURRENT",
        "version": site.region(path["cloud"], path["region"]).settings.bare_metal.newest
        if version.service == "baremetal"
        else version.newest,
        "min_version": version.oldest,
        "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": href}],
    }


def _all(site: Site, version: Version) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        status = 300 if version.service in ("image", "volume") else 200
        return JSONResponse({"versions": [_document(site, version, request)]}, status)

    return endpoint


def _one(site: Site, version: Version) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        document = _document(site, version, request)
        return JSONResponse({"version": document} if version.single else {"versions": [document]})

    return endpoint
