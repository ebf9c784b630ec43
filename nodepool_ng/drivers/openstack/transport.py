"""What carries the SDK's requests to a cloud: connections, and no more than an API needs of `requests`.

A session of `requests` is made for browsing: for every request it looks through the environment, merges settings, keeps
cookies and looks for redirects, which takes half as long again as everything else that `requests` does for it.
"""

import os
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import requests
from keystoneauth1 import session as ks_session

from nodepool_ng.model.pace import MOST_THREADS

MOST_ENDPOINTS = 100
"""Hosts and ports to which connections are kept; a cloud has one for each service."""
PIECE = 2**20
"""Bytes of a body that are read at once, at most."""


class _Answer(requests.Response):
    """Reads its body in few pieces. `requests` takes ten kilobytes at a time, and the thread lets go of the interpreter
    for each of them."""

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: Any = False) -> Iterator[Any]:
        return super().iter_content(PIECE if chunk_size is None else max(chunk_size, PIECE), decode_unicode)


class _Carrier(ks_session.TCPKeepAliveAdapter):
    """Remembers the connections to each endpoint. `requests` finds them by all that could make a difference to TLS,
    which it works out anew for every request."""

    def __init__(self, **options: Any) -> None:
        self._found: dict[tuple[str, Any, Any], Any] = {}
        super().__init__(**options)

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        key = "/".join(str(request.url).split("/", 3)[:3]), verify, cert
        if not proxies and key in self._found:
            return self._found[key]
        found = super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
        if not proxies and len(self._found) < MOST_ENDPOINTS:
            self._found[key] = found
        return found

    def build_response(self, request: requests.PreparedRequest, answer: Any) -> requests.Response:
        built = _Answer()
        vars(built).update(vars(super().build_response(request, answer)))
        return built

    def close(self) -> None:
        self._found.clear()
        super().close()


class Transport(requests.Session):
    """To be used by a session of keystoneauth, which follows redirects and renews tokens itself.

    As long as it trusts the environment, as it does at first, it is a session like any other.
    """

    def __init__(self) -> None:
        super().__init__()
        # A connection for every thread: by default there are ten, and others are thrown away after each call.
        carrier = _Carrier(pool_maxsize=MOST_THREADS, pool_connections=MOST_ENDPOINTS)
        for scheme in list(self.adapters):
            self.mount(scheme, carrier)

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
        content = {"params": params, "data": data, "headers": headers, "auth": auth}
        way = {"timeout": timeout, "verify": verify, "cert": cert}
        if self.trust_env or allow_redirects or more:
            return super().request(method, url, **content, **way, allow_redirects=allow_redirects, **more)
        prepared = requests.PreparedRequest()
        prepared.prepare(method=method, url=url, **content)
        began = time.monotonic()
        response = self.get_adapter(url).send(prepared, **way)
        response.elapsed = timedelta(seconds=time.monotonic() - began)
        response.content  # noqa: B018 - reads it
        return response


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
