"""Writing down what a launcher tells about itself."""

from nodepool_ng.launcher.facts import Telling
from nodepool_ng.launcher.outcome import Done, Lost, Outcome
from nodepool_ng.shell.effect import Effect
from nodepool_ng.shell.facts import write_parts
from nodepool_ng.zk import paths


def tell_facts(telling: Telling) -> Effect[Outcome]:
    written = [(paths.facts(telling.launcher, number), part) for number, part in enumerate(telling.parts)]
    gone = [paths.facts(telling.launcher, number) for number in range(len(telling.parts), telling.before)]
    trouble = yield from write_parts(written, gone, fresh=telling.fresh)
    return Done() if trouble is None else Lost(trouble)
