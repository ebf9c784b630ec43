"""Fuzzes the parsers of foreign bytes, guided by coverage (atheris: libFuzzer for Python).

    python -m tests.fuzz.guided [--seconds 60] [TARGET...]

Each target has a process of its own for so long. What reached new branches is kept in .state/fuzz, and is where the
next run begins; so is an input that broke something, as crash-… Ends with 1 when there was one.
"""

import argparse
import subprocess
import sys
from pathlib import Path

CORPUS = Path(".state") / "fuzz"
LONGEST = 4096  # bytes of one input
HANG = 10  # seconds for one input


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        run(chosen.one, chosen.seconds)
    from tests.fuzz.targets import TARGETS

    if unknown := set(chosen.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    broken = [name for name in chosen.targets or TARGETS if not _survives(name, chosen.seconds)]
    print(f"broken: {', '.join(broken)}; see {CORPUS}" if broken else "nothing was broken")
    return 1 if broken else 0


def _survives(name: str, seconds: int) -> bool:
    command = [sys.executable, "-m", "tests.fuzz.guided", "--one", name, "--seconds", str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    lines = done.stdout.splitlines()
    print(f"{name}: {lines[-1] if lines and not done.returncode else 'BROKEN'}", flush=True)
    if done.returncode:
        print("\n".join(lines[-60:]), flush=True)
    return not done.returncode


def run(name: str, seconds: int) -> None:
    """Fuzz one target in this process, which does not come back from it."""
    import atheris

    with atheris.instrument_imports(include=["nodepool_ng"], enable_loader_override=False):
        from tests.fuzz.targets import SEEDS, TARGETS
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST}",
        f"-timeout={HANG}",
        f"-artifact_prefix={CORPUS / name}-",
        "-print_final_stats=0",
        str(corpus),
    ]
    atheris.Setup(words, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
