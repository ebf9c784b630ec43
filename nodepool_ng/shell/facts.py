"""Writing down what a daemon tells about itself: parts of a document, each an ephemeral znode."""

from collections.abc import Sequence

from nodepool_ng.shell.effect import Effect, ask
from nodepool_ng.zk.store import Commit, Create, Delete, Failure, Problem, Set


def write_parts(written: Sequence[tuple[str, bytes]], gone: Sequence[str], *, fresh: bool) -> Effect[str | None]:
    """Write every part, and remove those that are no more; return what went wrong. One that is not there, or (`fresh`)
    may be an earlier session's, is made anew."""
    if fresh:
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
    return None if failed is None else str(failed)
