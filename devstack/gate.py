"""Lets those in a network namespace reach ports of this machine's loopback, as the same ports of theirs:

    python -m devstack.gate NAMESPACE PORT...

Only its listening sockets are in the namespace: there is no way through for packets, in or out."""

import asyncio
import contextlib
import socket
import sys
from functools import partial

from devstack import namespace
from devstack.place import HOST
from devstack.process import StackError

BACKLOG = 128
CHUNK = 65536  # bytes


async def serve(name: str, ports: list[int]) -> None:
    """Serve until cancelled. Raises `StackError` and `OSError` when a port cannot be listened on."""
    async with contextlib.AsyncExitStack() as closing:
        for port in ports:
            listener = namespace.inside(name, partial(socket.create_server, (HOST, port), backlog=BACKLOG))
            closing.callback(listener.close)
            await closing.enter_async_context(await asyncio.start_server(_Door(port).enter, sock=listener))
        await asyncio.Event().wait()


class _Door:
    """The way to one port."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes both ways until both sides have ended."""
        with contextlib.closing(writer):
            try:
                far_reader, far_writer = await asyncio.open_connection(HOST, self._port)
            except OSError:
                return  # closing says so
            with contextlib.closing(far_writer):
                await asyncio.gather(_carry(reader, far_writer), _carry(far_reader, writer))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way; the end, too. A side that is gone is an end like any other."""
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


if __name__ == "__main__":
    if len(sys.argv) < 3 or not all(word.isdigit() for word in sys.argv[2:]):
        sys.exit("usage: python -m devstack.gate NAMESPACE PORT...")
    try:
        asyncio.run(serve(sys.argv[1], [int(word) for word in sys.argv[2:]]))
    except (OSError, OverflowError, StackError) as error:
        sys.exit(f"devstack.gate: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
