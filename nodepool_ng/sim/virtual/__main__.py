"""`python -m nodepool_ng.sim.virtual`: try to break the promises, and tell the story when one is broken."""

import logging
import os
import sys
import time

import click

from nodepool_ng.sim.virtual import story
from nodepool_ng.sim.virtual.campaign import Result, Task, command, history_of, try_all
from nodepool_ng.sim.virtual.history import play
from nodepool_ng.sim.virtual.process import Fate
from nodepool_ng.sim.virtual.scenes import SCENES, Case, every_point, pairs
from nodepool_ng.sim.virtual.shrink import kept, shortest

FATES = {fate.name.lower(): fate for fate in Fate}


@click.command()
@click.option("--seeds", default=0, metavar="N", help="Play N random histories.")
@click.option("--start", default=0, show_default=True, help="The first seed.")
@click.option("--seed", type=int, help="Tell the story of one seed.")
@click.option("--only", help="Of its events only these, counted from 0, separated by commas.")
@click.option("--points", is_flag=True, help="Strike every point of every scene.")
@click.option("--all-fates", is_flag=True, help="With --points: with every fate.")
@click.option("--pairs", "with_pairs", is_flag=True, help="With --points: and pairs of them.")
@click.option(
    "--scene", type=click.Choice(list(SCENES)), help="A scene: tell its story, or with --points only this one."
)
@click.option("--point", default=0, help="Tell the story of the scene struck at this point.")
@click.option("--fate", type=click.Choice(list(FATES)), default="killed", help="What happens there.")
@click.option("--standby", is_flag=True, help="With another launcher standing by.")
@click.option("--then", default=0, help="The point at which the next one is killed, too.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="Cores to use.")
@click.option("--failures", default=1, show_default=True, help="Stop after so many.")
def main(
    seeds: int,
    start: int,
    seed: int | None,
    only: str | None,
    points: bool,
    all_fates: bool,
    with_pairs: bool,
    scene: str | None,
    point: int,
    fate: str,
    standby: bool,
    then: int,
    jobs: int,
    failures: int,
) -> None:
    """Try to break the promises in virtual time; see docs/promises.rst. Ends with 1 when one was broken."""
    logging.disable(logging.CRITICAL)
    if seed is not None:
        history = history_of(seed)
        if only is not None:
            history = kept(history, () if only == "none" else map(int, only.split(",")))
        sys.exit(bool(story.tell(history, click.echo).breaches))
    if scene is not None and not points:
        case = Case(scene=scene, point=point, fate=FATES[fate], standby=standby, then=then)
        sys.exit(bool(story.tell(case.history(), click.echo).breaches))
    tasks: list[Task] = list(range(start, start + seeds))
    if points:
        names = tuple(SCENES) if scene is None else (scene,)
        tasks += every_point(names, all_fates=all_fates)
        tasks += pairs(names) if with_pairs else ()
    if not tasks:
        raise click.UsageError("say what to try: --seeds, --points, --seed or --scene")
    sys.exit(_try(tasks, jobs, failures))


def _try(tasks: list[Task], jobs: int, failures: int) -> int:
    began = time.monotonic()
    results: list[Result] = []
    failed: list[Result] = []
    for result in try_all(tasks, jobs):
        results.append(result)
        if result.breach is not None:
            failed.append(result)
            _tell(result)
            if len(failed) >= failures:
                break
    took, busy = time.monotonic() - began, sum(result.busy for result in results)
    rate = len(results) / busy if busy else 0.0
    longest = max((result.rested for result in results if result.breach is None), default=0.0)
    click.echo(
        f"{len(results)} histories ({sum(isinstance(r.task, Case) for r in results)} of them systematic), "
        f"{len(failed)} failed; {took:.0f} s, {rate:.0f} histories per second and core; "
        f"{sum(r.servers for r in results) / len(results):.1f} servers in each; all at rest within {longest:.0f} s"
    )
    return bool(failed)


def _tell(result: Result) -> None:
    """Tell the shortest history that breaks the same promise, and how to see it again."""
    click.echo(f"{command(result.task)}\n  {result.breach}")
    if isinstance(result.task, Case):
        story.tell(history_of(result.task), click.echo)
        return
    history = history_of(result.task)
    needed, _ = shortest(history, play(history))
    click.echo(f"\nThe shortest history that does so: {command(result.task, needed)}")
    for line in story.setting(history):
        click.echo(line)
    story.tell(kept(history, needed), click.echo)


if __name__ == "__main__":
    main()
