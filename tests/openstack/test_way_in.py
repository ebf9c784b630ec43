"""The network namespace of virtual machines, and the way out of it to ports of loopback."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from devstack import namespace
from devstack.place import HOST, ROOT
from devstack.process import StackError
from tests.support.daemons import die_with_parent, wait_for

NAME = f"gate-of-tests-{os.getpid()}"
COMMAND = (sys.executable, "-m", "devstack.gate")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces need root and the program ip"
)


@pytest.fixture
def inner() -> Iterator[str]:
    namespace.make(NAME)
    try:
        yield NAME
    finally:
        namespace.remove(NAME)


def gate(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([*COMMAND, *words], cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)


def test_bytes_and_their_end_pass_both_ways(inner: str) -> None:
    with socket.create_server((HOST, 0)) as outside:
        outside.settimeout(30)
        port = outside.getsockname()[1]
        with gate(inner, str(port)) as process:
            found: list[socket.socket] = []

            def entered() -> bool:
                try:
                    found.append(namespace.inside(inner, lambda: socket.create_connection((HOST, port), 30)))
                except ConnectionRefusedError:
                    return False
                return True

            wait_for(entered, "the gate is open")
            near, (far, _) = found[0], outside.accept()
            with near, far:
                far.settimeout(30)
                near.sendall(b"hello")
                assert far.recv(5) == b"hello"
                near.shutdown(socket.SHUT_WR)
                assert far.recv(5) == b""
                far.sendall(b"good bye")
                assert near.recv(8) == b"good bye"
                far.close()
                assert near.recv(8) == b""
            process.kill()


def test_without_a_gate_there_is_no_way_out(inner: str) -> None:
    with socket.create_server((HOST, 0)) as outside:
        address = outside.getsockname()
        with pytest.raises(ConnectionRefusedError):
            namespace.inside(inner, lambda: socket.create_connection(address, 30))
    (device,) = namespace.inside(inner, lambda: socket.if_nameindex())
    assert device[1] == "lo"


def test_removing_ends_what_runs_in_it() -> None:
    namespace.make(NAME)
    namespace.make(NAME)  # it is there already
    process = subprocess.Popen(namespace.within(NAME, "sleep", "600"), preexec_fn=die_with_parent)
    wait_for(lambda: process.pid in namespace.members(NAME), "it runs in there")
    namespace.remove(NAME)
    assert process.wait(30) != 0
    assert not namespace.exists(NAME)
    namespace.remove(NAME)  # it is gone already


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "usage: python -m devstack.gate NAMESPACE PORT..."),
        (("no-such-one", "http"), "usage: python -m devstack.gate NAMESPACE PORT..."),
        (
            ("no-such-one", "80"),
            "devstack.gate: the namespace no-such-one cannot be entered: No such file or directory",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(words: tuple[str, ...], complaint: str) -> None:
    with gate(*words) as process:
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (1, f"{complaint}\n")


def test_a_namespace_that_is_not_there() -> None:
    with pytest.raises(StackError, match="cannot be entered"):
        namespace.inside("no-such-one", os.getpid)
