"""What a soak came to: a row for each kind of failure, and what was broken."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from statistics import median


@dataclass(slots=True)
class Report:
    """Durations are in seconds, from the strike until nothing was late any more."""

    felt: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    violations: list[tuple[str, str]] = field(default_factory=list)
    """The failure during which it was noticed, and what it was."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Failures that cannot be made on this machine, and why."""
    counted: Counter[str] = field(default_factory=Counter)
    """Requests, nodes and the like."""

    def broken(self, during: str, what: str) -> None:
        self.violations.append((during, what))
        print(f"BROKEN during {during}: {what}", flush=True)

    def text(self) -> str:
        """Return the table, what was counted, and every violation."""
        per_kind = Counter(during for during, _ in self.violations)
        rows = [("failure", "count", "violations", "recovery p50", "max")]
        for kind in sorted({*self.felt, *per_kind}):
            times = self.felt.get(kind, [])
            shown = (f"{median(times):.1f} s", f"{max(times):.1f} s") if times else ("-", "-")
            rows.append((kind, str(len(times)), str(per_kind[kind]), *shown))
        rows += [(kind, "0", "-", why, "") for kind, why in self.left_out.items()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
        lines = ["  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() for row in rows]
        counted = ", ".join(f"{count} {what}" for what, count in sorted(self.counted.items()))
        broken = [f"BROKEN during {during}: {what}" for during, what in self.violations]
        return "\n".join([*lines, "", counted, *broken, f"{len(self.violations)} violations"])
