"""Builder: memory and rate of a large upload, and the time from an order to build to the first node of the new image.

The build itself is a stand-in that takes no time, so that what is measured is ours. Nodepool 11.0.0 is not measured
beside it: its builder waits for ten seconds between looks.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from nodepool_ng.model.gate import in_service
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.sim.zookeeper import private_server
from tests.bench.figures import Row, report, usage
from tests.support.builders import IMAGE, Yard, yard
from tests.support.daemons import SCRIPTS, site, wait_for

SIZE = 4 << 30  # bytes
QUICK = 512 << 20
MOST_MEMORY = 200.0  # MiB
BOOT = 5.0  # seconds
TIMES = 5
PATIENCE = 900.0  # seconds


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    return {
        "upload": upload(QUICK if quick else SIZE),
        "first node": first_node(2 if quick else TIMES, gate=False),
        "first node, gated": first_node(2 if quick else TIMES, gate=True),
    }


@contextmanager
def place(**region: object) -> Iterator[Yard]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        server = stack.enter_context(private_server())
        made = stack.enter_context(site(folder, ZooKeeperSettings(hosts=(server.address,))))
        clouds = {"acme": {"defaults": region, "regions": {"north": {}, "south": {}}}}
        yield stack.enter_context(yard(made, clouds))


def configure(it: Yard, *, sparse: str = "", gate: bool = False) -> None:
    label = {"name": "small", "diskimage": IMAGE, "flavor-name": "small"}
    provider = {
        "name": "north",
        "cloud": "acme",
        "region-name": "north",
        "diskimages": [{"name": IMAGE, **({"connection-port": ssh_port(it)} if gate else {})}],
        "pools": [{"name": "main", "host-key-checking": False, "labels": [label]}],
    }
    it.configure(more={"labels": [{"name": "small"}], "providers": [provider]}, sparse=sparse, gate=gate)


def ssh_port(it: Yard) -> int:
    told = it.place.logs("nodepool-sim")
    return int(told.partition("ssh of acme/north on port ")[2].partition(",")[0].split()[0])


def upload(size: int) -> dict[str, object]:
    """Upload a sparse file, and send the same one with curl to the same simulated Glance."""
    with place() as it:
        configure(it, sparse=str(size))
        builder = it.builder()
        assert builder.process is not None
        pid = builder.process.pid
        wait_for(lambda: bool(it.uploads()), "the upload begins", PATIENCE)
        began, before = time.monotonic(), usage(pid).memory
        wait_for(lambda: it.uploads()[0].state is ImageState.READY, "the image is uploaded", PATIENCE)
        took, after = time.monotonic() - began, usage(pid)
        (file,) = it.images().glob("*.qcow2")
        plain = curl(it, file)
        builder.stop()
    figures = {
        "bytes": size,
        "memory_before": before,
        "memory_peak": after.peak,
        "rate": size / 1e6 / took,
        "curl_rate": size / 1e6 / plain,
    }
    rows: list[Row] = [
        ("memory before, MiB", before, ""),
        ("most memory, MiB", after.peak, MOST_MEMORY),
        ("MB/s", figures["rate"], ""),
        ("MB/s of curl alone", figures["curl_rate"], ""),
        ("share of curl's rate", plain / took, ""),
    ]
    report("builder", f"an upload of {size / (1 << 30):.1f} GiB", rows, figures)
    return figures


def curl(it: Yard, file: Path) -> float:
    """Return the seconds that curl takes to send the file to the same place."""
    import json
    import urllib.request

    cloud = yaml.safe_load(it.place.clouds_yaml.read_text())["clouds"]["acme"]
    auth = cloud["auth"]
    domain = {"name": auth.get("user_domain_name", "Default")}
    body = {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": auth["username"], "domain": domain, "password": auth["password"]}},
            },
            "scope": {"project": {"name": auth["project_name"], "domain": domain}},
        }
    }
    url = f"{auth['auth_url'].rstrip('/')}/auth/tokens"
    ask = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(ask, timeout=30) as answer:
        token, catalog = answer.headers["X-Subject-Token"], json.load(answer)["token"]["catalog"]
    glance = next(
        endpoint["url"].rstrip("/")
        for service in catalog
        if service["type"] == "image"
        for endpoint in service["endpoints"]
        if endpoint["interface"] == "public" and endpoint["region"] == "south"
    )
    base = glance if glance.endswith("/v2") else f"{glance}/v2"
    wanted = {"name": "plain", "disk_format": "qcow2", "container_format": "bare"}
    ask = urllib.request.Request(
        f"{base}/images", json.dumps(wanted).encode(), {"Content-Type": "application/json", "X-Auth-Token": token}
    )
    with urllib.request.urlopen(ask, timeout=30) as answer:
        image = json.load(answer)["id"]
    began = time.monotonic()
    subprocess.run(
        [
            *("curl", "--silent", "--show-error", "--fail", "--upload-file", str(file)),
            *("-H", f"X-Auth-Token: {token}", "-H", "Content-Type: application/octet-stream"),
            f"{base}/images/{image}/file",
        ],
        check=True,
        timeout=PATIENCE,
    )
    return time.monotonic() - began


def first_node(times: int, *, gate: bool) -> dict[str, object]:
    """Order a build with the command, and ask for a node as soon as the new upload is in service."""
    region: dict[str, object] = {"boot": BOOT}
    if gate:
        region["ssh"] = {"key_per_server": True, "keys": ["ssh-ed25519"]}
    served, up = [], []
    with place(**region) as it:
        configure(it, gate=gate)
        builder, launcher = it.builder(), it.place.launcher("", "--no-webapp")
        wait_for(lambda: any(map(in_service, it.uploads())), "the first image is in service", PATIENCE)
        zuul = it.place.scheduler()
        for _ in range(times):
            known = set(it.builds())
            command = [str(SCRIPTS / "nodepool"), "-c", str(it.place.config), "image-build", IMAGE]
            subprocess.run(command, env=it.place.surroundings(), check=True, timeout=60)
            began = time.monotonic()
            wait_for(
                lambda known=known: any(one.build not in known and in_service(one) for one in it.uploads()),  # type: ignore[misc]
                "the new image is in service",
                PATIENCE,
            )
            served.append(time.monotonic() - began)
            (node,) = zuul.wait(zuul.ask(["small"]), 120).request.nodes
            up.append(time.monotonic() - began)
            path = it.place.node(node).image_id or ""
            assert not any(build in path for build in known), path
        launcher.stop()
        builder.stop()
    boots = 2 if gate else 1
    figures = {"gate": gate, "in_service": max(served), "first_node": max(up), "beyond_boot": max(up) - boots * BOOT}
    rows: list[Row] = [
        ("seconds until the upload is in service, the slowest", figures["in_service"], ""),
        ("seconds until the first node", figures["first_node"], ""),
        (f"beyond {boots} boot{'s' if gate else ''} of {BOOT:g} s", figures["beyond_boot"], 2.0),
    ]
    title = f"from image-build to the first node, {times} times{', with a gate' if gate else ''}"
    report("builder", title, rows, figures)
    return figures
