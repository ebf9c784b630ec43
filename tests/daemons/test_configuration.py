"""What a launcher does with a configuration that it cannot use, all of it or in part."""

import re
import subprocess
import urllib.error
import urllib.request

import pytest

from nodepool_ng.demo.scheduler import NoAnswer
from tests.daemons.test_launcher import clouds, provider
from tests.support.daemons import SCRIPTS, Site, wait_for

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons]


def nodepool(place: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPTS / "nodepool"), "-c", str(place.config), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=place.surroundings(), check=False)


def test_a_provider_without_driver_is_told_once_and_the_rest_runs(place: Site) -> None:
    place.start_clouds(clouds=clouds())
    place.configure(
        labels=[{"name": "small", "min-ready": 1}],
        providers=[provider("north"), {"name": "sky", "driver": "aws", "pools": []}],
    )
    line = next(number for number, text in enumerate(place.config.read_text().splitlines(), 1) if "aws" in text)
    judged = nodepool(place, "config-validate")
    assert judged.returncode == 1
    said = judged.stdout + judged.stderr
    assert f"nodepool.yaml:{line}:" in said
    assert "openstack, static, metastatic" in said
    assert "Traceback" not in said
    place.launcher()
    wait_for(lambda: place.ready(1), "the other provider has its node")
    assert place.logs().count("a driver that does not exist here: aws") == 1


def metric(place: Site, name: str) -> str | None:
    """Return the value of a metric as the launcher's pages tell it; None where it does not, or has no pages yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{place.web_port}/metrics", timeout=10) as page:
            found = re.search(rf"^{re.escape(name)} (\S+)$", page.read().decode(), re.MULTILINE)
    except urllib.error.URLError:
        return None
    return found.group(1) if found else None


def test_a_broken_file_is_told_once_in_log_metric_and_command_until_it_is_mended(place: Site) -> None:
    place.start_clouds(clouds=clouds())
    place.configure(labels=[{"name": "small", "min-ready": 1}], providers=[provider("north")])
    good, elsewhere = place.config.read_text(), place.folder / "elsewhere.yaml"
    elsewhere.write_text(good)
    place.launcher()
    wait_for(lambda: place.ready(1), "the launcher works")
    assert metric(place, "nodepool_launcher_broken_files") == "0.0"
    place.config.write_text("labels:\n  - name: [\n")
    wait_for(lambda: metric(place, "nodepool_launcher_broken_files") == "1.0", "the metric tells of it")
    asked = [str(SCRIPTS / "nodepool"), "-c", str(elsewhere), "list"]

    def told() -> str:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=60, env=place.surroundings(), check=False)
        return done.stderr

    wait_for(lambda: "nodepool.yaml:3:1" in told(), "the command tells line and column")
    zuul = place.scheduler()
    assert zuul.wait(zuul.ask(["small"]), 20)
    assert place.logs().count("The configuration stays as it was") == 1
    assert place.logs().count("nodepool.yaml:3:1") == 1
    place.config.write_text(good)
    wait_for(lambda: metric(place, "nodepool_launcher_broken_files") == "0.0", "the metric tells that it is mended")
    wait_for(lambda: not told(), "nothing is left to tell")


def test_a_freeze_holds_through_a_restart_and_shows_everywhere(place: Site) -> None:
    sim = place.start_clouds(clouds=clouds())
    place.configure(labels=[{"name": "small", "min-ready": 1}], providers=[provider("north")])
    first = place.launcher("-first")
    wait_for(lambda: place.ready(1), "a node is ready")
    assert nodepool(place, "freeze", "north").returncode == 0
    assert first.stop() == 0
    place.launcher("-second")
    frozen = 'nodepool_provider_frozen{provider="north",what="creates"}'
    wait_for(lambda: "Launcher of installation" in place.logs("nodepool-launcher-second"), "it runs again")
    wait_for(lambda: metric(place, frozen) == "1.0", "the metric tells of it")
    zuul = place.scheduler()
    (lent,) = zuul.take(zuul.wait(zuul.ask(["small"]), 20))
    zuul.give_back(zuul.use(lent))
    for arguments in (("list",), ("info", "north"), ("request-list",)):
        done = nodepool(place, *arguments)
        assert "Frozen: no servers are created and deleted in provider north" in done.stderr, arguments
    with urllib.request.urlopen(f"http://127.0.0.1:{place.web_port}/", timeout=10) as page:
        assert ">frozen</span>" in page.read().decode()
    waiting = zuul.ask(["small"])
    with pytest.raises(NoAnswer):
        zuul.wait(waiting, 3)
    assert len(sim.region("acme", "north").state().live) == 1
    assert nodepool(place, "thaw", "north").returncode == 0
    assert zuul.wait(waiting, 30)
    assert metric(place, frozen) == "0.0"
