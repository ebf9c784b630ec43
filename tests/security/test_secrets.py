"""Secrets with marks are planted wherever there can be any; then everything that daemons emit is searched for them."""

import json
import os
import signal
import stat
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

from nodepool_ng.zk import paths
from nodepool_ng.zk.blocking import call
from nodepool_ng.zk.codec import encode_node
from nodepool_ng.zk.store import Commit, Set
from tests.support.builders import IMAGE, Yard, yard
from tests.support.daemons import SCRIPTS, Site, wait_for

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons, pytest.mark.timeout(180)]

CLOUD, WRONG, USERDATA, BUILD, TOKEN, JOB, DRIVER, KEEPER = (
    f"s3cret-{word}-7f4a91" for word in ("cloud", "wrong", "userdata", "build", "token", "job", "driver", "keeper")
)
SECRETS = (CLOUD, WRONG, USERDATA, BUILD, TOKEN, JOB, DRIVER, KEEPER)
PAGES = ("/", "/node-list", "/request-list", "/image-list", "/dib-image-list", "/label-list", "/metrics", "/health")
SCRIPT = "#!/bin/bash\necho building with $MIRROR_PASSWORD | md5sum\nexit 3\n"


def plant(made: Yard, site: Site) -> None:
    """Configure secrets everywhere: the cloud's password, an image's variables, user data, the environment."""
    script = site.folder / "failing build"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    site.environment["NODEPOOL_TOKEN"] = TOKEN
    label = {"name": "small", "cloud-image": "base", "flavor-name": "small", "userdata": f"password: {USERDATA}"}
    label |= {"instance-properties": {"token": "%(NODEPOOL_TOKEN)"}}
    pool = {"name": "main", "max-servers": 4, "host-key-checking": False, "labels": [label]}
    north = {
        "name": "north",
        "cloud": "acme",
        "region-name": "north",
        "cloud-images": [{"name": "base"}],
        "diskimages": [{"name": IMAGE}],
        "pools": [pool],
    }
    site.configure(
        **{
            "images-dir": str(made.images()),
            "build-log-dir": str(site.folder / "build-logs"),
            "labels": [{"name": "small", "min-ready": 2}],
            "diskimages": [{"name": IMAGE, "elements": ["one"], "dib-cmd": f"'{script}'"}],
            "providers": [north],
        }
    )
    secure = {
        "diskimages": [{"name": IMAGE, "env-vars": {"MIRROR_PASSWORD": BUILD}}],
        "zookeeper-auth": {"user": "nodepool", "password": KEEPER},
    }
    (site.folder / "secure.yaml").write_text(yaml.safe_dump(secure))


def with_password(site: Site, old: str, new: str) -> None:
    draft = site.folder / "clouds.yaml.new"
    draft.write_text(site.clouds_yaml.read_text().replace(f"password: {old}", f"password: {new}"))
    draft.replace(site.clouds_yaml)


def arguments() -> str:
    """Return the command lines of all processes of this machine."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
    return "\n".join(found)


def fetched(site: Site) -> dict[str, str]:
    """Return what each page answers, as text and as JSON."""
    answers = {}
    for path in PAGES:
        for accept in ("text/html", "text/plain", "application/json"):
            request = urllib.request.Request(f"http://127.0.0.1:{site.web_port}{path}", headers={"Accept": accept})
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    answers[f"{path} {accept}"] = answer.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    answers[f"{path} {accept}"] = error.read().decode()
    return answers


def told(site: Site, *words: str) -> str:
    """Return all that the command-line program prints for an operator."""
    done = subprocess.run(
        [str(SCRIPTS / "nodepool"), "-c", str(site.config), *words],
        env=site.surroundings(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def test_no_secret_is_in_anything_that_is_emitted(place: Site) -> None:
    with yard(place) as made:
        plant(made, place)
        place.sim.region("acme", "north")
        with_password(place, "simulated", WRONG)
        secure = ("-s", str(place.folder / "secure.yaml"))
        launcher = place.launcher("", *secure, "-p", str(place.folder / "launcher.pid"))
        place.daemon("nodepool-builder", "-c", str(place.config), "-d", *secure)
        wait_for(lambda: "credentials are not accepted" in place.logs(), "the wrong password is refused")
        with_password(place, WRONG, "simulated")
        wait_for(lambda: place.ready(2), "two nodes are ready", 90)
        wait_for(lambda: "failed: " in place.logs("nodepool-builder"), "the build fails")
        (id, node) = next(iter(place.nodes().items()))
        secret = {"user_data": json.dumps({"password": JOB}), "driver_data": {"password": DRIVER}}
        record = json.loads(encode_node(node)) | secret
        call(made.store, [Commit((Set(paths.node(id), json.dumps(record).encode()),))])
        zuul = place.scheduler()
        for lent in zuul.take(zuul.wait(zuul.ask(["small", "small"]), 20)):
            zuul.use(lent)
        launcher.signal(signal.SIGUSR2)
        wait_for(lambda: "reconciler (" in place.logs(), "its threads are shown")
        emitted = fetched(place)
        emitted |= {name: place.logs(name) for name in ("nodepool-launcher", "nodepool-builder")}
        emitted |= {path.name: path.read_text() for path in (place.folder / "build-logs").iterdir()}
        emitted["arguments"] = arguments()
        for words in (("list", "--detail"), ("request-list",), ("dib-image-list",), ("config-validate",)):
            emitted[words[0]] = told(place, *secure, *words)
    assert len(emitted["nodepool-launcher"]) > 1000
    assert "0000000000" in emitted["/node-list text/plain"]
    assert DRIVER in emitted.pop("list"), "whoever may read ZooKeeper may read all of it"
    found = {(name, secret) for name, text in emitted.items() for secret in SECRETS if secret in text}
    assert found == set()


def test_what_a_daemon_writes_is_for_nobody_else_where_it_matters(place: Site) -> None:
    old = os.umask(0o000)  # the worst that a host can do
    try:
        with yard(place) as made:
            made.configure()
            place.launcher("", "-p", str(place.folder / "launcher.pid"))
            made.builder()
            wait_for(lambda: (place.folder / "launcher.pid.session").exists(), "the launcher has a session")
            wait_for(made.in_service, "the image is in service")
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in place.folder.rglob("*") if path.is_file()}
    finally:
        os.umask(old)
    sessions = {path.name: mode for path, mode in modes.items() if path.name.endswith(".session")}
    assert sessions == {"launcher.pid.session": 0o600, "builder.pid.session": 0o600}
    logs = {mode for path, mode in modes.items() if path.parent.name == "logs"}
    assert logs <= {0o640}


def test_files_that_are_open_to_all_are_reported(place: Site) -> None:
    place.start_clouds(clouds={"acme": {"regions": {"north": {}}}})
    place.configure(labels=[], providers=[])
    place.clouds_yaml.chmod(0o644)
    place.launcher()
    wait_for(lambda: f"chmod o-rwx {place.clouds_yaml}" in place.logs(), "the remedy is told")
