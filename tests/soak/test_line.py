"""The line itself: what passes it, what it loses, and that nobody else's network is touched."""

import os
import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.line import FAR, Line, NoLine, inside, lines


@pytest.fixture
def line() -> Iterator[Line]:
    try:
        with lines(1, random.Random(3)) as (made,):
            yield made
    except NoLine as error:
        pytest.skip(str(error))


@pytest.fixture
def echo() -> Iterator[int]:
    """A port of this machine that gives back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    while data := connection.recv(65536):
                        connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def namespaces() -> list[str]:
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout.splitlines()


def addresses() -> str:
    return subprocess.run(["ip", "-br", "address"], capture_output=True, text=True, check=True).stdout


def told(line: Line, address: tuple[str, int], data: bytes, patience: float = 30.0) -> float:
    """Send something and wait for it to come back; return how long that took, in seconds."""
    begun = time.monotonic()
    with inside(line.near, lambda: socket.create_connection(address, patience)) as connection:
        connection.sendall(data)
        got = b""
        while len(got) < len(data):
            got += connection.recv(65536)
    assert got == data
    return time.monotonic() - begun


def test_what_is_sent_arrives_whole_whatever_is_lost(line: Line, echo: int) -> None:
    line.as_at_home(echo)
    data = random.Random(1).randbytes(100_000)
    for address in (FAR, "127.0.0.1"):
        told(line, (address, echo), data)
    assert (line.lost, line.passed > 100) == (0, True)
    line.weather(loss=0.1)
    told(line, (FAR, echo), data)
    assert line.lost > 0


def test_packets_are_late_and_a_dead_line_carries_none(line: Line, echo: int) -> None:
    line.let_out(echo)
    assert told(line, (FAR, echo), b"x") < 0.5
    line.weather(delay=0.5)
    assert told(line, (FAR, echo), b"x") > 0.5
    line.weather(loss=1.0)
    with pytest.raises(TimeoutError):
        told(line, (FAR, echo), b"x", 1.0)
    line.weather()
    told(line, (FAR, echo), b"x")


def test_the_network_of_this_machine_is_left_alone(echo: int) -> None:
    before = addresses()
    try:
        with lines(2, random.Random(3)) as two:
            for line in two:
                line.let_out(echo)
                told(line, (FAR, echo), b"x")
            assert addresses() == before
            assert len(namespaces()) >= 4
    except NoLine as error:
        pytest.skip(str(error))
    assert addresses() == before
    assert not [name for name in namespaces() if f"-{os.getpid()}-" in name]
