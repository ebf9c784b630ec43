"""Finds drivers by name. A driver's code, and the SDK below it, is only imported when a provider uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from nodepool_ng.drivers import Driver, Misconfigured
from nodepool_ng.model.settings import Provider

if TYPE_CHECKING:
    from nodepool_ng.drivers.openstack.cloud import Observe

Make = Callable[[Provider, "Observe | None"], Driver]


def _openstack(provider: Provider, observe: Observe | None) -> Driver:
    from nodepool_ng.drivers.openstack.cloud import Cloud
    from nodepool_ng.drivers.openstack.driver import OpenStack

    return OpenStack(provider, Cloud(provider, observe))


def _ironic(provider: Provider, observe: Observe | None) -> Driver:
    from nodepool_ng.drivers.ironic.driver import MICROVERSIONS, Ironic
    from nodepool_ng.drivers.openstack.calls import BARE_METAL
    from nodepool_ng.drivers.openstack.cloud import Cloud, Speaks

    return Ironic(provider, Cloud(provider, observe, Speaks(BARE_METAL, MICROVERSIONS)))


def _openstack_prefix(provider: Provider) -> str | None:
    from nodepool_ng.drivers.openstack.cloud import statsd_prefix

    return statsd_prefix(provider)


DRIVERS: Mapping[str, Make] = MappingProxyType({"openstack": _openstack, "ironic": _ironic})


def make(provider: Provider, observe: Observe | None = None) -> Driver:
    """Return the driver of a provider, not connected yet.

    `observe` is told of every API call. Raises Misconfigured for a driver that does not exist.
    """
    try:
        known = DRIVERS[provider.driver]
    except KeyError:
        there = ", ".join(sorted(DRIVERS))
        raise Misconfigured(f"provider {provider.name}: there is no driver {provider.driver!r}, only {there}") from None
    return known(provider, observe)


def metric_prefix(provider: Provider) -> str | None:
    """Return what the operator wants the names of API metrics to begin with, or None.

    Raises Misconfigured where the provider's own configuration cannot be read.
    """
    return _openstack_prefix(provider) if provider.driver in DRIVERS else None
