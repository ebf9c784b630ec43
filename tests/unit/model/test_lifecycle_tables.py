"""The lives of nodes, requests and images: what may follow what, and that nothing else does."""

from __future__ import annotations

from enum import StrEnum
from itertools import product

import pytest

from nodepool_ng.model.image import Build, Upload, build_moved, upload_moved
from nodepool_ng.model.lifecycle import (
    GARBAGE_WHEN_UNLOCKED,
    IMAGE_TRANSITIONS,
    NODE_STATES,
    NODE_TRANSITIONS,
    REQUEST_STATES,
    REQUEST_TRANSITIONS,
    ImageEvent,
    ImageState,
    ImpossibleTransition,
    NodeEvent,
    NodeState,
    RequestEvent,
    RequestState,
    after,
    image_after,
    request_after,
)
from nodepool_ng.model.node import Node, moved
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.request import moved as request_moved

NODE = """
    init      locked         building
    building  locked         building
    building  retried        building
    building  booted         ready
    building  launch failed  failed
    building  no capacity    aborted
    ready     allocated      ready
    ready     freed          ready
    ready     taken          in-use
    in-use    returned       used
    used      returned       used
    hold      returned       used
    init      held           hold
    building  held           hold
    testing   held           hold
    ready     held           hold
    in-use    held           hold
    used      held           hold
    hold      held           hold
    failed    held           hold
    aborted   held           hold
    init      unwanted       deleting
    building  unwanted       deleting
    testing   unwanted       deleting
    ready     unwanted       deleting
    in-use    unwanted       deleting
    used      unwanted       deleting
    hold      unwanted       deleting
    failed    unwanted       deleting
    aborted   unwanted       deleting
    deleting  unwanted       deleting
    deleted   unwanted       deleted
    deleting  gone           deleted
    deleted   gone           deleted
"""
REQUEST = """
    requested  claimed          pending
    pending    claimed          pending
    pending    released         requested
    requested  declined         requested
    pending    declined         requested
    requested  declined by all  failed
    pending    declined by all  failed
    requested  served           fulfilled
    pending    served           fulfilled
"""
IMAGE = """
    building   succeeded  ready
    building   failed     failed
    building   unwanted   deleting
    uploading  succeeded  ready
    uploading  failed     failed
    uploading  unwanted   deleting
    ready      unwanted   deleting
    failed     unwanted   deleting
    deleting   unwanted   deleting
"""


def table(text: str) -> dict[tuple[str, str], str]:
    rows = [line.split(maxsplit=1) for line in text.strip().splitlines()]
    return {(state, rest.rsplit(maxsplit=1)[0].strip()): rest.split()[-1] for state, rest in rows}


@pytest.mark.parametrize(
    ("transitions", "text"), [(NODE_TRANSITIONS, NODE), (REQUEST_TRANSITIONS, REQUEST), (IMAGE_TRANSITIONS, IMAGE)]
)
def test_these_are_all_transitions_that_there_are(
    transitions: dict[tuple[StrEnum, StrEnum], StrEnum], text: str
) -> None:
    assert {(a.value, e.value): b.value for (a, e), b in transitions.items()} == table(text)


@pytest.mark.parametrize(("state", "event"), sorted(set(product(NodeState, NodeEvent)) - set(NODE_TRANSITIONS)))
def test_every_other_event_is_impossible_for_a_node(state: NodeState, event: NodeEvent) -> None:
    with pytest.raises(ImpossibleTransition, match=f"a node that is {state} cannot be {event}"):
        after(state, event)


@pytest.mark.parametrize(
    ("state", "event"), sorted(set(product(RequestState, RequestEvent)) - set(REQUEST_TRANSITIONS))
)
def test_every_other_event_is_impossible_for_a_request(state: RequestState, event: RequestEvent) -> None:
    with pytest.raises(ImpossibleTransition, match=f"a request that is {state} cannot be {event}"):
        request_after(state, event)


@pytest.mark.parametrize(("state", "event"), sorted(set(product(ImageState, ImageEvent)) - set(IMAGE_TRANSITIONS)))
def test_every_other_event_is_impossible_for_an_image(state: ImageState, event: ImageEvent) -> None:
    with pytest.raises(ImpossibleTransition):
        image_after(state, event)


def test_nothing_leads_back_from_deleting() -> None:
    ends = {NodeState.DELETING, NodeState.DELETED}
    assert {b for (a, _), b in NODE_TRANSITIONS.items() if a in ends} == ends


def test_a_finished_request_is_never_written_again() -> None:
    assert not {a for a, _ in REQUEST_TRANSITIONS} & {RequestState.FULFILLED, RequestState.FAILED}


def test_every_state_has_a_sentence() -> None:
    assert set(NODE_STATES) == set(NodeState)
    assert set(REQUEST_STATES) == set(RequestState)


def test_ready_held_and_new_nodes_are_not_garbage_for_being_unlocked() -> None:
    assert set(NodeState) - GARBAGE_WHEN_UNLOCKED == {
        NodeState.INIT,
        NodeState.TESTING,
        NodeState.READY,
        NodeState.HOLD,
    }


def test_the_time_of_a_node_moves_only_with_its_state_or_a_new_attempt() -> None:
    node = Node(id="1", state=NodeState.BUILDING, state_time=5)  # type: ignore[arg-type]
    assert moved(node, NodeEvent.LOCKED, 9).state_time == 5
    assert moved(node, NodeEvent.RETRIED, 9).state_time == 9
    assert moved(node, NodeEvent.BOOTED, 9, host_keys=("k",)) == Node(
        id=node.id, state=NodeState.READY, state_time=9, host_keys=("k",)
    )


def test_requests_builds_and_uploads_move_with_their_time() -> None:
    request = NodeRequest(id="100-0000000001", state=RequestState.REQUESTED, state_time=1)  # type: ignore[arg-type]
    assert request_moved(request, RequestEvent.CLAIMED, 7).state is RequestState.PENDING
    assert request_moved(request, RequestEvent.CLAIMED, 7).state_time == 7
    build = Build(image="i", id="b", state=ImageState.BUILDING, state_time=1)  # type: ignore[arg-type]
    assert build_moved(build, ImageEvent.SUCCEEDED, 3, formats=("raw",)).formats == ("raw",)
    upload = Upload(image="i", build="b", provider="p", id="u", state=ImageState.UPLOADING, state_time=1)  # type: ignore[arg-type]
    assert upload_moved(upload, ImageEvent.FAILED, 3).state is ImageState.FAILED
