"""What must not grow again: counts and ratios of the benchmark, never seconds.

Limits are a fifth above what was measured when they were set, since how many events meet in one look depends on the
machine; the ratio to the bare rounds has more room than that.
"""

from collections.abc import Iterator

import pytest

from nodepool_ng.sim.zookeeper import NoZooKeeper, find
from tests.bench.burst import known
from tests.bench.figures import Latencies
from tests.bench.stage import Clouds, Product, Stage, stage
from tests.bench.warm import bare_rounds, rounds, under_load

pytestmark = [pytest.mark.daemons, pytest.mark.zookeeper]

READY = 30
LIVES = 40
COLD = 40


@pytest.fixture
def opened(request: pytest.FixtureRequest) -> Iterator[Stage]:
    try:
        find()
    except NoZooKeeper as error:
        pytest.skip(str(error))
    with stage(Product.OURS, request.param) as it:
        yield it


@pytest.mark.timeout(240)
@pytest.mark.parametrize("opened", [Clouds(count=2, boot=0.5, min_ready=READY)], indirect=True, ids=["warm"])
def test_a_life_of_a_warm_node(opened):
    opened.wait_ready(READY)
    before = opened.counts()
    under_load(opened, LIVES / 20.0)
    opened.wait_ready(READY)
    opened.wait_gone(READY)
    after = opened.counts()
    handed_out = Latencies.of(rounds(opened.jobs, 40)).p50
    opened.launcher.stop()
    ratio = handed_out / Latencies.of(bare_rounds(opened, 40)).p50
    assert after.calls["server.create"] - before.calls["server.create"] == LIVES
    assert after.other_calls() - before.other_calls() <= 2.1 * LIVES
    assert after.lists() - before.lists() <= LIVES
    assert (after.operations - before.operations) / LIVES <= 12.5
    assert after.launcher.threads <= 75
    assert ratio <= 8, "hand-out ÷ the bare rounds"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("opened", [Clouds(boot=1.0)], indirect=True, ids=["cold"])
def test_a_node_of_a_cold_burst(opened):
    known(opened)
    before = opened.counts()
    lives = opened.jobs.ask(["small"], 600.0, count=COLD)
    opened.jobs.wait_answered(lives, 120)
    after = opened.counts()
    assert after.calls["server.create"] - before.calls["server.create"] == COLD
    assert after.other_calls() - before.other_calls() == COLD
    assert (after.operations - before.operations) / COLD <= 9
    assert after.launcher.threads <= 75
