"""The demo from beginning to end, one function for each thing that is shown."""

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nodepool_ng.demo import building, checks, jobs, parts
from nodepool_ng.demo.children import DemoFailed, program
from nodepool_ng.demo.clouds import Clouds
from nodepool_ng.demo.folder import Folder
from nodepool_ng.demo.parts import Parts
from nodepool_ng.demo.rows import Phase, Row, filling, nodes_row
from nodepool_ng.demo.scheduler import Scheduler, SchedulerError
from nodepool_ng.demo.screen import Screen
from nodepool_ng.demo.settings import ELEMENT, Stage
from nodepool_ng.demo.view import Sight, Unseen, View
from nodepool_ng.model.ids import NodeId
from nodepool_ng.model.lifecycle import NodeState

FILL_TIMEOUT = 280.0  # seconds; the first build downloads packages
REFILL_TIMEOUT = 180.0  # seconds
LIST_TIMEOUT = 60.0  # seconds
PASSING = frozenset(NodeState) - {NodeState.READY, NodeState.HOLD}
"""States that nodes do not stay in when nobody wants anything."""


MakeClouds = Callable[[Folder, Mapping[str, str]], Clouds]


@dataclass(slots=True)
class Story:
    """What the functions below hand on to each other."""

    folder: Folder
    screen: Screen
    console: Console
    parts: Parts
    view: View
    scheduler: Scheduler
    really: bool
    runs: list[jobs.Job] = field(default_factory=list)
    sight: Sight = field(default_factory=Sight)

    @property
    def stage(self) -> Stage:
        return self.parts.clouds.stage

    def look(self) -> Sight:
        self.sight = self.view.look()
        return self.sight


def prepare(
    folder: Folder, clouds: MakeClouds, screen: Screen, console: Console, ends: ExitStack, *, ready_made: bool
) -> Story:
    """Start everything. Raises `DemoFailed`."""
    env = parts.environment(folder, os.environ)
    os.environ.update({name: env[name] for name in ("no_proxy", "NO_PROXY", "OS_CLIENT_CONFIG_FILE")})
    why = () if ready_made else building.obstacles(folder, env)
    really = not (why or ready_made)
    if why:
        screen.say("No image can be built here, so a ready-made one takes its place, and all else is the same:")
        for sentence in why:
            screen.say(f"  - {sentence}")
    running = Parts(folder, env, clouds(folder, env))
    ends.callback(running.stop)
    running.clouds.start()
    _step(screen, "ZooKeeper", lambda: f"at {parts.start_zookeeper(running)}")
    regions = ", ".join(region.provider for region in running.clouds.stage.regions)
    _step(screen, running.clouds.what, lambda: f"at {running.clouds.await_up()}: {regions}")
    parts.prepare_tree(running)
    view, scheduler = parts.open_sessions(running)
    _step(screen, "builder and launcher", lambda: _started(running, really=really))
    return Story(folder, screen, console, running, view, scheduler, really=really)


def fill(story: Story) -> None:
    """Watch the image being built and uploaded, and the pool fill."""

    def full() -> bool:
        sight = story.look()
        rows = filling(sight, story.stage, really=story.really, doing=_doing(story))
        story.screen.show(rows)
        broken = next((row for row in rows if row.phase is Phase.FAILED), None)
        if broken:
            raise DemoFailed(f"the {broken.text} has failed")
        return all(row.phase is Phase.DONE for row in rows)

    parts.wait_for(story.parts, story.view, full, FILL_TIMEOUT, f"pool of {story.stage.warm} nodes")


def run_jobs(story: Story) -> None:
    """Play a CI scheduler: a job on one node, and one on a set of three, of which the last node is held."""
    for name, labels in story.stage.jobs.items():
        hold_last = len(labels) > 1
        text = f"{name} on {len(labels)} × {labels[0]}"
        story.screen.show([Row(key=name, text=text, phase=Phase.GOING)])
        job = jobs.begin(story.scheduler, name, labels)
        story.runs.append(job)
        where = f"{', '.join(node.id for node in job.nodes)} in {job.nodes[0].provider}"
        given = f"handed out in {jobs.span(job.timing.took)}: {where}"
        story.screen.show([Row(key=name, text=text, phase=Phase.GOING, detail=given)])
        jobs.work(story.scheduler, job, ssh=story.stage.ssh)
        jobs.end(story.scheduler, job, hold_last=hold_last)
        end = "used, the last one held" if hold_last else "used"
        story.screen.show([Row(key=name, text=text, phase=Phase.DONE, detail=f"{given}; {end}")])


def refill(story: Story) -> None:
    """Watch used nodes go and new ones take their place."""

    def settled() -> bool:
        sight = story.look()
        leaving = sum(node.state in (NodeState.USED, NodeState.DELETING, NodeState.DELETED) for node in sight.nodes)
        done = (
            len(sight.free) >= story.stage.warm
            and not sight.requests
            and not any(n.state in PASSING for n in sight.nodes)
        )
        row = nodes_row(sight, story.stage, "refill", "used nodes are replaced")
        detail = f"{leaving} leaving, {row.detail}" if leaving else row.detail
        phase = Phase.DONE if done else Phase.GOING
        story.screen.show([Row(key=row.key, text=row.text, phase=phase, detail=detail, done=row.done, total=row.total)])
        return done

    parts.wait_for(story.parts, story.view, settled, REFILL_TIMEOUT, "full pool again")


