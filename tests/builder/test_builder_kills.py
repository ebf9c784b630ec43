"""A builder is killed at every step of its life, one after the other, and its successor has nothing to regret.

In virtual time, yet too long for a unit test: some two hundred lives.
"""

from functools import partial

import pytest

from tests.unit.builder.virtual import KillAt, VirtualBuilder, VirtualSite, requested


def live(site: VirtualSite, builder: VirtualBuilder, patience: float) -> None:
    """Two images by hand after the first one: three builds, six uploads, one rotation; or what a kill leaves of it."""
    for count in (1, 2, 2):
        if count > 1 and not requested(site):
            site.request_build()
        site.timeline.wait_for(partial(over, site, builder, count), patience)


def over(site: VirtualSite, builder: VirtualBuilder, count: int) -> bool:
    return not builder.alive or (not requested(site) and site.in_service(count)())


def at_rest(site: VirtualSite) -> bool:
    return not requested(site) and (site.in_service(1)() or site.in_service(2)())


def steps() -> int:
    """Return at how many points of its life a builder can be killed."""
    site, count = VirtualSite(), KillAt()
    builder = site.builder(hooks=count)
    live(site, builder, 3000)
    assert site.in_service(2)()
    assert site.faults(builder.disk) == []
    return count.seen


@pytest.mark.campaign
@pytest.mark.timeout(300)
def test_a_kill_at_any_step_leaks_and_doubles_nothing():
    total = steps()
    assert total > 150
    for point in range(1, total + 1):
        site = VirtualSite(seed=point)
        dead = site.builder(hooks=KillAt(point))
        live(site, dead, 3000)
        assert not dead.alive, point
        successor = site.builder(dead.disk)
        site.wait(partial(at_rest, site), 3000)
        # what a crash left in a cloud is found by the second list
        site.run(100)
        assert site.faults(successor.disk) == [], point
        assert at_rest(site), (point, site.states())
