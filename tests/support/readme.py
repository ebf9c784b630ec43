"""The commands of README.rst: what its code blocks have after a `$`."""

import re
import shlex
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
README = CHECKOUT / "README.rst"

_COMMAND = re.compile(r"^ +\$ (.+?)(?: +# .*)?$", re.MULTILINE)


def commands(page: Path = README) -> tuple[str, ...]:
    """Return the commands of a page, in order, without their comments; not what a demo printed that is over."""
    return tuple(command for command in _COMMAND.findall(page.read_text()) if ".state/demo-" not in command)


def words_of(beginning: str) -> list[str]:
    """Return the README's one command that begins so, split into words."""
    (found,) = dict.fromkeys(command for command in commands() if command.startswith(beginning))
    return shlex.split(found)
