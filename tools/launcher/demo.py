"""`./prepay demo`: the whole product on this machine, with simulated meters."""

import argparse
import fcntl
import time
import unicodedata
import urllib.error
import urllib.request

from . import demo_database, mosquitto, odoo_run, paths, ports, postgres, simulator
from .console import Progress, elapsed, say
from .errors import LauncherError
from .postgres import Server
from .supervisor import Supervisor

HTTP_PORT = 8069
CONTROL_PORT = 8090
DTU_PORT, ACREL_PORT, HEALTH_PORT = 17100, 17101, 9470
READY_SECONDS = 180
LOCK = paths.LOCAL / "demo.lock"
LOGIN = "/web/login"

# login, password, who that is; only those that the database has are shown.
LOGINS = (
    ("admin", "admin", "Administrator 管理员"),
    ("operator", "operator", "Operator 运维"),
    ("cashier", "cashier", "Cashier 收费员"),
    ("accountant", "accountant", "Accountant 会计"),
    ("hr", "hr", "Personnel 人事"),
    ("auditor", "auditor", "Auditor 审计"),
    ("tenant", "tenant", "Tenant 住户"),
)


def run(arguments: list[str]) -> int:
    began = time.monotonic()
    options = _parse(arguments)
    paths.LOCAL.mkdir(exist_ok=True)
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LauncherError(
                "a demo of this folder is running already", "Stop it first (Ctrl-C where it runs)."
            ) from error
        with postgres.serving(postgres.DEMO) as server, Supervisor() as supervisor:
            demo_database.ensure(server, options.reset)
            places = start(server, supervisor, options)
            with Progress() as progress:
                title = "Odoo starts"
                progress.start(title)
                wait_ready(places["Odoo"], supervisor)
                progress.finish(title)
            if not options.background:
                show(places, logins(server), time.monotonic() - began)
            say(f"READY {places['Odoo'].removesuffix(LOGIN)}")
            while True:
                supervisor.check()
                time.sleep(0.5)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./prepay demo", description=__doc__)
    parser.add_argument("--port", type=int, default=HTTP_PORT, help="HTTP port of Odoo")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--reset", action="store_true", help="make the demo database anew")
    parser.add_argument(
        "--background", action="store_true", help="print only one line `READY address`"
    )
    return parser.parse_args(arguments)


def start(server: Server, supervisor: Supervisor, options: argparse.Namespace) -> dict[str, str]:
    """Start every part; returns the addresses to show."""
    env = {**server.environment(), "PYTHONUNBUFFERED": "1"}
    http = ports.first_free(options.port, "Odoo", options.host)
    broker = ports.first_free(mosquitto.PORT, "MQTT")
    config = demo_database.config(
        server,
        http_interface=options.host,
        http_port=http,
        workers=0,
        max_cron_threads=2,
        db_maxconn=32,
    )
    address = "127.0.0.1" if options.host == "0.0.0.0" else options.host
    places = {"Odoo": f"http://{address}:{http}{LOGIN}"}
    supervisor.start("mosquitto", mosquitto.command(broker), env)
    if simulator.available():
        control = ports.first_free(CONTROL_PORT, "the simulated meters")
        dtu = ports.first_free(DTU_PORT, "DTUs that dial in")
        acrel = ports.first_free(ACREL_PORT, "4G meters that dial in")
        health = ports.first_free(HEALTH_PORT, "the collector's health page")
        meters = simulator.configure(server, {"dtu": dtu, "acrel_4g": acrel, "mqtt": broker})
        supervisor.start("simulator", simulator.command(meters, control), env)
        places["Simulated meters"] = f"http://127.0.0.1:{control}/"
        collector = odoo_run.command(
            config, "prepay_collector", "-d", demo_database.NAME, "--name", "demo",
            "--health", f"127.0.0.1:{health}", "--mqtt", f"127.0.0.1:{broker}",
            "--dtu-listen", f"127.0.0.1:{dtu}", "--acrel-listen", f"127.0.0.1:{acrel}",
        )  # fmt: skip
        places["Collector"] = f"http://127.0.0.1:{health}/health"
        supervisor.start("collector", collector, env)
    supervisor.start("odoo", odoo_run.command(config), env)
    places["MQTT broker"] = f"127.0.0.1:{broker}"
    places["PostgreSQL"] = (
        f"{server.variables.get('PGHOST', '')} port {server.variables.get('PGPORT', '')}"
    )
    places["Logs"] = str(paths.LOGS)
    return places


def wait_ready(address: str, supervisor: Supervisor) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        supervisor.check()
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise LauncherError(
        f"Odoo did not answer at {address} within {READY_SECONDS} s",
        f"See {paths.LOGS / 'odoo.log'}.",
    )


def logins(server: Server) -> list[tuple[str, str, str]]:
    rows = server.sql("SELECT login FROM res_users WHERE active", demo_database.NAME)
    present = {row[0] for row in rows}
    return [entry for entry in LOGINS if entry[0] in present]


def show(places: dict[str, str], users: list[tuple[str, str, str]], seconds: float) -> None:
    """The box with addresses and logins."""
    wide = max(map(len, places))
    lines = [f"{name:{wide}}  {value}" for name, value in places.items()]
    lines += ["", f"{'login':12}{'password':12}role"]
    lines += [f"{login:12}{password:12}{role}" for login, password, role in users]
    lines += ["", f"Started in {elapsed(seconds)}. Ctrl-C stops everything."]
    inner = max(map(_width, lines))
    say("┌" + "─" * (inner + 2) + "┐")
    for line in lines:
        say("│ " + line + " " * (inner - _width(line)) + " │")
    say("└" + "─" * (inner + 2) + "┘")


def _width(text: str) -> int:
    """Columns on a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
