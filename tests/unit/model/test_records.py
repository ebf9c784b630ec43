"""What nodes, requests, actions and reasons tell of themselves."""

from __future__ import annotations

import typing

import pytest

from nodepool_ng.model import action as do
from nodepool_ng.model import backing_action as cutting
from nodepool_ng.model.backing import Cut
from nodepool_ng.model.gate import Gate, GateState
from nodepool_ng.model.lifecycle import NodeState, RequestState
from nodepool_ng.model.node import Node, hold_limit
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.reason import SENTENCES, Code, Reason, place, sentence
from nodepool_ng.model.request import NodeRequest, rank
from nodepool_ng.model.settings import StaticHost

WHY = Reason(code=Code.DUE)


@pytest.mark.parametrize(
    ("own", "installation", "limit"),
    [
        (None, 0, 0),
        (None, 600, 600),
        (0, 600, 600),
        (60, 600, 60),
        (6000, 600, 600),
        (60, 0, 60),
        ("60", 600, 60),
        (59.9, 600, 59),
        (-60, 600, 600),
        (True, 600, 600),
        ("soon", 600, 600),
        ("1.5", 600, 600),
        ([60], 600, 600),
        ({"s": 60}, 0, 0),
        (float("nan"), 600, 600),
        (float("inf"), 600, 600),
        (10**400, 600, 600),
        (1_795_209_470_000, 600, 600),
        (1_795_209_470_000, 0, 1_795_209_470_000),
    ],
)
def test_a_hold_lasts_as_long_as_the_stricter_of_two_limits_that_are_numbers(
    own: typing.Any, installation: float, limit: float
) -> None:
    node = Node(id="1", state=NodeState.HOLD, state_time=0, hold_expiration=own)  # type: ignore[arg-type]
    assert hold_limit(node, installation) == limit


def request(id: str, relative: float = 0) -> NodeRequest:
    return NodeRequest(id=id, state=RequestState.REQUESTED, state_time=0, relative_priority=relative)  # type: ignore[arg-type]


def test_requests_are_served_by_priority_as_a_string_then_relative_priority_then_sequence() -> None:
    order = [
        request("050-0000000009"),
        request("100-0000000003"),
        request("100-0000000007"),
        request("100-0000000001", 1),
        request("1000-0000000000"),
        request("200-0000000002"),
        request("90-0000000000"),
        request("900-0000000000"),
    ]
    assert sorted(order[1::2] + order[::2], key=rank) == order


@pytest.mark.parametrize("odd", ["odd", "100", "100-", "-0000000001", "100-abc", "1-0-0000000001", "100-¹"])
def test_an_id_of_an_odd_form_comes_after_all_proper_ones(odd: str) -> None:
    assert rank(request(odd)) > rank(request("zzz-9999999999", 1e9))


def test_a_server_id_is_a_string_or_none() -> None:
    def of(value: typing.Any) -> str | None:
        return Node(id="1", state=NodeState.USED, state_time=0, external_id=value).server_id  # type: ignore[arg-type]

    assert [of("x"), of(""), of(None), of({"a": 1})] == ["x", None, None, None]


