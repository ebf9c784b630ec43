"""Spans of a whole launcher, under virtual time."""

from __future__ import annotations

from nodepool_ng.launcher.tracing import Tracer
from nodepool_ng.telemetry.tracing import Stretch
from tests.acceptance.shop import Shop, settings

PARENT = {"trace_id": 7, "span_id": 9, "trace_flags": 1}


class Kept:
    """Keeps what would be sent."""

    def __init__(self) -> None:
        self.told: list[tuple[object, Stretch]] = []

    def tell(self, parent: object, stretch: Stretch) -> None:
        self.told.append((parent, stretch))


def watched(shop: Shop) -> Kept:
    kept = Kept()
    shop.launcher.reconciler._witness = Tracer(kept)  # type: ignore[arg-type]
    return kept


def test_cold_warm_and_failed_requests_are_told_with_their_launches() -> None:
    shop = Shop(settings(labels={"small": {"min_ready": 1}}))
    kept = watched(shop)
    told = {"requestor_data": {"span_info": PARENT}}
    shop.ask("small", seconds=1, **told)
    shop.run(30)
    shop.ask("small", "small", "small", seconds=1, **told)
    shop.run(60)
    shop.ask("nowhere", **told)
    shop.run(60)
    shop.ask("small", seconds=1)  # nobody told of a span
    shop.run(30)
    assert [stretch.attributes["nodepool.result"] for _, stretch in kept.told] == ["warm", "cold", "failed"]
    assert {str(parent) for parent, _ in kept.told} == {str(PARENT)}
    warm, cold, failed = (stretch for _, stretch in kept.told)
    assert (warm.parts, failed.failed) == ((), True)
    assert 1 <= len(cold.parts) <= 3
    for part in cold.parts:
        assert cold.begin <= part.begin < part.end <= cold.end
        assert 4 < part.end - part.begin < 10