def listing(story: Story) -> subprocess.CompletedProcess[str]:
    """Run the real `nodepool list` and show what it says."""
    command = [program("nodepool"), "-c", str(story.folder.config), "list"]
    done = subprocess.run(
        command,
        env=dict(story.parts.env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIST_TIMEOUT,
        check=False,
    )
    story.screen.say(f"\n$ {_typed(story, 'list')}\n{done.stdout}{done.stderr}")
    return done


def judge(story: Story, listed: subprocess.CompletedProcess[str]) -> bool:
    """Check all that was shown, show the findings, and tell whether all is well."""
    clouds = story.parts.clouds
    evidence = checks.Evidence(
        stage=story.stage,
        clouds={region.provider: clouds.holds(region.provider) for region in story.stage.regions},
        sight=story.look(),
        jobs=story.runs,
        listed=listed.stdout,
        list_status=listed.returncode,
    )
    found = list(checks.findings(evidence))
    statuses = story.parts.stop_daemons()
    unclean = [f"{name}: {status}" for name, status in statuses.items() if status != 0]
    found.append(checks.Finding("the daemons end when asked to", not unclean, ", ".join(unclean) or "exit status 0"))
    table = Table(box=None, padding=(0, 1), show_header=False)
    for finding in found:
        mark = "[green]ok[/]" if finding.good else "[red bold]NOT OK[/]"
        table.add_row(mark, finding.what, finding.detail)
    story.console.print(table)
    good = all(finding.good for finding in found)
    story.screen.say("\nAll is well." if good else f"\nNot all is well.\n{tails(story.folder)}")
    return good


def stay(story: Story) -> None:
    """Tell how to go on, and what happens, until a signal comes: that is the proper end."""
    node = next((node.id for node in story.sight.free), NodeId("NODE"))
    tries = (
        ("top", "all of it, live; e explains what the cursor is on"),
        ("list --detail", "all that is known about the nodes"),
        (f"explain {node}", "why it is what it is"),
        (f"hold {node} --reason 'mine'", "keep one; another takes its place"),
        (f"delete {node}", "have one deleted"),
        ("request-list", "what is asked for right now"),
        ("dib-image-list", "builds"),
        ("image-list", "uploads"),
        ("image-build tiny", "build it anew; old uploads go when the new ones are there"),
        ("doctor", "is everything as it should be?"),
    )
    width = max(len(_typed(story, words)) for words, _ in tries)
    story.screen.say(f"It goes on until Ctrl-C. Meanwhile, look at {story.parts.pages}, or in another terminal:\n")
    story.screen.say(f"  export OS_CLIENT_CONFIG_FILE={shlex.quote(_short(story.folder.clouds))}")
    for words, meaning in tries:
        story.screen.say(f"  {_typed(story, words):{width}}  # {meaning}")
    pid_file = shlex.quote(_short(story.folder.pid_file("launcher")))
    story.screen.say(f"  {f'kill -9 $(cat {pid_file})':{width}}  # nothing is lost: it is started again, and goes on")
    story.screen.say(f"\nConfiguration, clouds and logs are in {_short(story.folder.path)}. What happens:\n")
    states = {node.id: node.state for node in story.sight.nodes}
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            story.view.wait(1.0)
            for sentence in story.parts.bring_back():
                story.screen.say(f"  {sentence}")
            now = {node.id: node for node in story.look().nodes}
            for id in sorted({*states, *now}):
                before, after = states.get(id), now[id].state if id in now else None
                if before is not after:
                    where = f" ({now[id].provider})" if id in now else ""
                    story.screen.say(f"  node {id}{where}: {before or 'new'} → {after or 'gone'}")
            states = {id: node.state for id, node in now.items()}
    story.screen.say("\nStopping everything.")


def tell(story: Story, *, once: bool) -> bool:
    """Tell all of it; return whether all was well. Without `once` it goes on until Ctrl-C, or SIGTERM.

    Raises:
        DemoFailed: something did not come up, ended, or did not happen in time.
    """
    try:
        fill(story)
        run_jobs(story)
        refill(story)
        story.screen.close()
        listed = listing(story)
        if once:
            return judge(story, listed)
        stay(story)
    except (SchedulerError, Unseen) as error:
        raise DemoFailed(str(error)) from None
    return True


def tails(folder: Folder) -> str:
    """Return the ends of all logs, those of builds included."""
    logs = sorted(folder.logs.glob("*.log"))
    texts = [(path.name, path.read_text(errors="replace").splitlines()[-25:]) for path in logs]
    return "\n".join(f"--- {name}\n" + "\n".join(lines) for name, lines in texts)


def _started(running: Parts, *, really: bool) -> str:
    parts.start_daemons(running, really=really)
    how = f"the image comes from elements/{ELEMENT}" if really else "the image is ready-made"
    return f"{', '.join(f'{child.name} is process {child.pid}' for child in running.daemons)}; {how}"


def _step(screen: Screen, text: str, do: Callable[[], str]) -> None:
    screen.show([Row(key=text, text=text, phase=Phase.GOING)])
    screen.show([Row(key=text, text=text, phase=Phase.DONE, detail=do())])


def _doing(story: Story) -> str:
    """Return the last line of the newest build log."""
    logs = sorted(story.folder.logs.glob("tiny-*.log"), key=lambda path: path.stat().st_mtime)
    if not logs:
        return ""
    with logs[-1].open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - 2000))
        lines = log.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _typed(story: Story, words: str) -> str:
    """Return a command as one would type it here."""
    program = _short(Path(sys.executable).parent / "nodepool")
    return f"{shlex.quote(program)} -c {shlex.quote(_short(story.folder.config))} {words}"


def _short(path: Path) -> str:
    """Return a path relative to where we are, if that is shorter."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
