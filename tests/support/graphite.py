"""A whole Graphite: npm's statsd, Debian's carbon and graphite-web, on free ports and in a folder of their own."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.daemons import die_with_parent, free_port, wait_for
from tests.support.peers import STATE

STATSD = "statsd@0.9"
PYTHON = "/usr/bin/python3"
"""Debian's, which has Debian's graphite-web; it knows nothing of our environment."""

_CARBON = """
[cache]
STORAGE_DIR = {folder}
LOCAL_DATA_DIR = {folder}/whisper/
WHITELISTS_DIR = {folder}/lists/
CONF_DIR = {folder}
LOG_DIR = {folder}/log/
PID_DIR = {folder}
USER =
MAX_CREATES_PER_MINUTE = inf
MAX_UPDATES_PER_SECOND = inf
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {line}
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = {pickle}
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = {query}
ENABLE_TAGS = False
"""
_SCHEMAS = "[all]\npattern = .*\nretentions = 1s:1h\n"
_WEB = """
from graphite.settings import *
SECRET_KEY = "a test's"
STORAGE_DIR = {folder!r}
WHISPER_DIR = {folder!r} + "/whisper"
STANDARD_DIRS = [WHISPER_DIR]
LOG_DIR = {folder!r}
INDEX_FILE = {folder!r} + "/index"
CARBONLINK_HOSTS = ["127.0.0.1:{query}"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": {folder!r} + "/web.db"}}}}
ALLOWED_HOSTS = ["*"]
FIND_CACHE_DURATION = 0
DEFAULT_CACHE_DURATION = 0
"""
_STATSD = """{{
  port: {port}, mgmt_port: {admin}, address: "127.0.0.1", mgmt_address: "127.0.0.1",
  graphiteHost: "127.0.0.1", graphitePort: {line}, graphite: {{legacyNamespace: true}}, flushInterval: 1000
}}
"""


def missing() -> str | None:
    """Return what is not installed here, None when all is."""
    for program in ("carbon-cache", "node", "npm"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    found = subprocess.run([PYTHON, "-c", "import graphite.settings"], capture_output=True, check=False)
    return None if found.returncode == 0 else "there is no graphite-web"


class GraphiteError(Exception):
    """Graphite could not answer; the text says to what, and its words."""


@dataclass(frozen=True)
class Graphite:
    statsd: int
    """The port of the statsd server."""
    url: str

    def render(self, target: str, seconds: int = 300) -> list[dict[str, Any]]:
        """Return the series of a target that have at least one value."""
        query = urllib.parse.urlencode({"target": target, "from": f"-{seconds}s", "format": "json"})
        try:
            with urllib.request.urlopen(f"{self.url}/render?{query}", timeout=30) as answer:
                series = json.load(answer)
        except urllib.error.HTTPError as error:
            words = [line for line in error.read().decode().splitlines() if "Error" in line or "Exception" in line]
            raise GraphiteError(f"{target}: {error.code} {words[-3:]}") from None
        return [one for one in series if any(value is not None for value, _ in one["datapoints"])]


@contextmanager
def graphite(folder: Path) -> Iterator[Graphite]:
    """Run all three; they end with the block."""
    ports = {name: free_port() for name in ("line", "pickle", "query", "port", "admin", "web")}
    (folder / "whisper").mkdir()
    (folder / "log").mkdir()
    files = {
        "carbon.conf": _CARBON,
        "storage-schemas.conf": _SCHEMAS,
        "web_settings.py": _WEB,
        "statsd.js": _STATSD,
    }
    for name, text in files.items():
        (folder / name).write_text(text.format(folder=str(folder), **ports))
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    web = {**env, "DJANGO_SETTINGS_MODULE": "web_settings", "PYTHONPATH": str(folder)}
    commands = [
        (["carbon-cache", f"--config={folder}/carbon.conf", "--debug", "start"], env),
        (["node", str(_statsd() / "stats.js"), str(folder / "statsd.js")], env),
        ([PYTHON, "-m", "django", "runserver", "--noreload", f"127.0.0.1:{ports['web']}"], web),
    ]
    with ExitStack() as stack:
        log = stack.enter_context((folder / "daemons.log").open("ab"))
        subprocess.run([PYTHON, "-m", "django", "migrate", "--run-syncdb"], env=web, stdout=log, stderr=log, check=True)
        for command, environment in commands:
            process = subprocess.Popen(
                command, env=environment, cwd=folder, stdout=log, stderr=log, preexec_fn=die_with_parent
            )
            stack.callback(process.wait, 10)
            stack.callback(process.kill)
        made = Graphite(ports["port"], f"http://127.0.0.1:{ports['web']}")
        try:
            wait_for(lambda: _answers(made), "graphite-web answers and has statsd's own numbers", 60)
        except TimeoutError:
            sys.stderr.write((folder / "daemons.log").read_text()[-6000:])
            raise
        yield made


def _answers(made: Graphite) -> bool:
    try:
        return bool(made.render("statsd.numStats"))
    except OSError:
        time.sleep(0.2)
        return False


def _statsd() -> Path:
    """Return where npm's statsd is, installed once into `.state` of the checkout."""
    folder = STATE / "npm"
    if not (folder / "node_modules" / "statsd" / "stats.js").exists():
        folder.mkdir(parents=True, exist_ok=True)
        argv = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--omit=optional", "--prefix", str(folder)]
        subprocess.run([*argv, STATSD], check=True, capture_output=True, timeout=300)
    return folder / "node_modules" / "statsd"
