"""Writing down what a launcher tells about itself."""

from nodepool_ng.launcher.facts import Telling
from nodepool_ng.launcher.outcome import Done, Lost, Outcome
from nodepool_ng.shell.effect import Effect, ask
from nodepool_ng.zk import paths
from nodepool_ng.zk.store import Commit, Create, Delete, Failure, Problem, Set


def tell_facts(telling: Telling) -> Effect[Outcome]:
    """Write every part; one that is not there, or may be an earlier session's, is made anew."""
    written = [(paths.facts(telling.launcher, number), part) for number, part in enumerate(telling.parts)]
    gone = [paths.facts(telling.launcher, number) for number in range(len(telling.parts), telling.before)]
    if telling.fresh:
        yield from ask(*(Commit((Delete(path),)) for path, _ in written))
        answers = yield from ask(*(Commit((Create(path, part, ephemeral=True),)) for path, part in written))
    else:
        set_ = tuple(Commit((Set(path, part),)) for path, part in written)
        answers = yield from ask(*set_, *(Commit((Delete(path),)) for path in gone))
        found = zip(written, answers, strict=False)
        missing = [each for each, answer in found if isinstance(answer, Failure) and answer.problem is Problem.NO_NODE]
        if missing:
            answers = yield from ask(*(Commit((Create(path, part, ephemeral=True),)) for path, part in missing))
    failed = next((a for a in answers if isinstance(a, Failure) and a.problem is not Problem.NO_NODE), None)
    return Done() if failed is None else Lost(str(failed))
