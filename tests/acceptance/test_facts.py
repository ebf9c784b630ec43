"""What launchers tell about themselves: why each request waits, and what limits each pool."""

from __future__ import annotations

import random
from typing import Any

import pytest

from nodepool_ng.model.freeze import Freeze
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.facts import LARGEST_PART, decode_facts, encode_facts
from nodepool_ng.zk.store import Create
from tests.acceptance.shop import Shop, pool, provider, settings


def told(shop: Shop) -> dict[str, dict[str, Any]]:
    """Return the documents of all launchers, by name."""
    parts: dict[str, list[bytes]] = {}
    for path in shop.place.tree.paths():
        if path.startswith(f"{paths.FACTS}/"):
            znode = shop.place.tree.look(path)
            assert znode is not None
            parts.setdefault(path.rpartition("/")[2].rpartition(".")[0], []).append(znode.data)
    found = {name: decode_facts(each) for name, each in parts.items()}
    assert None not in found.values()
    return found  # type: ignore[return-value]


def version(shop: Shop) -> int:
    (path,) = [path for path in shop.place.tree.paths() if path.startswith(f"{paths.FACTS}/")]
    znode = shop.place.tree.look(path)
    assert znode is not None
    return znode.version


def test_every_waiting_request_has_its_reasons() -> None:
    shop = Shop(settings(provider("north", pool("main", "small", limits={"instances": 1}))))
    shop.ask("small", seconds=100)
    shop.run(10)
    first, second = shop.ask("small"), shop.ask("small")
    shop.run(5)
    (document,) = told(shop).values()
    assert set(document["waiting"]) == {first.request, second.request}
    reasons = [document["reasons"][each]["code"] for each in document["waiting"][second.request]]
    assert reasons == ["pool-limit", "ahead"]
    assert "the pool's limit of instances leaves 0, 1 needed" in document["reasons"][0]["sentence"]
    there = document["pools"]["north/main"]
    assert (there["binding"], there["short"], there["free"]["instances"]) == ("instances", True, 0)
    shop.run(200)
    (document,) = told(shop).values()
    assert document["waiting"] == {}


def test_nothing_is_written_while_nothing_changes_and_never_more_often_than_every_two_seconds() -> None:
    shop = Shop(settings(labels={"small": {"min_ready": 2}}))
    shop.run(60)
    rest = version(shop)
    shop.run(600)
    assert version(shop) == rest
    for _ in range(20):
        shop.ask("small", seconds=3)
        shop.run(0.5)
    assert version(shop) - rest <= 6


def test_what_is_told_goes_with_its_launcher_and_comes_back_with_a_new_session() -> None:
    shop = Shop(settings(), launchers=2)
    assert len(told(shop)) == 2
    shop.place.launchers[0].kill()
    shop.run(15)
    assert len(told(shop)) == 1
    shop.launcher.store.expire()
    shop.run(30)
    assert len(told(shop)) == 1


def test_a_freeze_is_shown() -> None:
    shop = Shop(settings())
    order = codec.encode_freeze(Freeze(creates=True, deletes=False))
    shop.place.tree.commit((Create(paths.freeze("all"), order),), shop.place.client.session_id)
    shop.run(5)
    (document,) = told(shop).values()
    assert document["providers"]["north"]["frozen"] == {"creates": True, "deletes": False}


def test_a_large_document_comes_in_parts_that_belong_together() -> None:
    rng = random.Random(1)
    large = {"waiting": {f"200-{n:010}": [rng.getrandbits(128) for _ in range(8)] for n in range(20_000)}}
    parts = encode_facts(large)
    assert len(parts) > 2
    assert max(map(len, parts)) <= LARGEST_PART + 100
    assert decode_facts(reversed(parts)) == large
    assert decode_facts(parts[:-1]) is None
    assert decode_facts([*parts[:-1], *encode_facts({**large, "more": 1})[-1:]]) is None


@pytest.mark.parametrize("junk", [b"", b"x", b"nodepool_ng-facts-1 0 1 abc\njunk"])
def test_junk_is_no_document(junk: bytes) -> None:
    assert decode_facts([junk]) is None
