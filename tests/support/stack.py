"""The whole product as processes: simulated meters, collector, Odoo, and users who log in.

Nothing here reaches into the product: databases are read to look, devices are watched by the
simulator's own control interface, and everything is done through the web client's routes.
"""

import json
import signal
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from . import processes
from .database import Database, clone_database, drop

ROOM_645, ROOM_RTU = "A-101", "A-201"
METER_645, METER_RTU = "202611000001", "DDSY-0001"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition: Callable[[], Any], seconds: float, what: str, pause: float = 0.05) -> Any:
    """The first true value of `condition`; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}; last value: {value!r}")
        time.sleep(pause)


class User:
    """Somebody who is logged in to the web client."""

    def __init__(self, url: str, database: str, login: str) -> None:
        self.url, self.login = url, login
        self.session = requests.Session()
        result = self._post(
            "/web/session/authenticate", {"db": database, "login": login, "password": login}
        )
        assert result["uid"], f"{login} cannot log in"

    def call(self, model: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a public method as the browser does; a refusal raises `Refused`."""
        return self._post(
            f"/web/dataset/call_kw/{model}/{method}",
            {"model": model, "method": method, "args": list(args), "kwargs": kwargs},
        )

    def find(self, model: str, domain: list, fields: list[str], **options: Any) -> list[dict]:
        return self.call(model, "search_read", domain, fields, **options)

    def one(self, model: str, domain: list, fields: list[str], **options: Any) -> dict:
        rows = self.find(model, domain, fields, limit=1, **options)
        assert rows, f"{self.login} finds no {model} for {domain}"
        return rows[0]

    def download(self, path: str) -> requests.Response:
        return self.session.get(self.url + path, timeout=60)

    def _post(self, path: str, params: dict) -> Any:
        answer = self.session.post(
            self.url + path,
            json={"jsonrpc": "2.0", "method": "call", "params": params},
            timeout=120,
        ).json()
        if "error" in answer:
            raise Refused(answer["error"])
        return answer.get("result")


class Refused(Exception):
    """The server refused a call; `text` is what the user is shown."""

    def __init__(self, error: dict) -> None:
        self.text = error.get("data", {}).get("message") or error.get("message", "")
        self.name = error.get("data", {}).get("name", "")
        super().__init__(f"{self.name}: {self.text}\n{error.get('data', {}).get('debug', '')}")


class Simulator:
    """The process of simulated meters and its control interface."""

    def __init__(self, database: Database, folder: Path, gateways: list[dict]) -> None:
        config = folder / "simulator.json"
        config.write_text(json.dumps({"gateways": gateways}), encoding="utf-8")
        self.log = folder / "simulator.log"
        command = ("prepay_simulator", "--config", config, "--control-port", 0)
        self.process = processes.start(database.odoo(None, *command), self.log)
        ready = wait_for(self._ready, 60, "simulator is up")
        self.control: str = ready["control"]
        self.ports = {name: gateway["port"] for name, gateway in ready["gateways"].items()}

    def _ready(self) -> dict | None:
        assert self.process.poll() is None, self.log.read_text()
        for line in self.log.read_text().splitlines():
            if line.startswith("READY "):
                return json.loads(line.removeprefix("READY "))
        return None

    def meter(self, address: str) -> dict:
        return requests.get(f"{self.control}/meters/{address}", timeout=10).json()

    def change(self, address: str, **settings: Any) -> dict:
        answer = requests.patch(f"{self.control}/meters/{address}", json=settings, timeout=10)
        assert answer.ok, answer.text
        return answer.json()

    def gateway(self, name: str, **settings: Any) -> None:
        answer = requests.post(f"{self.control}/gateways/{name}", json=settings, timeout=10)
        assert answer.ok, answer.text


