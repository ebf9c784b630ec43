"""Keystone: who one is, and where the services are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nodepool_ng.sim.http.door import Endpoint, member, rendered
from nodepool_ng.sim.http.site import Cloud, Site, Token, iso
from nodepool_ng.sim.ids import id_of
from nodepool_ng.sim.refused import Refused

DEFAULT_DOMAIN = {"id": "default", "name": "Default"}
SERVICES: Mapping[str, str] = MappingProxyType(
    {
        "compute": "compute/v2.1",
        "network": "network",
        "image": "image",
        "volumev3": "volume/v3",
        "baremetal": "baremetal",
    }
)


def keystone(site: Site) -> list[Route]:
    """Return Keystone's routes for all clouds."""
    return [
        Route("/{cloud}/identity/v3/auth/tokens", _tokens(site), methods=["POST", "GET", "DELETE"]),
        Route("/{cloud}/identity/v3/auth/projects", _projects(site)),
        Route("/{cloud}/identity/v3/projects", _projects(site)),
        Route("/{cloud}/identity/v3", _version(site)),
        Route("/{cloud}/identity/v3/", _version(site)),
        Route("/{cloud}/identity", _versions(site)),
        Route("/{cloud}/identity/", _versions(site)),
    ]


def complaint(refused: Refused) -> bytes:
    """Return Keystone's form of an error."""
    title = HTTPStatus(refused.status).phrase
    return json.dumps({"error": {"code": refused.status, "title": title, "message": refused.message}}).encode()


def _tokens(site: Site) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            cloud = site.cloud(request.path_params["cloud"])
            if request.method == "POST":
                token = _log_in(cloud, await request.body(), site.clock())
                return _token_response(site, cloud, token, 201)
            cloud.token(request.headers.get("x-auth-token"), now=site.clock())
            subject = cloud.token(request.headers.get("x-subject-token"), now=site.clock())
            if request.method == "DELETE":
                del cloud.tokens[subject.id]
                return Response(status_code=204)
            return _token_response(site, cloud, subject, 200)
        except Refused as refused:
            return rendered(refused, complaint)

    return endpoint


def _log_in(cloud: Cloud, raw: bytes, now: float) -> Token:
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise Refused(400, "Malformed request body") from error
    identity = member(body, "auth", "identity")
    if "password" not in member(identity, "methods"):
        raise Refused(401, "Only the method password is known here.")
    user = member(identity, "password", "user")
    scope = body["auth"].get("scope")
    project = scope.get("project") if isinstance(scope, Mapping) else None
    wanted = (project.get("id") or project.get("name")) if isinstance(project, Mapping) else None
    name = user.get("id") or user.get("name") if isinstance(user, Mapping) else None
    return cloud.log_in(str(name), str(member(user, "password")), wanted, now=now)


def _token_response(site: Site, cloud: Cloud, token: Token, status: int) -> Response:
    content = {
        "token": {
            "methods": ["password"],
            "user": {"id": token.caller.user, "name": cloud.settings.user, "domain": DEFAULT_DOMAIN},
            "project": {"id": token.caller.project, "name": token.project, "domain": DEFAULT_DOMAIN},
            "roles": [{"id": id_of("role", "member"), "name": "member"}],
            "is_domain": False,
            "issued_at": _precise(token.issued),
            "expires_at": _precise(token.expires),
            "audit_ids": [token.id[:22]],
            "catalog": _catalog(site, cloud),
        }
    }
    return JSONResponse(content, status, {"X-Subject-Token": token.id, "Vary": "X-Auth-Token"})


def _precise(at: float) -> str:
    return iso(at).replace("Z", f".{int(at % 1 * 1e6):06d}Z")


def _catalog(site: Site, cloud: Cloud) -> list[dict[str, object]]:
    places = {kind: {region: f"{region}/{path}" for region in cloud.regions} for kind, path in SERVICES.items()}
    places["identity"] = dict.fromkeys(cloud.regions, "identity/v3")
    return [
        {
            "type": kind,
            "name": kind,
            "id": id_of("service", cloud.name, kind),
            "endpoints": [
                {
                    "id": id_of("endpoint", cloud.name, kind, region, interface),
                    "interface": interface,
                    "region": region,
                    "region_id": region,
                    "url": f"{site.base_url}/{cloud.name}/{path}",
                }
                for region, path in by_region.items()
                for interface in ("public", "internal", "admin")
            ],
        }
        for kind, by_region in places.items()
    ]


def _projects(site: Site) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            cloud = site.cloud(request.path_params["cloud"])
            cloud.token(request.headers.get("x-auth-token"), now=site.clock())
        except Refused as refused:
            return rendered(refused, complaint)
        projects = [
            {"id": cloud.caller(name).project, "name": name, "domain_id": "default", "enabled": True}
            for name in cloud.settings.projects
        ]
        return JSONResponse({"projects": projects, "links": {"next": None}})

    return endpoint


def _document(site: Site, cloud: str) -> dict[str, object]:
    links = [{"rel": "self", "href": f"{site.base_url}/{cloud}/identity/v3/"}]
    return {"id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z", "links": links, "media-types": []}


def _version(site: Site) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return JSONResponse({"version": _document(site, request.path_params["cloud"])})

    return endpoint


def _versions(site: Site) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return JSONResponse({"versions": {"values": [_document(site, request.path_params["cloud"])]}}, 300)

    return endpoint
