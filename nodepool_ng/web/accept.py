"""Which of several types a client likes best (RFC 9110, 12.5.1)."""

from collections.abc import Sequence


def chosen(accept: str | None, offers: Sequence[str]) -> str | None:
    """Return the offer that the Accept header rates highest, the first of equals; None when it wants none of them.

    A header that cannot be read rates everything alike.
    """
    ranges = _ranges(accept) if accept and accept.strip() else [("*/*", 1.0)]
    best: tuple[float, str] | None = None
    for offer in offers:
        quality = _quality(offer, ranges)
        if quality > 0 and (best is None or quality > best[0]):
            best = (quality, offer)
    return best[1] if best else None


def _ranges(accept: str) -> list[tuple[str, float]]:
    ranges = []
    for part in accept.split(","):
        media, *parameters = (word.strip().lower() for word in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    quality = min(max(float(value), 0.0), 1.0)
                except ValueError:
                    return [("*/*", 1.0)]
        if media:
            ranges.append((media, quality))
    return ranges or [("*/*", 1.0)]


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Return what the most specific range that fits the offer says."""
    family = offer.partition("/")[0] + "/*"
    for wanted in (offer, family, "*/*"):
        found = [quality for media, quality in ranges if media == wanted]
        if found:
            return max(found)
    return 0.0
