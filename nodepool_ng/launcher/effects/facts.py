"""Writing down what a launcher tells about itself."""

from nodepool_ng.launcher.outcome import Done, Lost, Outcome
from nodepool_ng.shell.effect import Effect
from nodepool_ng.shell.facts import Telling, write_down
from nodepool_ng.zk import paths


def tell_facts(telling: Telling) -> Effect[Outcome]:
    trouble = yield from write_down(telling, paths.facts)
    return Done() if trouble is None else Lost(trouble)
