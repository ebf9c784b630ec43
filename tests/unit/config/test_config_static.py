"""Static providers: machines as they are written, and what becomes of them."""

from collections.abc import Callable
from pathlib import Path

from nodepool_ng.config import Loaded, load
from nodepool_ng.model.ids import LabelName, PoolName, ProviderName
from nodepool_ng.model.settings import StaticHost

FILES = Path(__file__).parent / "files"
YARD, BENCH = ProviderName("yard"), PoolName("bench")


def test_every_key_of_a_machine_is_read() -> None:
    provider = load(str(FILES / "accepted" / "static.yaml"), env={}).settings.providers[YARD]
    assert (provider.driver, provider.max_concurrency, provider.has_cloud) == ("static", 3, False)
    pool = provider.pools[BENCH]
    assert (pool.priority, pool.node_attributes, list(pool.labels)) == (8, {"row": 1}, ["oak", "elm"])
    assert pool.hosts is not None
    plain, full, unchecked, old, _ = pool.hosts
    assert plain == StaticHost(name="h1.example.org", labels=(LabelName("oak"), LabelName("elm")))
    assert (plain.username, plain.connection_port, plain.connection_type) == ("zuul", 22, "ssh")
    assert (plain.python_path, plain.shell_type, plain.timeout, plain.slots) == ("auto", None, 5, 1)
    assert full == StaticHost(
        name="192.0.2.7",
        labels=(LabelName("elm"),),
        username="gardener",
        connection_port=2222,
        connection_type="network_cli",
        host_keys=("ssh-ed25519 AAAA",),
        timeout=13,
        shell_type="sh",
        python_path="/usr/bin/python3",
        slots=2,
    )
    assert (unchecked.host_keys, unchecked.host_key_checking) == (("a", "b"), False)
    assert old.connection_port == 23


def test_the_same_file_says_the_same_twice() -> None:
    first, second = (load(str(FILES / "accepted" / "static.yaml"), env={}).settings for _ in range(2))
    assert first == second


def test_a_pool_of_one_machine_takes_defaults(loaded: Callable[..., Loaded]) -> None:
    node = "{name: h, labels: small, connection-type: winrm}"
    text = f"labels: [{{name: small}}]\nproviders: [{{name: p, driver: static, pools: [{{name: q, nodes: [{node}]}}]}}]"
    (provider,) = loaded(text).settings.providers.values()
    (pool,) = provider.pools.values()
    assert pool.hosts is not None
    assert (pool.priority, pool.disabled, pool.hosts[0].connection_port) == (100, False, 22)