LAUNCH = do.Launch(label="l", zone=None, needs=Resources({"instances": 1, "cores": 2}))  # type: ignore[arg-type]
HOST = StaticHost(name="h", labels=())
CUT = Cut(provider="p", label="l", slots=2, launched=0)  # type: ignore[arg-type]
NODE: typing.Any = {"node": "1", "why": WHY}
REQUEST: typing.Any = {"request": "r", "why": WHY}
POOL: typing.Any = {"provider": "p", "pool": "q"}
ALL: list[tuple[do.Action, set[tuple[str, str]]]] = [
    (do.HandOut(**REQUEST, **POOL, nodes=("1", "2")), {("request", "r"), ("node", "1"), ("node", "2")}),
    (do.Claim(**REQUEST, **POOL, nodes=("1",), launches=(LAUNCH,)), {("request", "r"), ("node", "1")}),
    (do.LaunchNodes(**REQUEST, **POOL, launches=(LAUNCH,)), {("request", "r")}),
    (do.LaunchNodes(request=None, why=WHY, **POOL, launches=(LAUNCH,)), {("warm", "p/q/l")}),
    (do.AdoptNode(**NODE), {("node", "1")}),
    (do.AdoptRequest(**REQUEST), {("request", "r")}),
    (do.CreateServer(**NODE, **POOL, label="l"), {("node", "1")}),  # type: ignore[arg-type]
    (do.ScanHostKeys(**NODE, address="a", port=22, ssh=True, deadline=0), {("scan", "1")}),
    (do.RecordReady(**NODE, server="s", host_keys=()), {("node", "1")}),  # type: ignore[arg-type]
    (do.Fulfil(**REQUEST, nodes=("1",), booted=()), {("request", "r"), ("node", "1")}),  # type: ignore[arg-type]
    (do.RetryNode(**NODE, counted=True), {("node", "1")}),
    (do.Release(**REQUEST), {("request", "r")}),
    (do.Decline(**REQUEST, pools=(), fail=True, because=()), {("request", "r")}),
    (do.CompleteRequest(**REQUEST), {("request", "r")}),
    (do.Unlock(**NODE), {("node", "1")}),
    (do.Unlock(**REQUEST), {("request", "r")}),
    (do.FreeNode(**NODE), {("node", "1")}),
    (do.RetireNode(**NODE, expect=NodeState.USED), {("node", "1")}),
    (do.DeleteServer(**NODE, provider="p", server="s"), {("server", "p/s")}),  # type: ignore[arg-type]
    (do.EraseNode(**NODE), {("node", "1")}),
    (do.SweepGhost(**NODE), {("node", "1")}),
    (do.AdvanceServer(**NODE, provider="p", pool="o", label="l", server="s"), {("node", "1")}),  # type: ignore[arg-type]
    (do.AttachAddress(**NODE, provider="p", server="s"), {("node", "1")}),  # type: ignore[arg-type]
    (do.KeepConsole(**NODE, provider="p", server="s"), {("node", "1")}),  # type: ignore[arg-type]
    (do.SweepNetwork(provider="p", ports=True, floating_ips=True, why=WHY), {("network", "p")}),  # type: ignore[arg-type]
    (do.ForgetConfirmation(provider="p", why=WHY), {("confirmation", "p")}),  # type: ignore[arg-type]
    (do.SweepLocks(requests=("r",), why=WHY), {("sweep", "request-locks")}),  # type: ignore[arg-type]
    (do.LookAtHost(**POOL, host=HOST, why=WHY), {("host", "p/zuul@h:22")}),
    (do.RegisterNodes(**POOL, host=HOST, slots=(0, 1), why=WHY), {("host", "p/zuul@h:22")}),
    (do.RenewNode(**NODE, host=HOST, slot=0, host_keys=()), {("node", "1")}),
    (cutting.AskForBacking(provider="p", label="l", backing="b", count=2, why=WHY), {("backing", "p/l")}),  # type: ignore[arg-type]
    (cutting.WithdrawBacking(**REQUEST, provider="p"), {("request", "r")}),  # type: ignore[arg-type]
    (cutting.TakeBacking(**REQUEST, node="1", cut=CUT), {("request", "r"), ("node", "1")}),  # type: ignore[arg-type]
    (cutting.TakeSlot(**NODE, backing="2", slot=3), {("node", "1"), ("slot", "2/3")}),  # type: ignore[arg-type]
    (cutting.SpoilBacking(**NODE), {("node", "1")}),
    (cutting.ReleaseBacking(**NODE, provider="p"), {("node", "1")}),  # type: ignore[arg-type]
    (cutting.UnlockBacking(**NODE), {("node", "1")}),
    (do.CheckCanary(**NODE, server="s", host_keys=(), command="c", timeout=1), {("node", "1")}),  # type: ignore[arg-type]
    (do.JudgeUpload(**NODE, upload="/u", gate=Gate(state=GateState.PASSED, since=0)), {("node", "1")}),
    (do.ListServers(provider="p", since=None, why=WHY), {("list", "p")}),  # type: ignore[arg-type]
    (do.ReadCapacity(provider="p", why=WHY), {("capacity", "p")}),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("action", "touched"), ALL, ids=lambda v: type(v).__name__)
def test_an_action_names_what_it_touches(action: do.Action, touched: set[tuple[str, str]]) -> None:
    assert set(do.subjects(action)) == touched


def test_no_kind_of_action_is_left_out_above() -> None:
    assert {type(action) for action, _ in ALL} == set(typing.get_args(do.Action))


def test_an_unlock_of_nothing_is_a_mistake() -> None:
    with pytest.raises(TypeError):
        do.subjects(do.Unlock(why=WHY))


def test_an_action_takes_what_its_launches_need() -> None:
    assert do.takes(do.Claim(**REQUEST, **POOL, nodes=(), launches=(LAUNCH, LAUNCH))) == Resources(
        {"instances": 2, "cores": 4}
    )
    assert not do.takes(do.Release(**REQUEST))


@pytest.mark.parametrize("code", Code)
def test_every_reason_can_be_told(code: Code) -> None:
    assert code in SENTENCES
    told = sentence(Reason(code=code, provider="p", pool="q", label="l", request="r", resource="ram", detail="d"))  # type: ignore[arg-type]
    assert told
    assert "{" not in told


def test_a_reason_says_where_it_applies() -> None:
    assert place(Reason(code=Code.DUE, provider="p", pool="q")) == "p/q"  # type: ignore[arg-type]
    assert place(Reason(code=Code.LOCKED)) == ""
