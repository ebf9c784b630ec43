"""`python -m nodepool_ng.demo`: what `make demo` runs."""

import signal
import sys
from contextlib import ExitStack
from types import FrameType

import click
from rich.console import Console

from nodepool_ng.demo import folder, screen, simulated, story
from nodepool_ng.demo.children import DemoFailed

INTERRUPTED = 130
WIDTH = 120  # columns, where there is no terminal to ask


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--once", is_flag=True, help="Check what was shown, and end: 0 when all is well, 1 when not.")
@click.option(
    "--cloud",
    type=click.Choice(["simulated", "openstack"]),
    default="simulated",
    show_default=True,
    help="Simulated clouds, or the real services of devstack/.",
)
@click.option("--ready-made", is_flag=True, help="Do not build an image even where that is possible.")
@click.option("--keep", is_flag=True, help="Leave configuration, logs and images behind.")
@click.option("--plain", is_flag=True, help="Write lines, as for a log, on a terminal too.")
def main(once: bool, cloud: str, ready_made: bool, keep: bool, plain: bool) -> None:
    """Watch a pool fill and a CI scheduler be served.

    Ctrl-C ends it, and everything that it started: with 0 once the pool is full and nothing but you is waited for,
    with 130 before that.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    tty = sys.stdout.isatty() and not plain
    console = Console(force_terminal=tty, width=None if tty else WIDTH, soft_wrap=not tty)
    sys.exit(run(console, _clouds(cloud), once=once, ready_made=ready_made, keep=keep))


def run(console: Console, clouds: story.MakeClouds, *, once: bool, ready_made: bool, keep: bool) -> int:
    """Run the demo and return the exit status."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    shown = screen.on(console)
    with ExitStack() as ends:
        try:
            place = ends.enter_context(folder.private(keep=keep))
            try:
                told = story.prepare(place, clouds, shown, console, ends, ready_made=ready_made)
                return 0 if story.tell(told, once=once) else 1
            except DemoFailed as error:
                shown.close()
                shown.say(f"\nThe demo failed: {error}.\n{story.tails(place)}")
                return 1
        except KeyboardInterrupt:
            shown.close()
            shown.say("\nStopping everything.")
            return INTERRUPTED
        finally:
            # Nothing keeps us from tidying up.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)


def _clouds(name: str) -> story.MakeClouds:
    if name == "simulated":
        return simulated.Simulated
    from nodepool_ng.demo import real  # which needs openstacksdk, and that takes a while to import

    return real.Real


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
