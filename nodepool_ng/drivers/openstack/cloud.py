"""The one door to openstacksdk: a cloud of clouds.yaml, and calls to its services.

The SDK logs in, finds endpoints, negotiates versions and renews tokens. Calls go through its adapters, not its
resource objects, which cost more than the rest of us together. Whatever goes wrong comes out as a `DriverError`
whose message says what was asked, what the cloud answered and under which request id; secrets are cut out of it.

Every call has a timeout, since the SDK has none by default, and the SDK retries nothing: when to ask again is
decided above. Only a GET or DELETE whose connection broke before an answer is sent a second time at once, because
a keep-alive connection that the server has just closed looks exactly like that.
"""

import logging
import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import openstack.config
import openstack.connection
import requests
from keystoneauth1 import adapter as ks_adapter
from keystoneauth1 import exceptions as ks
from openstack import exceptions as sdk

from nodepool_ng.drivers import DriverError, Misconfigured, Unavailable
from nodepool_ng.drivers.openstack.calls import (
    COMPUTE,
    IMAGE,
    NETWORK,
    VOLUME,
    Answer,
    Microversion,
    Traits,
    call_name,
)
from nodepool_ng.drivers.openstack.networks import Access, NetworkEntry
from nodepool_ng.drivers.openstack.pace import Pace
from nodepool_ng.drivers.openstack.refusal import LONGEST_MESSAGE, message_of, refusal, seconds
from nodepool_ng.drivers.openstack.transport import settle_environment, use_transport
from nodepool_ng.model.ids import Json
from nodepool_ng.model.settings import Provider

log = logging.getLogger("nodepool.driver.openstack")

CALL_TIMEOUT = 60.0  # seconds without a byte from the cloud; `api_timeout` of clouds.yaml overrides it
CONNECT_TIMEOUT = 10.0  # seconds

MICROVERSIONS: tuple[Microversion, ...] = ((2, 69), (2, 47), (2, 37))
"""What we speak to Nova, the first that it offers. 2.69 keeps servers of a cell that is down in the lists instead of
leaving them out, 2.47 puts the flavor into the server, 2.37 knows `networks: auto`."""

OPTIONAL = (IMAGE, NETWORK, VOLUME)
IDEMPOTENT = frozenset({"GET", "DELETE"})

_FOREIGN = (ks.ClientException, ks.RetriableConnectionFailure, sdk.SDKException, requests.RequestException, OSError)
_MISCONFIGURED = (
    sdk.ConfigException,
    sdk.NotSupported,
    ks.AuthPluginException,
    ks.AuthorizationFailure,
    ks.CatalogException,
    ks.MissingAuthMethods,
    ks.VersionNotAvailable,
)
_SECRET = re.compile(r"password|secret|token|passcode|assertion", re.IGNORECASE)


class Speaks(NamedTuple):
    """The service that a driver cannot do without, and the microversions in which it would speak to it, the first that
    is offered."""

    service: str
    versions: tuple[Microversion, ...]


NOVA = Speaks(COMPUTE, MICROVERSIONS)


class _Service(NamedTuple):
    adapter: Any
    endpoint: str


class Observe(Protocol):
    """Is told of every call, in the thread that made it; `status` is None when no answer came."""

    def __call__(self, service: str, method: str, name: str, status: int | None, seconds: float, /) -> None: ...


def image_format(provider: Provider) -> str:
    """Return the disk format that the provider's cloud takes (`image_format` of clouds.yaml, by default qcow2).

    Reads files only. Raises Misconfigured when clouds.yaml does not have the provider's cloud.
    """
    with _translated(f"{provider.name}: clouds.yaml", ()):
        return str(_region(provider, validate=False).config["image_format"])


def statsd_prefix(provider: Provider) -> str | None:
    """Return the prefix of API metrics where the operator set one for the SDK, otherwise None.

    Reads files only. Raises Misconfigured when clouds.yaml does not have the provider's cloud.
    """
    with _translated(f"{provider.name}: clouds.yaml", ()):
        prefix = _region(provider, validate=False).get_statsd_prefix()
    return None if prefix == "openstack.api" else str(prefix)


