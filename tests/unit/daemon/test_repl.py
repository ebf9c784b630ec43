"""The console in a daemon: it answers whoever connects on this machine, and only them."""

import socket
import threading
from contextlib import contextmanager

from nodepool_ng.daemon.repl import Repl


@contextmanager
def running():
    """A console; standard output is led through it only while a test itself runs."""
    made = Repl({"answer": 42}, port=0)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def talk(repl: Repl, *lines: str) -> str:
    with socket.create_connection(("127.0.0.1", repl.port), timeout=10) as connection:
        connection.sendall("".join(f"{line}\n" for line in lines).encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b"")).decode()


def test_what_is_typed_is_answered():
    with running() as repl:
        said = talk(repl, "answer + 1", "print('printed')")
    assert "The names here: answer" in said
    assert ">>> 43\n" in said
    assert "printed\n" in said


def test_a_mistake_is_told_to_who_made_it():
    with running() as repl:
        assert "ZeroDivisionError" in talk(repl, "1 / 0")


def test_two_consoles_do_not_mix(capsys):
    said: dict[int, str] = {}
    with running() as repl:

        def converse(number: int) -> None:
            said[number] = talk(repl, *[f"print({number} * 111)"] * 50)

        threads = [threading.Thread(target=converse, args=(number,)) for number in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print("ours")
    assert (said[1].count("111"), said[1].count("222")) == (50, 0)
    assert (said[2].count("222"), said[2].count("111")) == (50, 0)
    assert capsys.readouterr().out == "ours\n"


def test_leaving_the_console_does_not_end_the_daemon():
    with running() as repl:
        talk(repl, "exit()")
        assert ">>> 42" in talk(repl, "answer")
