"""Files whose permissions let others on this machine read secrets, or change what a daemon does."""

import os
import stat
from collections.abc import Iterable

from nodepool_ng.model.settings import Settings


def exposed(config: str, secret: Iterable[str]) -> tuple[str, ...]:
    """Return a sentence for each file that is open to everybody; files that are not there are passed over.

    `secret` are files that hold secrets, `config` is one that says what to run.
    """
    sentences = []
    for path in dict.fromkeys(secret):
        if _mode(path) & (stat.S_IROTH | stat.S_IWOTH):
            sentences.append(f"{path} may hold secrets and everybody on this machine can read it; chmod o-rwx {path}")
    if _mode(config) & stat.S_IWOTH:
        sentences.append(f"everybody on this machine can write to {config}; chmod o-w {config}")
    return tuple(sentences)


def secret_files(settings: Settings, config: str, secure: str | None, clouds: Iterable[str]) -> tuple[str, ...]:
    """Return the paths of files that hold secrets: the secure file, or the main one where the password for ZooKeeper
    can only be in that; the TLS key; and where clouds.yaml may be."""
    zookeeper = settings.zookeeper
    key = None if zookeeper is None else zookeeper.tls_key
    main = config if secure is None and zookeeper is not None and zookeeper.auth is not None else None
    return tuple(path for path in (secure, main, key, *clouds) if path is not None)


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except OSError:
        return 0
