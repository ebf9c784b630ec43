"""What carries the SDK's requests to a cloud: connections, and no more than an API needs of `requests`.

A session of `requests` is made for browsing: for every request it looks through the environment, merges settings, keeps
cookies and looks for redirects, which takes half as long again as everything else that `requests` does for it.
"""

import os
import time
from collections.abc import Iterable
from datetime import timedelta
from io import BytesIO
from typing import Any
from urllib.parse import SplitResult, urlsplit

import requests
from keystoneauth1 import session as ks_session
from requests.structures import CaseInsensitiveDict

from nodepool_ng.drivers.openstack.connections import Connections, Endpoint
from nodepool_ng.model.pace import MOST_THREADS

MOST_ENDPOINTS = 100
"""Hosts and ports to which connections through a proxy are kept; a cloud has one for each service."""


class _Carrier(ks_session.TCPKeepAliveAdapter):
    """Takes what goes neither through a proxy nor in pieces the short way."""

    def __init__(self, **options: Any) -> None:
        self.connections = Connections()
        super().__init__(**options)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        url = urlsplit(str(request.url))
        body: Any = request.body.encode() if isinstance(request.body, str) else request.body
        whole = body is None or isinstance(body, bytes)
        if stream or proxies or not whole or url.hostname is None:
            return super().send(request, stream, timeout, verify, cert, proxies)
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        answer = self.connections.exchange(
            endpoint_of(url, verify, cert),
            str(request.method),
            request.path_url,
            headers=request.headers,
            body=body,
            connect=connect,
            read=read,
        )
        response = requests.Response()
        response.status_code, response.reason = answer.status, answer.reason
        response.headers = CaseInsensitiveDict(answer.headers)
        response.encoding = requests.utils.get_encoding_from_headers(response.headers)
        response.raw, response.url, response.request = BytesIO(answer.body), str(request.url), request
        return response

    def close(self) -> None:
        self.connections.close()
        super().close()


class Transport(requests.Session):
    """To be used by a session of keystoneauth, which follows redirects and renews tokens itself.

    As long as it trusts the environment, as it does at first, it is a session like any other.
    """

    def __init__(self) -> None:
        super().__init__()
        # A connection for every thread: by default there are ten, and others are thrown away after each call.
        self._carrier = _Carrier(pool_maxsize=MOST_THREADS, pool_connections=MOST_ENDPOINTS)
        for scheme in list(self.adapters):
            self.mount(scheme, self._carrier)

    def direct(self) -> Connections | None:
        """Return what everything is sent over; None as long as the environment may ask for something else."""
        return None if self.trust_env else self._carrier.connections

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        *,
        params: Any = None,
        data: Any = None,
        headers: Any = None,
        auth: Any = None,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        allow_redirects: bool = True,
        **more: Any,
    ) -> requests.Response:
        """Send a request and return its answer, with the body read; raise `requests.RequestException`."""
        way = {"timeout": timeout, "verify": verify, "cert": cert}
        if self.trust_env or allow_redirects or more:
            content = {"params": params, "data": data, "headers": headers, "auth": auth}
            return super().request(method, url, **content, **way, allow_redirects=allow_redirects, **more)
        prepared = requests.PreparedRequest()
        prepared.prepare_method(method)
        prepared.prepare_url(url, params)
        prepared.prepare_headers(headers)
        prepared.prepare_body(data, None)
        prepared.prepare_auth(auth)
        began = time.monotonic()
        response = self.get_adapter(url).send(prepared, **way)
        response.elapsed = timedelta(seconds=time.monotonic() - began)
        response.content  # noqa: B018 - reads it
        return response


def endpoint_of(url: SplitResult, verify: bool | str, cert: Any) -> Endpoint:
    """Return whom a request is for. `verify` and `cert` are as `requests` has them."""
    shown = (cert,) if isinstance(cert, str) else tuple(cert or ())
    return Endpoint(url.scheme, url.hostname or "", url.port, verify, shown)


def use_transport(session: ks_session.Session) -> None:
    """Have a session of keystoneauth send what it sends through a transport of its own."""
    session.session.close()
    session.session = Transport()


def settle_environment(session: ks_session.Session, endpoints: Iterable[str]) -> None:
    """Read the environment once where it has no proxy for these endpoints.

    requests looks through all variables for every request, which takes 0.9 ms. Its other use of them, the file of
    trusted certificates, is kept.
    """
    if any(requests.utils.get_environ_proxies(endpoint) for endpoint in endpoints):
        return
    if session.verify is True:
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    session.session.trust_env = False
