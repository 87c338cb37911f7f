"""A headless Chromium that tests drive by its DevTools protocol, as a user's browser with a login of its own."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import requests
import websocket

from . import processes

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Browser:
    """One page. Scripts are evaluated in it, and their promises awaited."""

    def __init__(self, folder: Path, width: int = 1280, height: int = 800) -> None:
        binary = next(filter(None, map(shutil.which, NAMES)), None)
        assert binary, "no Chromium: install the package chromium"
        self.profile = Path(tempfile.mkdtemp(dir=folder))
        command = [
            binary, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--remote-debugging-port=0", "--remote-allow-origins=*",
            f"--user-data-dir={self.profile}", f"--window-size={width},{height}", "about:blank",
        ]  # fmt: skip
        self.log = folder / "chromium.log"
        self.process = processes.start(command, self.log)
        self._numbers = itertools.count(1)
        self._socket = websocket.create_connection(self._page(), timeout=60)
        self.send("Page.enable")
        self.send("Runtime.enable")
        self.send("Performance.enable", timeDomain="threadTicks")
        self.resize(width, height)

    def _page(self) -> str:
        port = self.profile / "DevToolsActivePort"
        deadline = time.monotonic() + 60
        while not (port.exists() and port.read_text().strip()):
            assert time.monotonic() < deadline, self.log.read_text()[-2000:]
            time.sleep(0.05)
        url = f"http://127.0.0.1:{port.read_text().split()[0]}/json/list"
        pages = [page for page in requests.get(url, timeout=30).json() if page["type"] == "page"]
        return pages[0]["webSocketDebuggerUrl"]

    def send(self, method: str, **params: Any) -> dict:
        """A command of the protocol and its answer; events in between are passed over."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def evaluate(self, script: str) -> Any:
        """The value of an expression; a promise is awaited, an exception fails the test."""
        result = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def spent(self) -> dict[str, float]:
        """Seconds of CPU of the page's main thread so far, by kind of work; waiting for the CPU is not in it."""
        rows = self.send("Performance.getMetrics")["metrics"]
        return {row["name"]: row["value"] for row in rows if row["name"].endswith("Duration")}

    def log_in(self, url: str, session: requests.Session) -> None:
        """Take the login of a session."""
        self.send("Network.enable")
        self.send(
            "Network.setCookie", url=url, name="session_id", value=session.cookies["session_id"]
        )

    def open(self, url: str) -> None:
        self.send("Page.navigate", url=url)

    def wait(self, condition: str, seconds: float = 30) -> Any:
        """The first true value of a JavaScript expression."""
        deadline = time.monotonic() + seconds
        while not (value := self.evaluate(condition)):
            assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
            time.sleep(0.02)
        return value

    def resize(self, width: int, height: int) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def picture(self, path: Path) -> None:
        data = self.send("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        self._socket.close()
        processes.stop(self.process)
        shutil.rmtree(self.profile, ignore_errors=True)
