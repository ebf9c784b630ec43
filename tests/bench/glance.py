"""Uploads to the real Glance of devstack/: by the driver that the builder uses, and by curl alone, in turns.

The driver's time has all that an upload takes: making the image, sending the bytes, and comparing Glance's checksum of
them. Glance writes them into files of this machine, so that its disk is measured, too, for both alike.
"""

import hashlib
import os
import statistics
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from devstack.catalogue import PROJECT
from devstack.place import default_folder
from nodepool_ng.drivers import ImageOrder, Marks
from nodepool_ng.drivers.registry import make
from nodepool_ng.model.ids import InstallationId, ProviderName
from nodepool_ng.model.settings import Provider
from tests.bench.figures import Row, report
from tests.support.real_cloud import RealCloud, running

SIZE = 1 << 30  # bytes
QUICK = 256 << 20
TIMES = 3
BLOCK = 1 << 20


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    size = QUICK if quick else SIZE
    with TemporaryDirectory(prefix="bench-") as folder, running(default_folder(), only=("glance",)) as cloud:
        file = Path(folder) / "image"
        sha256 = random_file(file, size)
        os.environ["OS_CLIENT_CONFIG_FILE"] = str(cloud.place.clouds_yaml)
        ours, plain, cpu = [], [], []
        for _ in range(TIMES):
            took, used = by_driver(cloud, file, sha256)
            ours.append(took)
            cpu.append(used)
            plain.append(by_curl(cloud, file))
    took, alone = statistics.median(ours), statistics.median(plain)
    figures = {
        "bytes": size,
        "rate": size / 1e6 / took,
        "curl_rate": size / 1e6 / alone,
        "cpu_per_gb": statistics.median(cpu) * 1e9 / size,
    }
    rows: list[Row] = [
        ("MB/s", figures["rate"], ""),
        ("MB/s of curl alone", figures["curl_rate"], ""),
        ("share of curl's rate", alone / took, ""),
        ("CPU s for each GB", figures["cpu_per_gb"], ""),
    ]
    report("glance", f"{TIMES} uploads of {size / (1 << 30):.2f} GiB to the real Glance: medians", rows, figures)
    return figures


def random_file(file: Path, size: int) -> str:
    """Fill a file with bytes that do not compress; return their checksum."""
    digest, block = hashlib.sha256(), os.urandom(BLOCK)
    with file.open("wb") as out:
        for _ in range(size // BLOCK):
            out.write(block)
            digest.update(block)
    return digest.hexdigest()


def by_driver(cloud: RealCloud, file: Path, sha256: str) -> tuple[float, float]:
    """Upload as the builder does; return the seconds and the CPU seconds that this took."""
    name = ProviderName("bench")
    driver = make(Provider(name=name, driver="openstack", cloud=PROJECT))
    driver.connect()
    marks = Marks(provider=name, installation=InstallationId("bench"))
    order = ImageOrder(name="bench", marks=marks, path=str(file), format="raw", md5=None, sha256=sha256)
    began, used = time.monotonic(), time.process_time()
    image = driver.upload_image(order, lambda sent: None)
    took, cpu = time.monotonic() - began, time.process_time() - used
    driver.delete_image(image)
    driver.close()
    return took, cpu


def by_curl(cloud: RealCloud, file: Path) -> float:
    """Return the seconds that curl takes to send the file."""
    formats = {"disk_format": "raw", "container_format": "bare"}
    image = cloud.ci.image.post("/images", json={"name": "plain", **formats}).json()["id"]
    # curl reads the token from its standard input, where nobody else sees it
    headers = f"X-Auth-Token: {cloud.ci.auth_token}\nContent-Type: application/octet-stream\n"
    url = f"{cloud.ci.image.get_endpoint().rstrip('/')}/images/{image}/file"
    began = time.monotonic()
    argv = ["curl", "--silent", "--show-error", "--fail", "--upload-file", str(file), "--header", "@-", url]
    subprocess.run(argv, input=headers, text=True, check=True, capture_output=True)
    took = time.monotonic() - began
    cloud.ci.image.delete_image(image)
    return took