class Cloud:
    """One region of one cloud, as `calls.Door` describes it."""

    def __init__(self, provider: Provider, observe: Observe | None = None, main: Speaks = NOVA) -> None:
        self._provider = provider
        self._main = main
        self._observe = observe
        self._pace = Pace(provider.rate) if provider.rate else None
        self._connection: Any = None
        self._services: dict[str, _Service] = {}
        self._opening = threading.Lock()
        self._microversion: Microversion | None = None
        self._traits = Traits()
        self._secrets: tuple[str, ...] = ()
        self._timeout = CALL_TIMEOUT

    def connect(self) -> None:
        """Read clouds.yaml, log in and find the services. Only a cloud without the main one is an error."""
        with self._opening, _translated(f"{self._provider.name}: connecting", self._secrets):
            region = _region(self._provider, validate=True)
            self._secrets = tuple(_secrets_of(region.config))
            self._timeout = float(region.config.get("api_timeout") or CALL_TIMEOUT)
            region.config["api_timeout"] = self._timeout
            self._connection = openstack.connection.Connection(config=region)
            use_transport(self._connection.session)
            self._services = {}
        main = self._service(self._main.service)
        for service in OPTIONAL:
            try:
                self._service(service)
            except DriverError as error:
                log.info("%s", error)
        with self._opening, _translated(f"{self._provider.name}: connecting", self._secrets):
            self._microversion = _microversion_of(main.adapter, self._main.versions)
            self._traits = _traits_of(self._connection)
            settle_environment(self._connection.session, [found.endpoint for found in self._services.values()])

    def close(self) -> None:
        """Close all connections. Calls in progress end with an error."""
        with self._opening:
            connection, self._connection = self._connection, None
            self._services = {}
        if connection is not None:
            connection.session.session.close()
            connection.close()

    def traits(self) -> Traits:
        return self._traits

    def has(self, service: str) -> bool:
        """Tell whether the cloud has a service."""
        try:
            self._service(service)
        except Misconfigured:
            return False
        return True

    def microversion(self) -> Microversion | None:
        return self._microversion

    def call(
        self,
        service: str,
        method: str,
        path: str,
        *,
        json: Json = None,
        params: Mapping[str, str] | None = None,
        data: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        fine: tuple[int, ...] = (),
    ) -> Answer:
        """See `calls.Door`. `timeout` is in seconds, for each time that nothing comes."""
        subject = f"{self._provider.name}: {service} {method} {path}"
        adapter, endpoint = self._service(service)
        if self._pace is not None:
            self._pace.wait(self._timeout)
        options: dict[str, Any] = {
            "json": json,
            "params": params,
            "data": data,
            "headers": dict(headers or {}),
            "timeout": (min(CONNECT_TIMEOUT, self._timeout), timeout or self._timeout),
            "raise_exc": False,
            # Without this the SDK works out the endpoint anew for each call, which takes 0.9 ms.
            "endpoint_override": endpoint.replace("%", "%%"),
            "connect_retries": 0,
            "status_code_retries": 0,
            # Bodies hold user data and one-time passwords; this module logs what is worth reading.
            "log": False,
        }
        if service == self._main.service and self._microversion is not None:
            options["microversion"] = "{}.{}".format(*self._microversion)
        started = time.monotonic()
        status: int | None = None
        took: float | None = None
        try:
            with _translated(subject, self._secrets):
                response = _send(adapter, path, method, {k: v for k, v in options.items() if v is not None})
            status, took = response.status_code, response.elapsed.total_seconds()
        finally:
            took = time.monotonic() - started if took is None else took
            if self._observe is not None:
                self._observe(service, method, call_name(path), status, took)
            log.debug("%s: %s in %.3f s", subject, status, took)
        if response.status_code < 400 or response.status_code in fine:
            date = response.headers.get("Date")
            return Answer(subject=subject, status=response.status_code, body=response.content, date=date)
        raise self._refusal(subject, response)

    def _refusal(self, subject: str, response: requests.Response) -> DriverError:
        text = _redacted(message_of(response.text), self._secrets)
        request_id = response.headers.get("x-openstack-request-id") or response.headers.get("x-compute-request-id")
        wait = seconds(response.headers.get("Retry-After"), time.time())
        error = refusal(subject, response.status_code, text, wait)
        if request_id:
            error.args = (f"{error.args[0]} ({request_id})", *error.args[1:])
        return error

    def _service(self, service: str) -> _Service:
        """Return the SDK's adapter for a service. The SDK makes them without a lock, so we hold one."""
        found = self._services.get(service)
        if found is not None:
            return found
        with self._opening, _translated(f"{self._provider.name}: finding {service}", self._secrets):
            if self._connection is None:
                raise Unavailable(f"{self._provider.name}: not connected")
            adapter = getattr(self._connection, service.replace("-", "_"))
            # The SDK hands out a stand-in for a service that is not there; it complains when it is asked something.
            found = _Service(adapter, str(adapter.get_endpoint()))
            self._services[service] = found
        return found


