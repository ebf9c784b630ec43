"""The page in a real browser: it comes alive, changes by itself, and its script runs under its own policy."""

from pathlib import Path

import pytest

from nodepool_ng.model.ids import LabelName
from tests.support.browser import CHROMIUM, DRIVER, browser
from tests.support.daemons import wait_for
from tests.unit.telemetry.support import full_view, request
from tests.web.support import served

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="there is no chromium, or no chromedriver"),
]

STATE = "return document.getElementById('link').textContent"
TEXT = "return document.getElementById('page').innerText"
AGE = "return document.querySelector('main tbody time').textContent"


def test_the_page_comes_alive_and_follows(tmp_path: Path) -> None:
    with served(full_view()) as place, browser(tmp_path) as chromium:
        chromium.open(f"{place.url}/")
        wait_for(lambda: bool(chromium.run(STATE) == "live"), "the page is alive")
        assert "the pool's limit of instances leaves 0, 1 needed" in chromium.run(TEXT)
        assert chromium.run(AGE) == "30 s"
        evil = request(77, labels=(LabelName("<img src=x onerror=\"document.title='evil'\">"),))
        place.show(full_view(requests={evil.id: evil}))
        wait_for(lambda: "200-0000000077" in chromium.run(TEXT), "the page has changed")
        assert chromium.run("return document.images.length") == 0
        assert chromium.run("return document.title") == "Nodepool · nl01.example"
        assert chromium.complaints() == []
