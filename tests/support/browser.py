"""Chromium, driven over the WebDriver protocol by nothing but HTTP."""

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DRIVER = shutil.which("chromedriver")
CHROMIUM = shutil.which("chromium")


class Browser:
    def __init__(self, base: str, session: str) -> None:
        self._base = f"{base}/session/{session}"

    def open(self, url: str) -> None:
        self._post("/url", {"url": url})

    def run(self, script: str) -> Any:
        """Return what a script in the page returns."""
        return self._post("/execute/sync", {"script": script, "args": []})

    def complaints(self) -> list[str]:
        """Return what the browser had to say of the page, as a person would find it on the console."""
        return [entry["message"] for entry in self._post("/se/log", {"type": "browser"})]

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return ask(self._base + path, body)


def ask(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["value"]


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A headless browser with a profile in a folder."""
    argv = [str(DRIVER), "--port=0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as driver:
        try:
            assert driver.stdout is not None
            port = next(found.group(1) for line in driver.stdout if (found := re.search(r"on port ([1-9]\d*)", line)))
            arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}"]
            wanted = {
                "goog:chromeOptions": {"binary": str(CHROMIUM), "args": arguments},
                "goog:loggingPrefs": {"browser": "ALL"},
            }
            base = f"http://127.0.0.1:{port}"
            session = ask(f"{base}/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
            yield Browser(base, session)
            end = urllib.request.Request(f"{base}/session/{session}", method="DELETE")
            urllib.request.urlopen(end, timeout=60).close()
        finally:
            driver.terminate()
