"""From files to models: everything that can be judged one key at a time."""

from collections.abc import Mapping
from dataclasses import dataclass

from nodepool_ng.config import source
from nodepool_ng.config.complaint import Complaint, ConfigError, Gravity, Place
from nodepool_ng.config.document import Document, Loc, parse
from nodepool_ng.config.judge import judge
from nodepool_ng.config.providers import DRIVERS, FAKE, OPENSTACK, Provider
from nodepool_ng.config.schema import Main, Secure
from nodepool_ng.model.ids import ProviderName

TEST_MODE = "NODEPOOL_NG_TEST"
"""While this variable is not empty, the driver of a provider whose name starts with `fake` is `fake`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A provider that is in the file and not in the settings. `name` is "" where it has none."""

    name: ProviderName
    driver: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReadProvider:
    index: int
    model: Provider
    driver: str

    @property
    def loc(self) -> Loc:
        return "providers", self.index


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was understood of the files."""

    document: Document
    main: Main
    providers: tuple[ReadProvider, ...]
    skipped: tuple[Skipped, ...]
    secure_document: Document | None
    secure: Secure
    complaints: tuple[Complaint, ...]
    testing: bool

    def sound(self, *loc: int | str) -> bool:
        """Tell whether nothing fatal was found at or below `loc`; references into a broken list cannot be judged."""
        return not any(
            found.gravity is Gravity.FATAL
            and found.place.file == self.document.source.file
            and found.loc[: len(loc)] == loc
            for found in self.complaints
        )


def read(path: str, secure: str | None, env: Mapping[str, str]) -> Reading:
    """Read the files.

    Raises:
        ConfigError: there is nothing to go on with; otherwise fatal complaints are among the reading's.
    """
    document = parse(source.read(path, env))
    complaints = list(document.notes)
    if document.root is None:
        place = Place(path)
        complaints.append(
            Complaint(place=place, gravity=Gravity.FATAL, what="the file is empty", remedy="write a configuration")
        )
        raise ConfigError(complaints)
    secure_document, secure_model = _read_secure(secure, env, complaints)
    main, found = judge(document, Main)
    complaints += found
    if main is None:
        raise ConfigError(complaints)
    testing = bool(env.get(TEST_MODE))
    providers, skipped = _read_providers(document, main, testing, complaints)
    return Reading(
        document=document,
        main=main,
        providers=providers,
        skipped=skipped,
        secure_document=secure_document,
        secure=secure_model,
        complaints=tuple(complaints),
        testing=testing,
    )


def _read_secure(
    path: str | None, env: Mapping[str, str], complaints: list[Complaint]
) -> tuple[Document | None, Secure]:
    if path is None:
        return None, Secure()
    try:
        document = parse(source.read(path, env))
    except ConfigError as error:
        complaints += error.complaints
        return None, Secure()
    complaints += document.notes
    if document.root is None:
        return document, Secure()
    model, found = judge(document, Secure, unknown=Gravity.NOTE)
    complaints += found
    return document, model or Secure()


def _read_providers(
    document: Document, main: Main, testing: bool, complaints: list[Complaint]
) -> tuple[tuple[ReadProvider, ...], tuple[Skipped, ...]]:
    providers: list[ReadProvider] = []
    skipped: list[Skipped] = []
    for index, written in enumerate(main.providers):
        name, driver = str(written.get("name", "")), _driver(written, testing=testing)
        if driver in DRIVERS:
            model, found = judge(document, DRIVERS[driver], ("providers", index))
            complaints += found
            if model is not None:
                providers.append(ReadProvider(index, model, driver))
            continue
        known = ", ".join(DRIVERS)
        loc: Loc = ("providers", index, "driver")
        reason = f"there is no driver {driver}"
        skipped.append(Skipped(name=ProviderName(name), driver=driver, reason=reason))
        complaints.append(
            Complaint(
                place=document.place(loc),
                gravity=Gravity.REFUSED,
                what=f"{document.path(loc)} names a driver that does not exist here: {driver}",
                remedy=f"use one of {known}, or take the provider out",
                meanwhile="the provider is left out",
                loc=loc,
            )
        )
    return tuple(providers), tuple(skipped)


def _driver(written: Mapping[str, object], *, testing: bool) -> str:
    """Return the name of the driver of a provider; in test mode the fake one is OpenStack's."""
    driver = str(written.get("driver", OPENSTACK))
    fake = driver == FAKE or str(written.get("name", "")).startswith(FAKE)
    return OPENSTACK if testing and fake else driver
