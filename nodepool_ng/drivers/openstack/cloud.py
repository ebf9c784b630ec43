"""The one door to openstacksdk: a cloud of clouds.yaml, and calls to its services.

The SDK logs in, finds endpoints, negotiates versions and renews tokens. Calls go through its adapters, or are sent as
these sent the first one; not through its resource objects, which cost more than the rest of us together. Whatever goes
wrong comes out as a `DriverError` whose message says what was asked, what the cloud answered and under which request
id; secrets are cut out of it.

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
from nodepool_ng.drivers.openstack.shortcut import Sent, Shortcut, learned
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


class _Call(NamedTuple):
    service: str
    method: str
    path: str
    json: Json
    params: Mapping[str, str] | None
    data: Iterable[bytes] | None
    headers: Mapping[str, str] | None
    timeout: tuple[float, float]
    """Seconds to wait for a connection, and for each time that nothing comes."""

    @property
    def is_ordinary(self) -> bool:
        return self.data is None and not self.headers


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
        self._shortcuts: dict[str, Shortcut] = {}
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
            self._shortcuts = {}

    def close(self) -> None:
        """Close all connections. Calls in progress end with an error."""
        with self._opening:
            connection, self._connection = self._connection, None
            self._services, self._shortcuts = {}, {}
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
        self._service(service)
        if self._pace is not None:
            self._pace.wait(self._timeout)
        started = time.monotonic()
        status: int | None = None
        took: float | None = None
        try:
            with _translated(subject, self._secrets):
                waits = (min(CONNECT_TIMEOUT, self._timeout), timeout or self._timeout)
                sent = self._sent(_Call(service, method, path, json, params, data, headers, waits))
            status, took = sent.status, sent.seconds
        finally:
            took = time.monotonic() - started if took is None else took
            if self._observe is not None:
                self._observe(service, method, call_name(path), status, took)
            log.debug("%s: %s in %.3f s", subject, status, took)
        if sent.status < 400 or sent.status in fine:
            return Answer(subject=subject, status=sent.status, body=sent.body, date=_header(sent, "Date"))
        raise self._refusal(subject, sent)

    def _sent(self, call: _Call) -> Sent:
        """Send a call, the short way where there is one; and again where its connection broke and it may be."""
        shortcut = self._shortcuts.get(call.service) if call.is_ordinary else None
        try:
            sent = None
            if shortcut is not None:
                sent = shortcut.send(
                    call.method, call.path, json_body=call.json, params=call.params, timeout=call.timeout
                )
            return sent or self._sent_by_the_sdk(call)
        except (ks.ConnectFailure, requests.ConnectionError) as error:
            late = isinstance(error, requests.Timeout | requests.exceptions.SSLError)
            if call.method not in IDEMPOTENT or late:
                raise
        return self._sent_by_the_sdk(call)

    def _sent_by_the_sdk(self, call: _Call) -> Sent:
        """Send a call by the plain adapter below the SDK's: that one adds response caching and metrics of its own,
        which cost as much as the request itself."""
        found = self._service(call.service)
        options: dict[str, Any] = {
            "json": call.json,
            "params": call.params,
            "data": call.data,
            "headers": dict(call.headers or {}),
            "timeout": call.timeout,
            "raise_exc": False,
            # Without this the SDK works out the endpoint anew for each call, which takes 0.9 ms.
            "endpoint_override": found.endpoint.replace("%", "%%"),
            "connect_retries": 0,
            "status_code_retries": 0,
            # Bodies hold user data and one-time passwords; this module logs what is worth reading.
            "log": False,
        }
        if call.service == self._main.service and self._microversion is not None:
            options["microversion"] = "{}.{}".format(*self._microversion)
        given = {name: value for name, value in options.items() if value is not None}
        response = ks_adapter.Adapter.request(found.adapter, call.path, call.method, **given)
        if call.is_ordinary and call.service not in self._shortcuts:
            self._learn(call, found, response)
        return Sent(response.status_code, response.headers, response.content, response.elapsed.total_seconds())

    def _learn(self, call: _Call, found: _Service, response: requests.Response) -> None:
        """Have other calls to the service sent like this one. Where clouds.yaml bounds them, the SDK has to count."""
        shortcut = learned(found.adapter.session, found.endpoint, call.path, response)
        with self._opening:
            if shortcut is None or self._services.get(call.service) is not found:
                return
            region = self._connection.config
            if not region.get_rate_limit(call.service) and not region.get_concurrency(call.service):
                self._shortcuts[call.service] = shortcut

    def _refusal(self, subject: str, sent: Sent) -> DriverError:
        text = _redacted(message_of(sent.body.decode(errors="replace")), self._secrets)
        request_id = _header(sent, "X-OpenStack-Request-Id") or _header(sent, "X-Compute-Request-Id")
        wait = seconds(_header(sent, "Retry-After"), time.time())
        error = refusal(subject, sent.status, text, wait)
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


def _header(sent: Sent, name: str) -> str | None:
    """Return a header, however it is written."""
    return next((value for key, value in sent.headers.items() if key.lower() == name.lower()), None)


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
