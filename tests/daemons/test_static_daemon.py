"""Machines that are there already, with the launcher as a process: real names, real connections."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from nodepool_ng.demo.scheduler import NoAnswer
from tests.support.daemons import Site, wait_for

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons]


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    """Two machines that take connections."""
    with ExitStack() as stack:
        yield [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]


def configure(place: Site, *nodes: dict[str, object]) -> None:
    place.configure(
        labels=[{"name": "bare"}, {"name": "other"}],
        providers=[{"name": "yard", "driver": "static", "pools": [{"name": "bench", "nodes": list(nodes)}]}],
    )


def machine(listener: socket.socket, label: str = "bare", **more: object) -> dict[str, object]:
    port = listener.getsockname()[1]
    return {"name": "localhost", "labels": label, "connection-type": "winrm", "connection-port": port, **more}


def test_machines_are_registered_lent_and_registered_anew(place: Site, listeners: list[socket.socket]) -> None:
    first, second = listeners
    nowhere = {"name": "nowhere.invalid", "labels": "bare", "timeout": 1}
    configure(place, machine(first, **{"max-parallel-jobs": 2}), nowhere)
    launcher = place.launcher()
    wait_for(lambda: place.ready(2), "both slots have a node")
    zuul = place.scheduler()
    lent = zuul.take(zuul.wait(zuul.ask(["bare", "bare"]), 20))
    assert sorted(each.node.slot or 0 for each in lent) == [0, 1]
    assert {each.node.interface_ip for each in lent} == {"localhost"}
    assert all(each.node.public_ipv4 == "127.0.0.1" or each.node.public_ipv6 == "::1" for each in lent)
    waiting = zuul.ask(["bare"])
    with pytest.raises(NoAnswer):
        zuul.wait(waiting, 1)
    zuul.give_back(zuul.use(lent[0]))
    assert zuul.wait(waiting, 20).request.nodes[0] not in {each.node.id for each in lent}
    configure(place, machine(first, **{"max-parallel-jobs": 2}), machine(second, "other"))
    wait_for(lambda: place.ready(1, label="other"), "the other machine has a node")
    zuul.give_back(zuul.use(lent[1]))
    zuul.cancel(waiting)
    wait_for(lambda: place.ready(2, label="bare"), "both slots have a node again")
    assert launcher.stop() == 0
    assert place.logs().count("nowhere.invalid cannot be resolved") == 1
    assert "Traceback" not in place.logs()


def test_a_machine_that_went_down_is_not_lent_and_comes_back(place: Site, listeners: list[socket.socket]) -> None:
    (first, second) = listeners
    configure(place, machine(first, timeout=1), machine(second, timeout=1))
    place.launcher()
    wait_for(lambda: place.ready(2), "both machines have a node")
    gone = first.getsockname()[1]
    first.close()
    zuul = place.scheduler()
    lent = zuul.take(zuul.wait(zuul.ask(["bare"]), 20))
    with pytest.raises(NoAnswer):
        zuul.wait(zuul.ask(["bare"]), 4)
    assert [each.node.connection_port for each in lent] == [second.getsockname()[1]]
    assert gone not in [node.connection_port for node in place.nodes().values()]
