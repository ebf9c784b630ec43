"""Glance's calls. Uploaded bytes are counted and hashed as they come, and forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from nodepool_ng.sim.calls import Call
from nodepool_ng.sim.http.door import Endpoint, Reply, Row, Visit, admit, answer, rendered, routes, whole
from nodepool_ng.sim.http.neutron import matching
from nodepool_ng.sim.http.site import Site, iso
from nodepool_ng.sim.images import Content, Image, format_of
from nodepool_ng.sim.refused import Refused

NOT_ADMITTED = (
    "This server could not verify that you are authorized to access the document you requested. Either you supplied "
    "the wrong credentials (e.g., bad password), or your browser does not understand how to supply the credentials "
    "required."
)
LONGEST_MAGIC = 8  # bytes
DEFAULT_PAGE = 25  # images, as Glance has it


def glance(site: Site) -> list[Route]:
    """Return Glance's routes for all regions."""
    rows: tuple[Row, ...] = (
        ("GET", "/images", Call.IMAGE_LIST, _list),
        ("POST", "/images", Call.IMAGE_CREATE, _create),
        ("GET", "/images/{id}", Call.IMAGE_GET, _get),
        ("PATCH", "/images/{id}", Call.IMAGE_UPDATE, _patch),
        ("DELETE", "/images/{id}", Call.IMAGE_DELETE, _delete),
        ("GET", "/info/import", Call.IMAGE_IMPORT_INFO, _import_info),
    )
    upload = Route("/{cloud}/{region}/image/v2/images/{id}/file", _upload(site), methods=["PUT"])
    return [upload, *routes(site, "image/v2", rows, complaint, {})]


def complaint(refused: Refused) -> bytes:
    """Return Glance's form of an error, which is a page for a browser."""
    text = NOT_ADMITTED if refused.status == 401 else refused.message
    title = f"{refused.status} {HTTPStatus(refused.status).phrase}"
    head = f"<html>\n <head>\n  <title>{title}</title>\n </head>\n"
    return f"{head} <body>\n  <h1>{title}</h1>\n  {escape(text)}<br /><br />\n\n\n\n </body>\n</html>".encode()


def image_json(image: Image, now: float) -> dict[str, Any]:
    """Return an image as Glance shows it, its properties among its fields."""
    content = image.content
    return {
        **image.properties,
        "id": image.id,
        "name": image.name,
        "status": image.status(now).value,
        "visibility": image.visibility,
        "owner": image.project,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "protected": image.protected,
        "tags": list(image.tags),
        "size": content.size if content else None,
        "virtual_size": None,
        "checksum": content.md5 if content else None,
        "os_hash_algo": "sha512" if content else None,
        "os_hash_value": content.sha512 if content else None,
        "os_hidden": False,
        "created_at": iso(image.created),
        "updated_at": iso(image.updated),
        "self": f"/v2/images/{image.id}",
        "file": f"/v2/images/{image.id}/file",
        "schema": "/v2/schemas/image",
    }


def _list(visit: Visit) -> Reply:
    images = visit.region.images.list(visit.caller, now=visit.now)
    rows = matching((image_json(image, visit.now) for image in images), visit.query)
    limit, marker = whole(visit.asked("limit"), DEFAULT_PAGE), visit.asked("marker")
    ids = [row["id"] for row in rows]
    if marker is not None and marker not in ids:
        raise Refused(400, f"No image found with ID {marker}")
    first = 0 if marker is None else ids.index(marker) + 1
    page = rows[first : first + limit]
    content: dict[str, object] = {"images": page, "schema": "/v2/schemas/images", "first": "/v2/images"}
    if page and len(rows) > first + limit:
        content["next"] = f"/v2/images?limit={limit}&marker={page[-1]['id']}"
    return answer(content, items=len(page))


def _create(visit: Visit) -> Reply:
    if not isinstance(visit.body, Mapping):
        raise Refused(400, "An image is described by a JSON object.")
    image = visit.region.images.create(visit.caller, visit.body, now=visit.now)
    headers = {"Location": f"{visit.here}/images/{image.id}"}
    return answer(image_json(image, visit.now), status=201, headers=headers)


def _get(visit: Visit) -> Reply:
    return answer(image_json(visit.region.images.get(visit.caller, visit.path["id"], now=visit.now), visit.now))


def _patch(visit: Visit) -> Reply:
    if not isinstance(visit.body, list):
        raise Refused(400, "Changes are a JSON patch.")
    changes = {
        str(step.get("path", "")).removeprefix("/"): None if step.get("op") == "remove" else step.get("value")
        for step in visit.body
    }
    image = visit.region.images.update(visit.caller, visit.path["id"], changes, now=visit.now)
    return answer(image_json(image, visit.now))


def _delete(visit: Visit) -> Reply:
    visit.region.images.delete(visit.caller, visit.path["id"], now=visit.now)
    return Reply(status=204)


def _import_info(visit: Visit) -> Reply:
    with visit.region.gate.passing(Call.IMAGE_IMPORT_INFO, visit.now):
        return answer({"import-methods": {"description": "Import methods available.", "type": "array", "value": []}})


def _upload(site: Site) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        image_id = request.path_params["id"]
        try:
            region, caller = admit(site, request)
            kind = request.headers.get("content-type", "")
            if kind != "application/octet-stream":
                raise Refused(
                    415,
                    f"The request media type {kind} is not supported by this server. Invalid content type {kind}",
                )
            latency = region.gate.latency(Call.IMAGE_UPLOAD)
            fault = region.images.begin_upload(caller, image_id, now=site.clock())
            try:
                content = await _swallowed(request)
            except ClientDisconnect:
                region.images.abort_upload(image_id, now=site.clock())
                return Response(status_code=400)
            if latency:
                await asyncio.sleep(latency)
            region.images.end_upload(image_id, content, fault, now=site.clock())
        except Refused as refused:
            # Who is in the middle of sending hears an answer only after the last byte.
            with contextlib.suppress(ClientDisconnect, RuntimeError):
                async for _ in request.stream():
                    pass
            return rendered(refused, complaint)
        return Response(status_code=204)

    return endpoint


async def _swallowed(request: Request) -> Content:
    md5, sha512 = hashlib.md5(usedforsecurity=False), hashlib.sha512()
    size, head = 0, b""
    async for chunk in request.stream():
        size += len(chunk)
        head = (head + chunk)[:LONGEST_MAGIC] if len(head) < LONGEST_MAGIC else head
        md5.update(chunk)
        sha512.update(chunk)
    return Content(size=size, md5=md5.hexdigest(), sha512=sha512.hexdigest(), format=format_of(head))
