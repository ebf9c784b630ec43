"""Launchers as commands reach them: over HTTP, at the addresses that they tell in ZooKeeper."""

import json
import urllib.parse
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from nodepool_ng.cli.facts import read_told
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Connection
from nodepool_ng.model.ids import Seconds

PATIENCE: Seconds = 10.0
LONGEST = 100_000_000  # bytes of an answer


def ask_all(connection: Connection, path: str, **parameters: object) -> Mapping[str, Any]:
    """Ask every launcher that serves pages, and return the answers by launcher.

    Raises:
        Failed: none tells of an address, or none answers.
    """
    addresses = read_told(connection).web
    if not addresses:
        raise Failed("No launcher tells where it serves pages; is one running, without --no-webapp?")
    query = urllib.parse.urlencode(parameters)
    # An operator's proxy is for the world outside.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(address: str) -> Any:
        try:
            with opener.open(f"{address}/{path}?{query}", timeout=PATIENCE) as answer:
                return json.loads(answer.read(LONGEST))
        except (OSError, ValueError) as error:
            return error

    with ThreadPoolExecutor(max(len(addresses), 1)) as threads:
        answers = dict(zip(addresses, threads.map(ask, addresses.values()), strict=True))
    good = {name: answer for name, answer in answers.items() if not isinstance(answer, OSError | ValueError)}
    if not good:
        name, error = next(iter(answers.items()))
        raise Failed(f"No launcher answers; {name} at {addresses[name]}: {error}. Can this machine reach its web port?")
    return good
