"""The tables of figures in README.rst and docs/speed.rst, made from what the benchmark kept.

python -m tests.bench warm churn … --beside --keep docs/speed.jsonl
python -m tests.bench.page
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
KEPT = CHECKOUT / "docs" / "speed.jsonl"
PAGES = (CHECKOUT / "docs" / "speed.rst", CHECKOUT / "README.rst")
BEGIN = ".. the table below is made by `python -m tests.bench.page`"
END = ".. the table above is made by `python -m tests.bench.page`"
OURS, THEIRS = "nodepool_ng", "Nodepool 11.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table. `path` leads to a figure of the scenario's JSON line, `scale` makes it one in `unit`.

    `goal` is what our figure is to be at most, or at least; with `relative` it is about the ratio to Nodepool 11's.
    """

    what: str
    scenario: str
    path: str
    of: Mapping[str, object] | None = None
    scale: float = 1.0
    unit: str = ""
    most: float | None = None
    least: float | None = None
    relative: bool = False
    in_readme: bool = False


LINES = (
    Line(
        what="hand-out of a ready node, p50",
        scenario="warm",
        of={"ready": 100},
        path="rest.p50",
        unit="ms",
        most=10,
        in_readme=True,
    ),
    Line(what="the same, p95", scenario="warm", of={"ready": 100}, path="rest.p95", unit="ms", most=30),
    Line(what="the same, p99", scenario="warm", of={"ready": 100}, path="rest.p99", unit="ms", most=60, in_readme=True),
    Line(what="the same ÷ the bare ZooKeeper rounds, p50", scenario="warm", of={"ready": 100}, path="ratio", most=2),
    Line(what="under 20 lives a second, p50", scenario="warm", of={"ready": 100}, path="busy.p50", unit="ms", most=10),
    Line(what="the same, p95", scenario="warm", of={"ready": 100}, path="busy.p95", unit="ms", most=30),
    Line(
        what="the same: launcher CPU a life",
        scenario="warm",
        of={"ready": 100},
        path="cpu_per_1000",
        unit="ms",
        most=15,
    ),
    Line(what="the same: ZooKeeper operations a life", scenario="warm", of={"ready": 100}, path="operations", most=25),
    *(
        Line(what=what, scenario="warm", of={"ready": 800}, path=path, unit="ms", most=most)
        for what, path, most in (
            ("one of 800 ready, p50", "rest.p50", 10),
            ("the same, p99", "rest.p99", 60),
            ("the same under 20 lives a second, p50", "busy.p50", 10),
            ("the same, p95", "busy.p95", 30),
            ("the same, p99", "busy.p99", 60),
            ("the same: launcher CPU a life", "cpu_per_1000", 15),
        )
    ),
    Line(
        what="one of 800 ready ÷ the bare ZooKeeper rounds, p50",
        scenario="warm",
        of={"ready": 800},
        path="ratio",
        most=2,
    ),
    Line(
        what="50 at once, p99",
        scenario="warm",
        of={"ready": 100},
        path="at_once.p99",
        unit="ms",
        most=150,
        in_readme=True,
    ),
    Line(
        what="500 cold at once ÷ the limit",
        scenario="burst",
        of={"count": 500, "boot": 5.0},
        path="ratio",
        most=1.4,
        in_readme=True,
    ),
    Line(what="the least that a script takes for it", scenario="floor", of={"burst.count": 500}, path="burst.ratio"),
    Line(
        what="the same where a boot takes 60 s",
        scenario="burst",
        of={"count": 500, "boot": 60.0},
        path="ratio",
        most=1.05,
    ),
    Line(what="the least that a script takes for it", scenario="floor", path="burst_slow.ratio"),
    Line(what="ZooKeeper operations of each", scenario="burst", of={"boot": 5.0}, path="operations", most=12),
    Line(what="API calls of each", scenario="burst", of={"boot": 5.0}, path="api_calls", most=1, in_readme=True),
    Line(what="launcher CPU of each", scenario="burst", of={"boot": 5.0}, path="cpu_per_1000", unit="ms", most=5),
    Line(
        what="the least that a script takes for it",
        scenario="floor",
        of={"burst.count": 500},
        path="burst.cpu_per_1000",
        unit="ms",
    ),
    Line(
        what="the same with a mirror of the tree, as any launcher has",
        scenario="seeing",
        path="burst.cpu_per_1000",
        unit="ms",
    ),
    Line(what="500 cold at once ÷ the limit, that script", scenario="seeing", path="burst.ratio"),
    Line(what="threads at most", scenario="burst", of={"boot": 5.0}, path="threads", most=75),
    Line(what="memory at most", scenario="burst", of={"boot": 5.0}, path="memory", unit="MiB", most=130),
    Line(what="800 cold over 4 clouds ÷ the limit", scenario="fill", of={"boot": 5.0}, path="ratio", most=1.5),
    Line(what="the same for a script, in turns with it", scenario="fill", of={"boot": 5.0}, path="blind"),
    Line(what="the same for one with a mirror", scenario="fill", of={"boot": 5.0}, path="seeing"),
    Line(what="the same where a boot takes 60 s", scenario="fill", of={"boot": 60.0}, path="ratio", most=1.05),
    Line(what="the least that a script takes for it", scenario="floor", path="fill_slow.ratio"),
    Line(what="the same for one with a mirror", scenario="seeing", path="fill_slow.ratio"),
    Line(what="threads with 800 ready, at rest", scenario="rest", path="threads", most=35),
    Line(what="memory at most", scenario="fill", of={"boot": 60.0}, path="memory", unit="MiB", most=130),
    Line(what="memory with 800 ready, at most", scenario="rest", path="peak", unit="MiB", most=130),
    Line(
        what="60 jobs of 2–6 s: share of what is allowed",
        scenario="churn",
        of={"slots": 60},
        path="share_of_ideal",
        in_readme=True,
    ),
    Line(what="the same: ZooKeeper operations a life", scenario="churn", of={"slots": 60}, path="operations", most=22),
    Line(
        what="the same: API calls a life, without lists", scenario="churn", of={"slots": 60}, path="api_calls", most=2
    ),
    Line(
        what="the same: launcher CPU a life",
        scenario="churn",
        of={"slots": 60},
        path="cpu_per_1000",
        unit="ms",
        most=8,
        in_readme=True,
    ),
    Line(
        what="calls and operations of a life, one after the other", scenario="floor", path="both", scale=1000, unit="ms"
    ),
    Line(
        what="the same with three host keys read of each",
        scenario="floor",
        path="with_host_keys",
        scale=1000,
        unit="ms",
    ),
    Line(what="a life of a script, six a second", scenario="seeing", path="steady_blind.cpu_per_1000", unit="ms"),
    Line(what="the same for one with a mirror", scenario="seeing", path="steady.cpu_per_1000", unit="ms"),
    *(
        Line(
            what=what,
            scenario="churn",
            of={"slots": slots, "quota": quota, "host_keys": keys},
            path=path,
            unit=unit,
            most=most,
            least=least,
        )
        for title, slots, quota, keys, share, wait, cpu in (
            ("180 jobs of 10–50 s, quota 234", 180, 234, False, 0.97, 6, 8),
            ("the same, three host keys read of each", 180, 234, True, 0.97, 6, 12),
            ("180 jobs of 10–50 s, quota 180", 180, 180, False, 0.95, 8, 8),
            ("800 jobs of 10–50 s, quota 1000", 800, 1000, False, 0.97, 6, 8),
        )
        for what, path, unit, most, least in (
            (f"{title}: share of what is allowed", "share_of_ideal", "", None, share),
            ("the same: median wait", "median_wait", "s", wait, None),
            ("the same: launcher CPU a life", "cpu_per_1000", "ms", cpu, None),
            ("the same: memory at most", "memory", "MiB", 130, None),
        )
    ),
    Line(
        what="killed in a burst: until the last request",
        scenario="restart",
        of={"stands_by": False},
        path="seconds",
        unit="s",
        most=10,
        in_readme=True,
    ),
    Line(
        what="the same where another launcher takes over",
        scenario="restart",
        of={"stands_by": True},
        path="seconds",
        unit="s",
        most=20,
    ),
    Line(
        what="400 where a cloud refuses calls ÷ its pace",
        scenario="refusing",
        of={"count": 400},
        path="ratio",
        most=1.2,
    ),
    Line(what="requests that failed of it", scenario="refusing", of={"count": 400}, path="failed", most=0),
    Line(
        what="``nodepool list`` of ten nodes",
        scenario="cli",
        path="wall",
        scale=1000,
        unit="ms",
        most=0.5,
        relative=True,
        in_readme=True,
    ),
    Line(
        what="a plan: 10,000 nodes, 2,000 requests, full", scenario="growth", path="10000.plan_ms", unit="ms", most=50
    ),
    Line(
        what="in that crowd: hand-out of a ready node, p99",
        scenario="crowd",
        of={"nodes": 10_000},
        path="handed_out.p99",
        unit="ms",
        most=250,
    ),
    Line(
        what="in that crowd: used → deleting, p99",
        scenario="crowd",
        of={"nodes": 10_000},
        path="taken.p99",
        unit="ms",
        most=250,
    ),
)


