"""Whatever a client sends, the web pages answer, and never with a traceback."""

from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodepool_ng.web.accept import chosen
from tests.fuzz.inputs import words
from tests.unit.telemetry.support import full_view
from tests.web.support import Place, served

FUZZ = settings.get_profile("fuzz")
PATHS = ("/", "/node-list", "/image-list", "/request-list", "/label-list", "/ready", "/health", "/metrics", "/nothing")
names = st.sampled_from(["node_id", "fields", "format"]) | words
header = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with served(full_view()) as made:
        yield made


@settings(FUZZ)
@given(
    st.sampled_from(["GET", "POST", "HEAD", "PUT"]),
    st.sampled_from(PATHS),
    st.dictionaries(names, words, max_size=3),
    st.dictionaries(st.sampled_from(["accept", "if_modified_since", "content_type", "x_any"]), header, max_size=3),
    st.text("ab=&%;+", max_size=100),
)
def test_every_request_has_an_answer(
    place: Place, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: str
) -> None:
    asked = urlencode({key: value[:2000] for key, value in query.items()}, errors="replace")
    answer = place.ask(f"{path}?{asked}", method, body, **headers)
    assert HTTPStatus(answer.status) is not HTTPStatus.INTERNAL_SERVER_ERROR
    assert "Traceback" not in answer.body


@settings(FUZZ)
@given(st.text(max_size=200) | words)
def test_any_accept_header_chooses_one_of_the_offers(accept: str) -> None:
    assert chosen(accept, ("text/html", "application/json")) in ("text/html", "application/json", None)
