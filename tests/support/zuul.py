"""Our end of the line to Zuul's own code, which runs as a process in an environment of its own."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nodepool_ng.model.settings import ZooKeeperSettings
from tests.support.daemons import die_with_parent, wait_for
from tests.support.peers import Peer

SCRIPT = Path(__file__).parents[1] / "peers" / "zuul_side.py"
SYSTEM = "zuul-of-the-tests"


class ZuulError(Exception):
    """Zuul's code raised; the text is its traceback."""


class Zuul:
    """Every method of `zuul_side.Zuul` can be called as one of this."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __getattr__(self, verb: str) -> Any:
        def order(*args: object, **named: object) -> Any:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"do": verb, "args": args, "with": named}) + "\n")
            self._process.stdin.flush()
            return self.hear()

        return order

    def hear(self) -> Any:
        """Return the next answer; raise `ZuulError` where it is a traceback."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ZuulError(f"the process ended with {self._process.wait(10)}; see its log")
        reply = json.loads(line)
        if "error" in reply:
            raise ZuulError(reply["error"])
        return reply["answer"]

    def wait(self, request: str, patience: float = 30.0) -> Any:
        """Return what the scheduler makes of the answer to a request."""
        found: list[Any] = []

        def answered() -> bool:
            answer = self.answered(request)
            found.extend([answer] if answer else [])
            return bool(found)

        wait_for(answered, f"request {request} is answered", patience)
        return found[0]


@contextmanager
def zuul(peer: Peer, settings: ZooKeeperSettings, log: Path) -> Iterator[Zuul]:
    """A running Zuul, scheduler and executor."""
    setup = {
        "hosts": ",".join(settings.hosts) + settings.chroot,
        "system_id": SYSTEM,
        "timeout": settings.session_timeout,
        "tls_cert": settings.tls_cert,
        "tls_key": settings.tls_key,
        "tls_ca": settings.tls_ca,
    }
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [str(peer.python), str(SCRIPT), json.dumps(setup)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": ""},
            preexec_fn=die_with_parent,
        )
    with process:
        try:
            made = Zuul(process)
            made.hear()
            yield made
        finally:
            process.kill()