def main() -> None:
    for page in PAGES:
        page.write_text(rendered(page))


def rendered(page: Path) -> str:
    """Return the text of a page with the table as it should be. Raises ValueError where it has no place for it."""
    text = page.read_text()
    before, _, rest = text.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{page}: there is no place for the table")
    lines = [line for line in LINES if line.in_readme or page.name != "README.rst"]
    return f"{before}{BEGIN}\n\n{table(kept(), lines)}\n\n{end}{after}"


def kept() -> list[dict[str, Any]]:
    """Return the JSON lines of the last run of each scenario."""
    return [json.loads(line) for line in KEPT.read_text().splitlines()]


def table(figures: Sequence[Mapping[str, Any]], lines: Sequence[Line]) -> str:
    """Return an RST table; lines for which nothing was measured are left out."""
    rows = [row for line in lines if (row := _row(figures, line)) is not None]
    head = ("what", OURS, THEIRS, "ratio", "goal", "``make bench ARGS=…``")
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    rule = " ".join("=" * width for width in widths)
    shown = (" ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    title = " ".join(cell.ljust(width) for cell, width in zip(head, widths, strict=True)).rstrip()
    return "\n".join((rule, title, rule, *shown, rule))


def _row(figures: Sequence[Mapping[str, Any]], line: Line) -> tuple[str, ...] | None:
    ours, theirs = (_figure(figures, line, product) for product in (OURS, THEIRS))
    if ours is None:
        return None
    value, command = ours
    ratio = value / theirs[0] if theirs is not None and theirs[0] else None
    judged = ratio if line.relative else value
    return (
        line.what,
        _shown(value, line.unit),
        _shown(theirs[0], line.unit) if theirs is not None else "",
        f"{ratio:.2g}" if ratio is not None else "",
        _goal(line, judged),
        f"``{command}``",
    )


def _figure(figures: Sequence[Mapping[str, Any]], line: Line, product: str) -> tuple[float, str] | None:
    for found in figures:
        fits = all(_at(found, path) == value for path, value in (line.of or {}).items())
        if found["scenario"] != line.scenario or found.get("product", OURS) != product or not fits:
            continue
        value = _at(found, line.path)
        if value is not None:
            return value * line.scale, found["command"]
    return None


def _at(found: Mapping[str, Any], path: str) -> Any:
    value: Any = found
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _goal(line: Line, judged: float | None) -> str:
    bound = line.most if line.most is not None else line.least
    if bound is None or judged is None:
        return ""
    missed = judged > bound if line.most is not None else judged < bound
    unit = "" if line.relative else line.unit
    text = f"{'at least ' if line.least is not None else ''}{bound:g}{f' {unit}' if unit else ''}"
    return f"{text} — **missed**" if missed else text


def _shown(value: float, unit: str) -> str:
    digits = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{digits} {unit}".rstrip()


if __name__ == "__main__":
    main()
