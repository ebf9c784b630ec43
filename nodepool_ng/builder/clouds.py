"""The clouds of a configuration: a driver for each provider, and the image format that its cloud takes."""

import logging
from collections.abc import Callable
from dataclasses import replace

from nodepool_ng.config import with_formats
from nodepool_ng.drivers import Driver, DriverError, registry
from nodepool_ng.model.ids import ProviderName
from nodepool_ng.model.settings import Provider, Settings

_log = logging.getLogger("nodepool.builder")


def image_format(provider: Provider) -> str:
    """Return the disk format that a provider's cloud takes. Raises Misconfigured where there is no such cloud."""
    from nodepool_ng.drivers.openstack.cloud import image_format as of_openstack

    return of_openstack(provider)


class Drivers:
    """The drivers in use; a provider that did not change keeps its own."""

    def __init__(self, observe: Callable[[Provider], Callable[[str, str, str, int | None, float], None]]) -> None:
        self._observe = observe
        self.drivers: dict[ProviderName, Driver] = {}
        self._configured: dict[ProviderName, Provider] = {}

    def settle(self, settings: Settings, *, anew: bool = False) -> Settings:
        """Make the drivers that are missing (`anew`: all of them), and return the settings with the formats that the
        clouds take. A provider that cannot be used is left out; what was uploaded there stays."""
        formats: dict[ProviderName, str] = {}
        for name, provider in settings.providers.items():
            if not provider.has_cloud:
                continue
            try:
                formats[name] = image_format(provider)
                if anew or self._configured.get(name) != provider:
                    self.drivers[name] = registry.make(provider, self._observe(provider))
                    self._configured[name] = provider
            except DriverError as error:
                _log.error("Provider %s is left out: %s", name, error)
        usable = {name: provider for name, provider in settings.providers.items() if name in formats}
        return with_formats(replace(settings, providers=usable), lambda provider: formats[provider.name])
