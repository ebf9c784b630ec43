"""What is measured of processes and of ZooKeeper, and how figures are shown."""

import json
import os
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from nodepool_ng.sim.zookeeper import Server


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far: CPU in seconds, memory in MiB; `peak` is the most memory it ever had."""

    cpu: float
    threads: int
    memory: float
    peak: float


def usage(pid: int) -> Usage:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    ticks = os.sysconf("SC_CLK_TCK")
    return Usage(
        cpu=(int(fields[11]) + int(fields[12])) / ticks,
        threads=int(fields[17]),
        memory=int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024,
        peak=int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024,
    )


IDLE_MACHINE = 0.5  # seconds for ten million additions, on an idle machine of 2024


def slowness() -> float:
    """Return how many times slower than an idle machine of 2024 this one is now: CPU seconds are divided by it, so
    that figures of a busy machine can be compared."""
    began = time.process_time()
    total = 0
    for number in range(2_000_000):
        total += number
    return (time.process_time() - began) * 5 / IDLE_MACHINE


def sessions(server: Server) -> dict[int, int]:
    """Return how many packets ZooKeeper has had in each session."""
    found: dict[int, int] = {}
    for line in server.ask("cons").splitlines():
        session = re.search(r"sid=0x([0-9a-f]+)", line)
        received = re.search(r"recved=(\d+)", line)
        if session and received:
            found[int(session.group(1), 16)] = int(received.group(1))
    return found


def packets(server: Server) -> int:
    """Return how many packets ZooKeeper has had from everybody: `sessions` does not see those that use TLS."""
    found = re.search(r"zk_packets_received\s+(\d+)", server.ask("mntr"))
    return int(found.group(1)) if found else 0


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of hand-outs, in milliseconds."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latencies":
        return cls(
            statistics.median(seconds) * 1000, percentile(seconds, 0.95) * 1000, percentile(seconds, 0.99) * 1000
        )

    def __str__(self) -> str:
        return f"{self.p50:.1f} / {self.p95:.1f} / {self.p99:.1f} ms"


REPORTED: list[dict[str, object]] = []
"""The JSON lines of this run."""

Row = tuple[str, object, object]
"""What, how much it is, and what it is to be at most (or at least); the last may be empty."""


def shown(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def table(title: str, rows: Sequence[Row]) -> str:
    """Return rows under a title, aligned."""
    width = max(len(name) for name, _, _ in rows)
    lines = [f"\n{title}"]
    for name, value, goal in rows:
        lines.append(f"  {name:<{width}}  {shown(value):>24}  {f'goal {shown(goal)}' if goal != '' else ''}".rstrip())
    return "\n".join(lines)


def report(scenario: str, title: str, rows: Sequence[Row], figures: Mapping[str, object]) -> None:
    """Print a table and a JSON line, and remember the line."""
    print(table(title, rows))
    line = json.dumps({"scenario": scenario, **figures}, default=_plain)
    print(line, flush=True)
    REPORTED.append(json.loads(line))


def _plain(value: object) -> object:
    return asdict(value) if isinstance(value, Latencies) else str(value)