class Stack:
    """A running site on its own clone of the template database."""

    def __init__(self, folder: Path, gateways: list[dict]) -> None:
        self.folder = folder
        self.database = clone_database("stack")
        self.http_port = free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.config = self.database.write_config(folder, http_port=self.http_port)
        self.collector = None
        self._users: dict[str, User] = {}
        self.simulator = Simulator(self.database, folder, gateways)
        self.odoo = processes.start(self.database.odoo(self.config), folder / "odoo.log")
        wait_for(self._answers, 90, "Odoo answers", pause=0.2)

    def _answers(self) -> bool:
        assert self.odoo.poll() is None, (self.folder / "odoo.log").read_text()[-3000:]
        try:
            return requests.get(f"{self.url}/web/login", timeout=30).ok
        except requests.ConnectionError:
            return False

    def user(self, login: str) -> User:
        if login not in self._users:
            self._users[login] = User(self.url, self.database.name, login)
        return self._users[login]

    def connect_gateways(self) -> None:
        """The administrator enters the simulated gateways' ports, and archives the others."""
        admin = self.user("admin")
        others = admin.find(
            "prepay.gateway", [["name", "not in", list(self.simulator.ports)]], ["id"]
        )
        admin.call("prepay.gateway", "write", [row["id"] for row in others], {"active": False})
        for name, port in self.simulator.ports.items():
            gateway = admin.one("prepay.gateway", [["name", "=", name]], ["id"])
            values = {"host": "127.0.0.1", "port": port, "timeout_ms": 400}
            admin.call("prepay.gateway", "write", [gateway["id"]], values)

    def start_collector(self, *options: object) -> None:
        command = self.database.odoo(self.config, "prepay_collector", *options)
        self.collector = processes.start(command, self.folder / "collector.log")

    def kill_collector(self) -> None:
        """Like a power failure: no goodbye, no lease returned."""
        self.collector.send_signal(signal.SIGKILL)
        self.collector.wait()

    def run_job(self, xml_id: str) -> None:
        """Run a scheduled action now, as the administrator's button does."""
        admin = self.user("admin")
        module, name = xml_id.split(".")
        job = admin.one("ir.model.data", [["module", "=", module], ["name", "=", name]], ["res_id"])
        admin.call("ir.cron", "method_direct_trigger", [job["res_id"]])

    def rate(self) -> None:
        self.run_job("prepay_billing.ir_cron_rate_and_supply")

    def close(self) -> None:
        for process in (self.collector, self.odoo, self.simulator.process):
            if process is not None:
                processes.stop(process)
        drop(self.database)

    # what users see

    def meter(self, number: str, login: str = "operator") -> dict:
        fields = [
            "supply", "relay_reported", "desired_relay", "register", "last_value", "last_read_at",
            "online", "last_error", "power_w", "command_state", "missed_polls",
        ]  # fmt: skip
        return self.user(login).one("prepay.meter", [["number", "=", number]], fields)

    def account(self, room: str, login: str = "accountant") -> dict:
        fields = ["available", "balance", "accrued", "level", "supply", "due_since", "supply_ids"]
        return self.user(login).one("prepay.account", [["location_id.name", "=", room]], fields)

    def commands(self, number: str) -> list[dict]:
        fields = [
            "target", "cause", "state", "proof", "attempts", "epoch", "detail",
            "requested_at", "sent_at", "confirmed_at",
        ]  # fmt: skip
        return self.user("operator").find(
            "prepay.meter.command", [["meter_id.number", "=", number]], fields, order="epoch"
        )

    def events(self, number: str) -> dict[str, dict]:
        """Open events of a meter by kind."""
        rows = self.user("operator").find(
            "prepay.meter.event",
            [["meter_id.number", "=", number], ["cleared_at", "=", False]],
            ["kind", "detail", "count", "severity"],
        )
        return {row["kind"]: row for row in rows}

    def read_now(self, number: str) -> dict:
        """The operator asks for a reading; returns the meter when a new one has arrived."""
        before = self.meter(number)
        time.sleep(1)  # readings have whole seconds
        self.user("operator").call("prepay.meter", "action_read_now", [before["id"]])

        def newer() -> dict | None:
            after = self.meter(number)
            return after if after["last_read_at"] != before["last_read_at"] else None

        return wait_for(newer, 20, f"new reading of {number}")

    def sell(self, room: str, amount: float) -> int:
        """The cashier sells at the counter; returns the top-up."""
        cashier = self.user("cashier")
        account = cashier.one("prepay.account", [["location_id.name", "=", room]], ["id"])
        sale = cashier.call(
            "prepay.counter",
            "sell",
            {
                "key": uuid.uuid4().hex,
                "parts": [{"account_id": account["id"], "amount": str(amount)}],
                "method": "cash",
                "confirmed": True,
            },
        )
        return sale["topup_ids"][0]