def _region(provider: Provider, *, validate: bool) -> Any:
    config = openstack.config.OpenStackConfig()
    return config.get_one(cloud=provider.cloud, region_name=provider.region_name, validate=validate)


def _send(proxy: Any, path: str, method: str, options: dict[str, Any]) -> requests.Response:
    """Send one request by the plain adapter below the SDK's: that one adds response caching and metrics of its own,
    which cost as much as the request itself."""
    request = ks_adapter.Adapter.request
    try:
        return request(proxy, path, method, **options)
    except ks.ConnectFailure:
        if method not in IDEMPOTENT:
            raise
    return request(proxy, path, method, **options)


def _microversion_of(proxy: Any, wanted: tuple[Microversion, ...]) -> Microversion | None:
    chosen = proxy.default_microversion
    if chosen is not None:
        # The operator's `compute_default_microversion`, or that of another service.
        major, _, minor = str(chosen).partition(".")
        return int(major), int(minor)
    offered = proxy.get_endpoint_data()
    highest = offered.max_microversion if offered is not None else None
    return next((version for version in wanted if highest and version <= tuple(highest)), None)


def _traits_of(connection: Any) -> Traits:
    config = connection.config.config
    return Traits(
        access=access_of(config, force_ipv4=connection.config.force_ipv4, local_ipv6=_has_ipv6_route()),
        vendor_properties=MappingProxyType({str(k): str(v) for k, v in config["disable_vendor_agent"].items()}),
        image_tasks=str(config.get("image_api_use_tasks")).lower() == "true",
        project=connection.session.get_project_id(),
    )


def access_of(config: Mapping[str, Any], *, force_ipv4: bool, local_ipv6: bool) -> Access:
    """Return what a cloud's section of clouds.yaml, as the SDK normalises it, says about reaching servers."""
    entries = (
        NetworkEntry(
            name=str(network["name"]),
            external=bool(network.get("routes_ipv4_externally")),
            nat_source=bool(network.get("nat_source")),
            nat_destination=bool(network.get("nat_destination")),
            default_interface=bool(network.get("default_interface")),
        )
        for network in config.get("networks") or ()
    )
    return Access(
        entries=tuple(entries),
        private=bool(config.get("private", False)),
        force_ipv4=force_ipv4,
        local_ipv6=local_ipv6,
        use_external=bool(config.get("use_external_network", True)),
        use_internal=bool(config.get("use_internal_network", True)),
        floating=str(config.get("floating_ip_source")).lower() != "none",
    )


def _has_ipv6_route() -> bool:
    """Tell whether this host has a way to public IPv6 addresses. Connecting a UDP socket sends nothing."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect(("2000::1", 9))
    except OSError:
        return False
    return True


def _secrets_of(config: Mapping[str, Any]) -> Iterator[str]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _secrets_of(value)
        elif isinstance(value, str) and _SECRET.search(key) and len(value) >= 4:
            yield value


def _redacted(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


@contextmanager
def _translated(subject: str, secrets: tuple[str, ...]) -> Iterator[None]:
    """Turn every exception of the SDK and what lies below it into a `DriverError`."""
    try:
        yield
    except ks.HttpError as error:
        # Only logging in raises these: our own calls look at the status.
        headers = getattr(error.response, "headers", None) or {}
        text = _redacted(message_of(error.message or ""), secrets)
        wait = seconds(headers.get("Retry-After"), time.time())
        raise refusal(f"{subject}: logging in", error.http_status or 500, text, wait) from None
    except _MISCONFIGURED as error:
        raise Misconfigured(_sentence(subject, error, secrets)) from None
    except _FOREIGN as error:
        raise Unavailable(_sentence(subject, error, secrets)) from None


def _sentence(subject: str, error: BaseException, secrets: tuple[str, ...]) -> str:
    return f"{subject}: {_redacted(' '.join(str(error).split()), secrets)[:LONGEST_MESSAGE]}"
