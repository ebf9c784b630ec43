"""Draws the tables of states into docs/architecture.rst: `python -m tests.readme.drawn`."""

from collections import defaultdict
from collections.abc import Mapping
from enum import StrEnum

from nodepool_ng.model.lifecycle import (
    IMAGE_TRANSITIONS,
    NODE_STATES,
    NODE_TRANSITIONS,
    REQUEST_STATES,
    REQUEST_TRANSITIONS,
)
from tests.support.readme import CHECKOUT

PAGE = CHECKOUT / "docs" / "architecture.rst"
BEGIN = ".. What follows is drawn by tests/readme/drawn.py.\n"
END = ".. What was drawn ends here.\n"
MANY = 5
"""So many states with one and the same arrow are drawn as one."""


def drawn(transitions: Mapping[tuple[StrEnum, StrEnum], StrEnum], says: Mapping[StrEnum, str]) -> str:
    """Return every arrow that changes the state, and a sentence for each state."""
    arrows: dict[tuple[StrEnum, StrEnum], list[StrEnum]] = defaultdict(list)
    for (state, event), after in transitions.items():
        if state is not after:
            arrows[event, after].append(state)
    lines = []
    for (event, after), states in arrows.items():
        sources = ["any live state"] if len(states) >= MANY else [state.value for state in states]
        lines += [f"{source:<15} --- {event.value:<16} --> {after.value}" for source in sources]
    text = "::\n\n" + "".join(f"    {line}\n" for line in lines)
    return text + ("\n" + "".join(f"``{state.value}``\n    {said}\n" for state, said in says.items()) if says else "")


def page() -> str:
    """Return the whole page with its tables as they are now."""
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    parts = (
        ("A node", NODE_TRANSITIONS, NODE_STATES),
        ("A request", REQUEST_TRANSITIONS, REQUEST_STATES),
        ("A build, an upload", IMAGE_TRANSITIONS, {}),
    )
    tables = [f"{title}\n{'-' * len(title)}\n\n{drawn(table, says)}\n" for title, table, says in parts]  # type: ignore[arg-type]
    return f"{head}{BEGIN}\n{''.join(tables)}{END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(page())
