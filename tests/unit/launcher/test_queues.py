"""Who comes when others like him wait already need not be planned for at once."""

from typing import Any

import pytest

from nodepool_ng.launcher.requests import Requests
from nodepool_ng.model.ids import RequestId
from nodepool_ng.model.lifecycle import RequestState
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.snapshot import Side


def asked(requests: Requests, number: int, *labels: str, **more: Any) -> RequestId:
    """Note a request that is open; return its id."""
    known: dict[str, Any] = {"labels": labels, **more}
    request = NodeRequest(id=RequestId(f"100-{number}"), state=RequestState.REQUESTED, state_time=1.0, **known)
    requests.changed(request.id, request, None, 1.0, lockable=False)
    return request.id


@pytest.fixture
def requests() -> Requests:
    """Requests of which the latest plan left one waiting, for a small node."""
    requests = Requests()
    requests.planned([asked(requests, 1, "small")])
    return requests


def test_one_like_those_that_wait_joins_them(requests: Requests) -> None:
    assert requests.joins_a_queue(asked(requests, 2, "small"))
    assert requests.queued


@pytest.mark.parametrize(
    ("labels", "more"),
    [
        (("large",), {}),
        (("small", "small"), {}),
        (("small",), {"provider": "acme"}),
        (("small",), {"tenant_name": "other"}),
        (("small",), {"reuse": False}),
    ],
)
def test_one_that_may_be_served_while_they_wait_does_not(
    requests: Requests, labels: tuple[str, ...], more: dict[str, Any]
) -> None:
    assert not requests.joins_a_queue(asked(requests, 2, *labels, **more))


def test_while_one_beside_the_queue_is_not_answered_there_is_more_than_a_queue(requests: Requests) -> None:
    assert requests.queued
    large = asked(requests, 2, "large")
    assert not requests.queued
    requests.planned([RequestId("100-1")])
    assert not requests.queued
    requests.changed(large, None, None, 2.0, lockable=False)
    assert requests.queued


def test_one_that_was_left_waiting_is_a_queue(requests: Requests) -> None:
    requests.planned([asked(requests, 2, "large")])
    assert requests.queued


def test_one_that_somebody_serves_is_no_queue(requests: Requests) -> None:
    first = RequestId("100-1")
    requests.changed(first, requests.records[first], Side.FOREIGN, 2.0, lockable=True)
    requests.planned([first])
    assert not requests.queued
    assert not requests.joins_a_queue(asked(requests, 2, "small"))


def test_once_nobody_was_left_waiting_there_is_no_queue(requests: Requests) -> None:
    requests.planned([])
    assert not requests.queued
    assert not requests.joins_a_queue(asked(requests, 2, "small"))


def test_one_that_was_withdrawn_is_no_queue() -> None:
    requests = Requests()
    gone = asked(requests, 1, "small")
    requests.changed(gone, None, None, 2.0, lockable=False)
    requests.planned([gone])
    assert not requests.joins_a_queue(asked(requests, 2, "small"))
