"""Commands about what would be: another configuration, and other demand."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import isinf, log
from typing import TYPE_CHECKING

import click

from nodepool_ng.cli.facts import read_scene, read_told
from nodepool_ng.cli.launchers import ask_all
from nodepool_ng.cli.options import with_written_format
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Session
from nodepool_ng.cli.showing import DURATION
from nodepool_ng.explain.change import Weight, effects
from nodepool_ng.explain.scene import span
from nodepool_ng.explain.told import BOOT, Told
from nodepool_ng.listing.table import Format, printable, written
from nodepool_ng.model.ids import LabelName, ProviderName, Seconds
from nodepool_ng.model.quota import Resources, left

if TYPE_CHECKING:
    from nodepool_ng.sim.virtual.demand import Model, Outcome, Wanted

P90 = 1.2816
"""Of a normal distribution nine tenths lie below so many standard deviations above the mean."""


@click.command()
@click.option("--config", "new", required=True, metavar="NEW.yaml", help="The configuration that is to come.")
@click.option("--secure", metavar="FILE", help="The secure file that belongs to it.")
@with_written_format
@click.pass_context
def plan(ctx: click.Context, new: str, secure: str | None, format: Format | None) -> None:
    """Tell what another configuration would change: nodes, images, limits, labels that nobody could serve.

    Nothing is changed. The exit status is 1 where something would be deleted or fail.
    """
    session = ctx.ensure_object(Session)
    coming = session.surroundings.load(new, secure or session.secure)
    session.settings  # noqa: B018 - the one in force has to be usable, too
    with session.connected() as connection:
        scene = read_scene(session, connection)
    found = effects(scene, coming)
    if format is not None and not format.for_people:
        told = [{"weight": e.weight.value, "about": e.about, "sentence": e.sentence} for e in found]
        click.echo(written(told, format))
    else:
        lines = [f"{'!' if e.weight is Weight.CARE else ' '} {e.about}: {e.sentence}" for e in found]
        click.echo("\n".join(map(printable, lines)) or "Nothing would change.")
    ctx.exit(1 if any(effect.weight is Weight.CARE for effect in found) else 0)


def _rates(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> dict[LabelName, float]:
    found = {}
    for value in values:
        label, _, number = value.rpartition("=")
        try:
            found[LabelName(label)] = float(number)
        except ValueError:
            raise click.BadParameter(f"{value!r} is not LABEL=REQUESTS_AN_HOUR.", ctx, param) from None
        if not label or not 0 <= found[LabelName(label)] < 1e6:
            raise click.BadParameter(f"{value!r} is not LABEL=REQUESTS_AN_HOUR.", ctx, param)
    return found


@click.command()
@click.option("--recorded", type=DURATION, metavar="TIME", help="Replay what was asked for in the last 1d, 6h, ...")
@click.option("--rate", "rates", multiple=True, callback=_rates, metavar="LABEL=N", help="So many requests an hour.")
@click.option("--time", "seconds", type=DURATION, default="4h", show_default=True, help="How long requests come.")
@click.option("--job", type=DURATION, default="15min", show_default=True, help="How long jobs take, the median.")
@click.option("--boot", type=DURATION, default="60s", show_default=True, help="How long boots take, where not known.")
@click.option(
    "--failures", type=click.FloatRange(0, 0.9), default=0.0, show_default=True, help="Share of boots that fail."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another number is another run of the same luck.")
@click.option("--objective", type=DURATION, metavar="TIME", help="Find min-ready with which requests wait no longer.")
@click.option("--share", type=click.FloatRange(0.01, 1), default=0.9, show_default=True, help="Of so many requests.")
@click.option("--offline", is_flag=True, help="Do not ask ZooKeeper for quotas and boot times.")
@with_written_format
@click.pass_obj
def simulate(
    session: Session,
    recorded: Seconds | None,
    rates: Mapping[LabelName, float],
    seconds: Seconds,
    job: Seconds,
    boot: Seconds,
    failures: float,
    seed: int,
    objective: Seconds | None,
    share: float,
    offline: bool,
    format: Format | None,
) -> None:
    """Play demand through this configuration and the real planner, in simulated time: waits, utilisation, node-hours.

    The demand is what was recorded, or made up by --rate. With --objective, min-ready is proposed for each label.

    Left out are images, floating IPs, volumes, zones and host key scans, refusals and limits of a cloud's API, static
    and metastatic providers, priorities, tenants, and clients that lose patience.
    """
    from nodepool_ng.sim.virtual import demand

    settings = session.settings
    told, wanted = Told(), demand.synthetic(rates, seconds, job, seed)
    if recorded is not None or not offline:
        with session.connected() as connection:
            told = read_told(connection)
            if recorded is not None:
                wanted = _recorded(ask_all(connection, "demand", seconds=recorded), job)
    if not wanted:
        raise Failed("There is no demand to play: say --rate LABEL=REQUESTS_AN_HOUR, or --recorded 1d.")
    there = {
        label for provider in settings.providers.values() for pool in provider.pools.values() for label in pool.labels
    }
    for label in rates.keys() - there:
        raise Failed(f"No pool in {session.config} has the label {printable(label)}: correct --rate.")
    model = replace(model_of(told, boot), failures=failures)
    chosen = None
    with _quiet_launcher():
        if objective is None:
            outcome = demand.play(settings, wanted, model, seed)
        else:
            chosen, outcome = demand.propose(settings, wanted, model, objective, share, _progress, seed)
    if format is not None and not format.for_people:
        click.echo(written(_plain(outcome, len(wanted), share, chosen), format))
    else:
        click.echo(_text(outcome, len(wanted), share, chosen, objective))


@contextmanager
def _quiet_launcher() -> Iterator[None]:
    """What the simulated launcher logs is for `--debug` only: it is about nothing that exists."""
    if logging.getLogger().level <= logging.DEBUG:
        yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _progress(trial: Mapping[LabelName, int]) -> None:
    click.echo(f"trying {', '.join(f'{label}: {number}' for label, number in trial.items())}", err=True)


def _recorded(answers: Mapping[str, object], job: Seconds) -> "list[Wanted]":
    """Return the demand as the launcher knows it that has seen most of it."""
    from nodepool_ng.sim.virtual.demand import Wanted

    best = max((answer for answer in answers.values() if isinstance(answer, list)), key=len, default=[])
    begin = min((one["time"] for one in best), default=0.0)
    return [
        Wanted(one["time"] - begin, tuple(map(LabelName, one["labels"])), one["seconds"] or job)
        for one in best
        if one["labels"]
    ]


def model_of(told: Told, boot: Seconds) -> "Model":
    """Return what launchers tell of the clouds, as far as they do."""
    from nodepool_ng.sim.virtual.demand import Model

    boots: dict[LabelName, tuple[Seconds, float]] = {}
    costs: dict[LabelName, Resources] = {}
    quotas: dict[ProviderName, Resources] = {}
    for pool in told.pools.values():
        for label, deciles in pool.spans.get(BOOT, {}).items():
            if deciles[5] > 0:
                sigma = max(log(max(deciles[9], deciles[5]) / deciles[5]) / P90, 0.01)
                boots[LabelName(label)] = (deciles[5], sigma)
        costs |= {LabelName(label): amounts for label, amounts in pool.costs.items()}
        if pool.quota.amounts:
            quotas[ProviderName(pool.provider)] = left(pool.quota, pool.foreign)
    return Model(boot=boot, boots=boots, costs=costs, quotas=quotas)


def _plain(outcome: "Outcome", count: int, share: float, chosen: Mapping[LabelName, int] | None) -> dict[str, object]:
    return {
        "requests": count,
        "node-hours": round(outcome.node_hours, 2),
        "busy-hours": round(outcome.busy_hours, 2),
        "utilisation": round(outcome.utilisation, 4),
        "most-nodes": outcome.most_nodes,
        "labels": {
            label: {
                "served": len(one.waits),
                "failed": one.failed,
                "unserved": one.unserved,
                "median-wait": _finite(one.within(0.5)),
                "wait-of-share": _finite(one.within(share)),
                **({"min-ready": chosen[label]} if chosen else {}),
            }
            for label, one in outcome.labels.items()
        },
    }


def _finite(value: float) -> float | None:
    return None if isinf(value) else round(value, 3)


def _text(
    outcome: "Outcome", count: int, share: float, chosen: Mapping[LabelName, int] | None, objective: Seconds | None
) -> str:
    lines = [
        f"{count} requests; {outcome.node_hours:.1f} node-hours, {outcome.utilisation:.0%} of them in use; "
        f"at most {outcome.most_nodes} nodes at a time"
    ]
    for label, one in outcome.labels.items():
        lost = "".join(f", {n} {word}" for n, word in ((one.failed, "failed"), (one.unserved, "not served")) if n)
        line = (
            f"{label}: half waits {_wait(one.within(0.5))}, {share:.0%} wait {_wait(one.within(share))} at most{lost}"
        )
        if chosen is not None and objective is not None:
            met = one.within(share) <= objective
            line += f"; min-ready: {chosen[label]}" + ("" if met else " (not enough: it is the room that is missing)")
        lines.append(printable(line))
    return "\n".join(lines)


def _wait(seconds: Seconds) -> str:
    if isinf(seconds):
        return "for ever"
    return f"{seconds:.1f} s" if seconds < 10 else span(seconds)
