"""Where ZooKeeper is, read without looking at the rest of the configuration.

Most commands of `nodepool` need nothing else, and the models that judge a whole file take longer to import than such a
command has to do. What is written plainly is understood here; about everything else `load` decides, and complains.
"""

import math
import os
from collections.abc import Mapping

from nodepool_ng.config import source
from nodepool_ng.config.complaint import ConfigError
from nodepool_ng.config.document import parse
from nodepool_ng.model.settings import ZooKeeperSettings

ZOOKEEPER_PORT = 2281

_SERVERS, _TLS, _TIMEOUT = "zookeeper-servers", "zookeeper-tls", "zookeeper-timeout"
_AUTH = "zookeeper-auth"
"""Left to the judgement of the whole file, as everything that bears a secret."""
_SHORTEST = 0.1  # seconds


class _NotPlain(Exception):
    """It takes the whole judgement of a file to tell what this means."""


def zookeeper_of(path: str, secure: str | None = None, env: Mapping[str, str] = os.environ) -> ZooKeeperSettings | None:
    """Return how the files at `path` and `secure` say ZooKeeper is reached: the same as `load` does, or None where
    that has to be asked, be it for an answer or for its complaints."""
    try:
        main = _root(path, env)
        overriding = {} if secure is None else _root(secure, env)
        servers = _servers(overriding) or _servers(main)
        tls = _tls(overriding) or _tls(main) or {}
        timeout = _timeout(main)
    except (ConfigError, _NotPlain):
        return None
    chroots = {chroot(server.get("chroot", "")) for server in servers} - {""}
    if not servers or len(chroots) > 1:
        return None
    return ZooKeeperSettings(
        hosts=tuple(f"{server['host']}:{server.get('port', ZOOKEEPER_PORT)}" for server in servers),
        chroot=next(iter(chroots), ""),
        tls_cert=tls.get("cert"),
        tls_key=tls.get("key"),
        tls_ca=tls.get("ca"),
        session_timeout=timeout,
    )


def chroot(written: str) -> str:
    """Return a chroot as it is used: empty, or starting with a slash and not ending with one."""
    inner = written.strip("/")
    return f"/{inner}" if inner else ""


def _root(path: str, env: Mapping[str, str]) -> Mapping[object, object]:
    root = parse(source.read(path, env)).root
    if not isinstance(root, dict) or _AUTH in root:
        raise _NotPlain
    return root


def _servers(root: Mapping[object, object]) -> list[dict[str, str]]:
    written = root.get(_SERVERS, [])
    if not isinstance(written, list):
        raise _NotPlain
    for server in written:
        if not isinstance(server, dict) or not server.keys() <= {"host", "port", "chroot"}:
            raise _NotPlain
        port = server.get("port", ZOOKEEPER_PORT)
        if not _is_word(server.get("host")) or ":" in server["host"] or type(port) is not int or not 1 <= port <= 65535:
            raise _NotPlain
        if "chroot" in server and not _is_word(server["chroot"]):
            raise _NotPlain
    return written


def _tls(root: Mapping[object, object]) -> dict[str, str]:
    written = root.get(_TLS, {})
    if not isinstance(written, dict) or not written.keys() <= {"cert", "key", "ca"}:
        raise _NotPlain
    if not all(_is_word(file) for file in written.values()):
        raise _NotPlain
    return written


def _timeout(root: Mapping[object, object]) -> float:
    written = root.get(_TIMEOUT, 10.0)
    if isinstance(written, bool) or not isinstance(written, int | float) or not _SHORTEST <= written < math.inf:
        raise _NotPlain
    return float(written)


def _is_word(value: object) -> bool:
    return type(value) is str and value.isascii() and value.isprintable() and value != "" and " " not in value
