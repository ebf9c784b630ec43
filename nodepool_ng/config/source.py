"""The text of a configuration file: read, with tokens of the environment put in, and its places still known.

A token is a percent sign and a variable's name in parentheses; only variables whose names start with `NODEPOOL_`
count. The value becomes part of the YAML text, so a number in it is a number. Variables are applied one after the
other, therefore a value may hold the token of a later one. A complaint about what came out of a token points to it.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from nodepool_ng.config.complaint import Complaint, ConfigError, Gravity, Place

PREFIX = "NODEPOOL_"
_TOKEN = re.compile(r"%\((NODEPOOL_\w*)\)")


@dataclass(frozen=True, slots=True)
class Source:
    """`text` is what YAML sees. `origins` holds, for each of its characters, the offset in the file that it stems
    from, or is empty where nothing was substituted; `lines` are the offsets at which the file's lines start."""

    file: str
    text: str
    origins: tuple[int, ...]
    lines: tuple[int, ...]
    unset: tuple[tuple[str, int], ...] = ()
    """Tokens whose variable does not exist, with their offsets in `text`."""

    def place(self, offset: int) -> Place:
        """Return where in the file the character at `offset` of `text` was written."""
        if self.origins:
            offset = self.origins[min(offset, len(self.origins) - 1)]
        line = bisect_right(self.lines, offset)
        return Place(self.file, line, offset - self.lines[line - 1] + 1)


def read(path: str, env: Mapping[str, str]) -> Source:
    """Read a file and substitute its tokens.

    Raises:
        ConfigError: it cannot be read or is not UTF-8.
    """
    try:
        with open(path, "rb") as file:
            written = file.read().decode("utf-8-sig")
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {error.strerror}", "check the path and its permissions") from None
    except ValueError:
        raise _unreadable(path, "is not UTF-8 text", "save it in that encoding") from None
    return substitute(path, written, env)


def substitute(file: str, written: str, env: Mapping[str, str]) -> Source:
    """Return the source that `written` becomes with the values of `env` put in.

    Raises:
        ConfigError: a value is not Unicode text.
    """
    text, origins = written, None
    for name, value in env.items():
        token = f"%({name})"
        if not name.startswith(PREFIX) or token not in text:
            continue
        if not encodable(value):
            raise _unreadable(file, f"names {name}, whose value is not UTF-8 text", "set it to text")
        text, origins = _replaced(text, list(range(len(text))) if origins is None else origins, token, value)
    end = [len(written)] if origins is not None else []
    lines = (0, *(found.end() for found in re.finditer(r"\r\n|\n|\r", written)))
    unset = tuple((found[1], found.start()) for found in _TOKEN.finditer(text))
    return Source(file, text, (*(origins or ()), *end), lines, unset)


def encodable(text: str) -> bool:
    """Tell whether `text` has no lone surrogates, which neither ZooKeeper nor a cloud could be sent."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _replaced(text: str, origins: list[int], token: str, value: str) -> tuple[str, list[int]]:
    parts: list[str] = []
    stems: list[int] = []
    start = 0
    while (at := text.find(token, start)) >= 0:
        parts += text[start:at], value
        stems += origins[start:at] + [origins[at]] * len(value)
        start = at + len(token)
    return "".join([*parts, text[start:]]), stems + origins[start:]


def _unreadable(file: str, what: str, remedy: str) -> ConfigError:
    return ConfigError([Complaint(place=Place(file), gravity=Gravity.FATAL, what=f"the file {what}", remedy=remedy)])
