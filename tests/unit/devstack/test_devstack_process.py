"""Processes of devstack, which nobody collects when they have ended."""

import socket
import sys
from pathlib import Path

from devstack import process
from devstack.place import HOST, Place
from devstack.process import waited

PATIENCE = 20.0  # seconds
LISTENS = f"""
import ctypes, socket, threading, time
listener = socket.create_server(({HOST!r}, 0))
print(listener.getsockname()[1], flush=True)
threading.Thread(target=time.sleep, args=(600,)).start()
ctypes.CDLL(None).syscall({{"x86_64": 60}}.get(__import__("platform").machine(), 93), 0)
"""
"""A program that listens, and whose first thread then ends without it: the system shows a zombie that has a port."""


def test_a_process_has_ended_with_its_last_thread(tmp_path: Path) -> None:
    place = Place(folder=tmp_path, ports={}, password="secret", venv=tmp_path / "venv")
    log = place.logs / "listens.log"
    process.start(place, "listens", (sys.executable, "-c", LISTENS), {"PATH": ""})
    leader = process.running(place, "listens")
    assert leader is not None
    state = Path(f"/proc/{leader.pid}/stat")
    assert waited(lambda: state.read_text().rpartition(")")[2].split()[0] == "Z", PATIENCE)
    assert process.running(place, "listens") == leader
    assert process.stop(place, "listens", at_once=True)
    with socket.socket() as again:
        again.bind((HOST, int(log.read_text())))
    assert process.running(place, "listens") is None
