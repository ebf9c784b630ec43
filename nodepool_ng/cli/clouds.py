"""Clouds as commands reach them: with this machine's own credentials, each provider by itself, several at a time."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from nodepool_ng.cli.outcome import Failed
from nodepool_ng.drivers import Driver, DriverError
from nodepool_ng.listing.table import printable
from nodepool_ng.model.ids import ProviderName
from nodepool_ng.model.settings import Provider, Settings

AT_A_TIME = 8
T = TypeVar("T")


def provider_named(settings: Settings, name: str) -> Provider:
    """Return a configured provider that has a cloud; raise `Failed` where there is none."""
    provider = settings.providers.get(ProviderName(name))
    if provider is None or not provider.has_cloud:
        raise Failed(f"There is no provider {printable(name)} with a cloud configured here.")
    return provider


def ask(provider: Provider, question: Callable[[Driver], T]) -> T:
    """Connect to a provider's cloud, ask it something and let go of it. Raises `DriverError`."""
    from nodepool_ng.drivers import registry

    with closing(registry.make(provider)) as driver:
        driver.connect()
        return question(driver)


def trouble(name: ProviderName, error: DriverError) -> str:
    """Return what is wrong, without the provider's name that drivers put before it."""
    return str(error).removeprefix(f"{name}: ")


def ask_all(providers: Iterable[Provider], question: Callable[[Driver], T]) -> Mapping[ProviderName, T | DriverError]:
    """Ask several clouds the same; the answers are values or errors."""

    def one(provider: Provider) -> T | DriverError:
        try:
            return ask(provider, question)
        except DriverError as error:
            return error

    chosen = [provider for provider in providers if provider.has_cloud]
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        return dict(zip([provider.name for provider in chosen], threads.map(one, chosen), strict=True))
