"""Calls that are sent as the SDK sent one before, without what it does anew for each.

The SDK puts together where a call goes and which headers it has, and what it sends goes through two libraries more. For
the thousandth call to a service all of that comes out as for the first, and takes as long again as the call itself. So
the first one goes the SDK's way, and the others are sent like it. Tokens are the SDK's. What is no ordinary call, or
has no ordinary answer (a token that counts no more, a redirection), is left to the SDK.
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import requests
from keystoneauth1 import session as ks_session

from nodepool_ng.drivers.openstack.connections import Connections
from nodepool_ng.drivers.openstack.transport import Transport, endpoint_of
from nodepool_ng.model.ids import Json, Seconds

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
TO_THE_SDK = frozenset({301, 302, 303, 305, 307, 308, 401})
"""Answers after which it is asked: it follows redirections, and gets another token."""
PLAIN = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+")
"""Paths that nobody has to quote or to shorten."""
OF_ONE_CALL = frozenset({"content-type", "content-length"})
TOKEN_KEPT: Seconds = 5.0
"""How long a token counts before the SDK is asked again, which looks at its end each time. It gets another one two
minutes before that."""


class Sent(NamedTuple):
    """What came of a call."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: Seconds
    """How long the exchange took."""


class _Token:
    """What shows who calls, as the SDK said lately."""

    __slots__ = ("_kept", "_session")

    def __init__(self, session: ks_session.Session) -> None:
        self._session = session
        self._kept: tuple[Mapping[str, str], Seconds] | None = None
        """Headers, and until when they are taken for good."""

    def headers(self) -> Mapping[str, str] | None:
        kept = self._kept
        if kept is not None and time.monotonic() < kept[1]:
            return kept[0]
        shown: Mapping[str, str] | None = self._session.get_auth_headers()
        self._kept = None if shown is None else (shown, time.monotonic() + TOKEN_KEPT)
        return shown

    def refused(self, headers: Mapping[str, str]) -> None:
        """Have the SDK get another one, unless it did so for another call meanwhile."""
        self._kept = None
        if self._session.get_auth_headers() == headers:
            self._session.invalidate()


@dataclass(frozen=True, slots=True)
class Shortcut:
    """To one service. May be used from any number of threads."""

    session: ks_session.Session
    token: _Token
    connections: Connections
    url: str
    """Of the service, without a slash at its end."""
    headers: Mapping[str, str | bytes]
    """What every call has."""

    def send(
        self,
        method: str,
        path: str,
        *,
        json_body: Json = None,
        params: Mapping[str, str] | None = None,
        timeout: tuple[Seconds, Seconds],
    ) -> Sent | None:
        """Send a call and return its answer; None where the SDK has to make it.

        `timeout` has seconds to wait for a connection, and for each time that nothing comes. Raises
        `requests.RequestException` where no answer comes, and what the SDK raises when it cannot log in.
        """
        url = urlsplit(f"{self.url}/{path.lstrip('/')}")
        if method not in METHODS or url.query or url.fragment or PLAIN.fullmatch(url.path) is None:
            return None
        shown = self.token.headers()
        if shown is None:
            return None
        headers = {**self.headers, **shown}
        body = None if json_body is None else json.dumps(json_body).encode()
        if body is not None:
            headers["Content-Type"] = "application/json"
        if body is not None or method != "GET":
            headers["Content-Length"] = str(len(body or b""))
        began = time.monotonic()
        answer = self.connections.exchange(
            endpoint_of(url, self.session.verify or False, self.session.cert),
            method,
            f"{url.path}?{urlencode(params)}" if params else url.path,
            headers=headers,
            body=body,
            connect=timeout[0],
            read=timeout[1],
        )
        if answer.status not in TO_THE_SDK:
            return Sent(answer.status, answer.headers, answer.body, time.monotonic() - began)
        if answer.status == 401:
            self.token.refused(shown)
        return None


def learned(session: Any, url: str, path: str, response: requests.Response) -> Shortcut | None:
    """Return how to send calls to the service at `url` like one to `path` that was answered so; None where that is not
    all there is to it."""
    if not isinstance(session, ks_session.Session) or not isinstance(session.session, Transport):
        return None
    connections = session.session.direct()
    if connections is None or response.history or session.get_auth_connection_params():
        return None
    base = url.rstrip("/")
    if str(response.request.url).partition("?")[0] != f"{base}/{path.lstrip('/')}":
        return None
    others = OF_ONE_CALL | {name.lower() for name in session.get_auth_headers() or ()}
    headers = {name: value for name, value in response.request.headers.items() if name.lower() not in others}
    return Shortcut(session, _Token(session), connections, base, MappingProxyType(headers))
