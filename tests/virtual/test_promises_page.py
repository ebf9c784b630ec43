"""The page about the promises says what the code says."""

import re
from pathlib import Path

from nodepool_ng.sim.virtual.history import REST_WITHIN
from nodepool_ng.sim.virtual.promise import Promise
from nodepool_ng.sim.virtual.scenes import SCENES
from tests.virtual.broken import RULES

PAGE = Path(__file__).parents[2] / "docs" / "promises.rst"


def test_the_page_lists_every_promise_and_every_broken_rule() -> None:
    rows = re.findall(r"^   \* - (.+)\n     - (.+)$", PAGE.read_text(), re.MULTILINE)
    told = [row for row in rows if row[0] not in ("name", "broken rule")]
    assert told == [
        *((promise.name, promise.value) for promise in Promise),
        *((rule, str(most)) for rule, (_, most) in RULES.items()),
    ]


def test_the_page_states_the_time_and_commands_that_are() -> None:
    text = PAGE.read_text()
    assert f"{REST_WITHIN:.0f} seconds after the last disturbance" in text
    assert all(scene in SCENES for scene in re.findall(r"--scene (\S+)", text))
