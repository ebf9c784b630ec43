"""`nodepool top`: pools, requests, nodes, images and builders, live, with keys to look closer and to act."""

import threading
from collections.abc import Callable, Iterable, Iterator

import click
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Static, TabbedContent, TabPane

from nodepool_ng.cli import notes, told
from nodepool_ng.cli.explaining import text
from nodepool_ng.cli.facts import read_scene
from nodepool_ng.cli.node_lock import Vanished
from nodepool_ng.cli.nodes import change_node, nothing_more
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.explain import overview
from nodepool_ng.explain.find import find
from nodepool_ng.explain.overview import Row
from nodepool_ng.explain.scene import Scene
from nodepool_ng.listing.table import printable
from nodepool_ng.listing.work import WorkRow, amount, duration, work_rows
from nodepool_ng.model.ids import NodeId, Seconds
from nodepool_ng.model.lifecycle import NodeEvent, NodeState
from nodepool_ng.model.node import HELD_BY, Node
from nodepool_ng.zk import paths

EVERY: Seconds = 1.0
"""At most so often everything is read again; ages go on meanwhile."""
BUILDERS = ("Image", "To", "Doing", "For", "How far", "Rate", "Left", "Step", "Builder")
TABLES: dict[str, tuple[str, ...]] = {
    "pools": overview.POOLS,
    "requests": overview.REQUESTS,
    "nodes": overview.NODES,
    "images": overview.IMAGES,
    "builders": BUILDERS,
}
_NAMED_BY_PART = ("pools", "builders")
"""Tables in which the part of a row's key before the first slash is what can be explained."""


def builders(work: Iterable[WorkRow]) -> Iterator[Row]:
    """Yield a row for each build and upload that is under way, and for each that waits for its time."""
    for number, one in enumerate(work):
        done = " of ".join(filter(None, (amount(one.done), amount(one.size))))
        bar = overview.drawn(one.done / one.size) if one.size and one.done is not None else ""
        again = f"next try in {duration(one.again - one.now)}" if one.again is not None else ""
        cells = (
            one.image,
            one.provider,
            one.doing,
            duration(one.seconds),
            " ".join(filter(None, (bar, done))),
            f"{amount(one.rate)}/s" if one.rate else "",
            duration(one.left),
            one.step or "; ".join(filter(None, (one.why, again))),
            one.builder,
        )
        yield Row(f"{one.image}/{one.provider or ''}/{number}", tuple(cell or "" for cell in cells))


class Answer(ModalScreen[None]):
    """Shows an explanation until a key is pressed."""

    BINDINGS = [Binding("escape,q,enter,e", "app.pop_screen", "Close")]  # noqa: RUF012 - as textual has it
    CSS = """
    Answer { align: center middle; }
    VerticalScroll { width: 90%; height: 80%; border: round $accent; padding: 1; }
    """

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(self._words, markup=False)
        yield Footer()


class Sure(ModalScreen[bool]):
    """Asks before something is done."""

    BINDINGS = [  # noqa: RUF012 - as textual has it
        Binding("y", "yes", "Yes"),
        Binding("n,escape,q", "no", "No"),
    ]
    CSS = "Sure { align: center middle; } Static { width: auto; border: round $warning; padding: 1 2; }"

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        yield Static(f"{self._question} (y/n)", markup=False)
        yield Footer()

    def action_yes(self) -> None:
        self.dismiss(True)

    def action_no(self) -> None:
        self.dismiss(False)


class Top(App[None]):
    """The live view. Reading and acting happen on threads, so that keys are answered at once."""

    CSS = "#headline { height: 1; background: $panel; } DataTable { height: 1fr; }"
    BINDINGS = [  # noqa: RUF012 - as textual has it
        Binding("e,enter", "explain", "Explain", priority=True),
        Binding("h", "hold", "Hold"),
        Binding("u", "unhold", "End hold"),
        Binding("d", "delete", "Delete"),
        # Their numbers are at the tabs; the line of keys is for 80 columns.
        Binding("1", "show('pools')", "Pools", show=False),
        Binding("2", "show('requests')", "Requests", show=False),
        Binding("3", "show('nodes')", "Nodes", show=False),
        Binding("4", "show('images')", "Images", show=False),
        Binding("5", "show('builders')", "Builders", show=False),
        Binding("q", "quit", "Quit"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, session: Session, connection: Connection) -> None:
        super().__init__()
        self._session = session
        self._connection = connection
        self._one_at_a_time = threading.Lock()
        self.scene: Scene | None = None

    def compose(self) -> ComposeResult:
        yield Static("", id="headline", markup=False)
        with TabbedContent(id="tabs"):
            for number, (name, columns) in enumerate(TABLES.items(), 1):
                with TabPane(f"{number} {name.capitalize()}", id=f"tab-{name}"):
                    table: DataTable[str] = DataTable(id=name, cursor_type="row", zebra_stripes=True)
                    table.add_columns(*columns)
                    yield table
        yield Footer()

    def on_mount(self) -> None:
        self.title = "nodepool"
        self.query_one("#pools", DataTable).focus()
        self.look()
        self.set_interval(EVERY, self.look)

    @work(thread=True, exclusive=True, group="look")
    def look(self) -> None:
        """Read everything again."""
        try:
            with self._one_at_a_time:
                scene = read_scene(self._session, self._connection)
                documents = told.builders(self._connection)
        except click.ClickException as error:
            self.call_from_thread(self._say, error.message)
            return
        work = tuple(row for document in documents for row in work_rows(document, scene.now))
        self.call_from_thread(self._show, scene, work)

    def action_show(self, name: str) -> None:
        self.query_one("#tabs", TabbedContent).active = f"tab-{name}"
        self.query_one(f"#{name}", DataTable).focus()

    def action_explain(self) -> None:
        """Explain what is under the cursor; a pool by its provider, a builder's work by its image."""
        key = self._chosen()
        if self.scene is None or key is None or isinstance(self.screen, ModalScreen):
            return
        answers = find(self.scene, key.partition("/")[0] if self._table() in _NAMED_BY_PART else key)
        if answers:
            self.push_screen(Answer("\n\n".join(text(one) for one in answers)))

    def action_hold(self) -> None:
        def change(node: Node) -> dict[str, object]:
            return {"extra": {**node.extra, HELD_BY: notes.person()}}

        self._act("Hold", NodeEvent.HELD, change)

    def action_unhold(self) -> None:
        self._act("End the hold of, and delete,", NodeEvent.RETURNED, nothing_more, NodeState.HOLD)

    def action_delete(self) -> None:
        self._act("Delete", NodeEvent.UNWANTED, nothing_more)

    def _act(
        self, verb: str, event: NodeEvent, change: Callable[[Node], object], only: NodeState | None = None
    ) -> None:
        """Let something happen to the node under the cursor, after asking."""
        key = self._chosen()
        if self._table() != "nodes" or key is None:
            self._say("Choose a node first: press 3.")
            return

        def answered(sure: bool | None) -> None:
            if sure:
                self._change(NodeId(key), event, change, only)

        self.push_screen(Sure(f"{verb} node {key}?"), answered)

    @work(thread=True, group="act")
    def _change(self, id: NodeId, event: NodeEvent, change: Callable[[Node], object], only: NodeState | None) -> None:
        try:
            with self._one_at_a_time:
                node = change_node(self._session, self._connection, id, event, change, only)  # type: ignore[arg-type]
            words = f"Node {id} is {node.state} now."
        except Vanished:
            words = f"Node {id} is gone."
        except click.ClickException as error:
            words = error.message
        self.call_from_thread(self._say, words)
        self.call_from_thread(self.look)

    def _table(self) -> str:
        return self.query_one("#tabs", TabbedContent).active.removeprefix("tab-")

    def _chosen(self) -> str | None:
        table = self.query_one(f"#{self._table()}", DataTable)
        if not table.row_count:
            return None
        return table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value

    def _say(self, words: str) -> None:
        self.notify(printable(words), markup=False)

    def _show(self, scene: Scene, work: tuple[WorkRow, ...]) -> None:
        if not self.query("#headline"):
            return  # the view is being closed
        self.scene = scene
        self.query_one("#headline", Static).update(overview.headline(scene))
        rows = {
            "pools": overview.pools(scene),
            "requests": overview.requests(scene),
            "nodes": overview.nodes(scene),
            "images": overview.images(scene),
            "builders": builders(work),
        }
        for name in TABLES:
            fill(self.query_one(f"#{name}", DataTable), list(rows[name]))


def fill(table: "DataTable[str]", rows: list[Row]) -> None:
    """Bring a table up to date; the cursor stays on its row, or goes where that was."""
    chosen = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value if table.row_count else None
    place, scroll = table.cursor_row, table.scroll_y
    table.clear()
    for row in rows:
        table.add_row(*(printable(cell) for cell in row.cells), key=row.key)
    where = next((number for number, row in enumerate(rows) if row.key == chosen), min(place, max(len(rows) - 1, 0)))
    table.move_cursor(row=where, scroll=False)
    table.scroll_to(y=scroll, animate=False)


@click.command()
@click.pass_obj
def top(session: Session) -> None:
    """Show pools, quotas, requests, nodes, images and builders, live, with keys to explain, hold and delete."""
    with session.connected(paths.NODES) as connection:
        Top(session, connection).run()
