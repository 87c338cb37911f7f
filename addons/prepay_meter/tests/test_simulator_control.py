"""Gateways, control interface, kept state and command of the simulator."""
# ruff: noqa: F401, F811 - fixtures are imported

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from odoo.addons.prepay_meter.protocols import exchange
from odoo.addons.prepay_meter.simulator.simulation import Simulation, in_thread

from .common_simulator import (
    CONFIG,
    METER,
    NEIGHBOUR,
    http,
    line,
    simulation,
)

ADDON = Path(__file__).parents[1]


def test_one_line_answers_one_request_at_a_time(simulation, line):
    http(simulation, "POST", "/gateways/GW-RTU", {"delay_ms": 100})
    first, second = line("GW-RTU"), line("GW-RTU")
    started = time.monotonic()
    one, two = exchange.modbus_read(1, 0, 2), exchange.modbus_read(2, 0, 2)
    first.socket.sendall(one.request)
    second.socket.sendall(two.request)
    assert first.listen(one)
    assert second.listen(two)
    assert time.monotonic() - started >= 0.2


def test_an_offline_gateway_drops_and_refuses(simulation, line):
    connection = line("GW-645")
    status, found = http(simulation, "POST", "/gateways/GW-645", {"online": False})
    assert (status, found["online"]) == (200, False)
    with pytest.raises(ConnectionError):
        connection.ask(exchange.dlt645_read(METER, "00010000"))
    with pytest.raises(ConnectionError):
        line("GW-645")
    assert line("GW-RTU").ask(exchange.modbus_read(1, 0, 2)), "the other gateway goes on"
    http(simulation, "POST", "/gateways/GW-645", {"online": True})
    assert line("GW-645").ask(exchange.dlt645_read(METER, "00010000"))


def test_meters_can_be_added(simulation, line):
    spec = {"gateway": "GW-RTU", "protocol": "modbus_ddsy1352", "address": 7, "energy_wh": 50}
    assert http(simulation, "POST", "/meters", spec)[0] == 201
    assert line("GW-RTU").ask(exchange.modbus_read(7, 0, 2)).registers == (0, 5)
    status, found = http(simulation, "POST", "/meters", spec)
    assert (status, found["error"]) == (400, "gateway GW-RTU has a meter 7 already")
    mixed = {"gateway": "GW-RTU", "protocol": "dlt645", "address": METER}
    assert http(simulation, "POST", "/meters", mixed)[0] == 400
    assert http(simulation, "POST", "/meters", {"gateway": "none"})[0] == 404


def test_control_answers_bad_requests_with_the_reason(simulation):
    assert http(simulation, "GET", "/meters/42") == (404, {"error": "no meter 42"})
    assert http(simulation, "PATCH", "/meters/1", {"powr_w": 1})[0] == 400
    assert http(simulation, "PATCH", "/meters/1", [1])[0] == 400
    assert http(simulation, "PATCH", "/meters/1", {}, kind="text/plain")[0] == 415
    assert http(simulation, "POST", "/gateways/none", {})[0] == 404
    assert http(simulation, "POST", "/gateways/GW-RTU", {"delay_ms": "x"})[0] == 400
    assert http(simulation, "POST", "/gateways/GW-RTU", {"onlin": True})[0] == 400
    meters = http(simulation, "GET", "/meters")[1]
    assert [meter["key"] for meter in meters] == [
        f"GW-645:{METER}", f"GW-645:{NEIGHBOUR}", "GW-RTU:1", "GW-RTU:2"
    ]  # fmt: skip
    gateways = http(simulation, "GET", "/gateways")[1]
    assert gateways[1]["meters"] == ["1", "2"]


def test_the_same_unit_on_two_gateways_needs_its_gateway():
    meter = {"protocol": "modbus_ddsy1352", "address": 1}
    config = {"gateways": [{"name": name, "meters": [meter]} for name in ("A", "B")]}
    with in_thread(config) as running:
        assert http(running, "GET", "/meters/1")[0] == 404
        assert http(running, "GET", "/meters/B:1")[1]["gateway"] == "B"


def test_page_in_both_languages(simulation):
    status, text = http(simulation, "GET", "/", headers={"Accept-Language": "zh-CN,en;q=0.5"})
    assert status == 200
    assert '<html lang="zh-CN">' in text
    assert "模拟电表与水表" in text
    text = http(simulation, "GET", "/")[1]
    assert "Simulated meters" in text
    assert METER in text
    assert "http://" not in text and "https://" not in text, "no foreign resources"


def test_state_survives_a_restart(tmp_path):
    kept = tmp_path / "state.json"
    with in_thread(CONFIG, state_path=kept) as running:
        http(running, "PATCH", "/meters/1", {"energy_wh": 123_000, "relay": "open"})
        http(running, "PATCH", f"/meters/{METER}", {"speed": 1000})
        energy = http(running, "GET", f"/meters/{METER}")[1]["energy_wh"]
    assert json.loads(kept.read_text())["clean"] is True
    with in_thread(CONFIG, state_path=kept) as running:
        found = http(running, "GET", "/meters/1")[1]
        assert (found["energy_wh"], found["relay"]) == (123_000, "open")
        assert http(running, "GET", f"/meters/{METER}")[1]["energy_wh"] >= energy


def test_a_register_never_goes_back_after_a_crash(tmp_path):
    kept = tmp_path / "state.json"
    config = {"gateways": [{"name": "A", "meters": [
        {"protocol": "modbus_ddsy1352", "address": 1, "power_w": 1500, "speed": 3600}
    ]}]}  # fmt: skip
    with in_thread(config, state_path=kept) as running:
        time.sleep(0.3)
        saved = kept.read_text()
        time.sleep(0.5)
        energy = http(running, "GET", "/meters/1")[1]["energy_wh"]
    kept.write_text(saved)
    with in_thread(config, state_path=kept) as running:
        assert http(running, "GET", "/meters/1")[1]["energy_wh"] >= energy


def test_a_taken_port_leaves_nothing_open():
    async def run():
        first = Simulation({"gateways": [{"name": "A"}]}, control_port=None)
        await first.start()
        taken = first.gateways["A"].port
        second = Simulation({"gateways": [{"name": "B"}, {"name": "C", "port": taken}]})
        with pytest.raises(OSError, match="address already in use"):
            await second.start()
        assert not second.gateways["B"].online
        await first.stop()

    asyncio.run(run())


def run_command(*arguments):
    command = [sys.executable, "-m", "odoo", f"--addons-path={ADDON.parent}", "prepay_simulator"]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_command_says_where_it_listens_and_stops_on_request(tmp_path):
    config = json.loads((ADDON / "demo" / "simulator.json").read_text())
    for gateway in config["gateways"]:
        if "port" in gateway:
            gateway["port"] = 0
    (tmp_path / "config.json").write_text(json.dumps(config))
    process = run_command("--config", tmp_path / "config.json", "--state", tmp_path / "state.json")
    try:
        word, _, ready = process.stdout.readline().partition(" ")
        assert word == "READY", process.stderr.read()
        ready = json.loads(ready)
        assert list(ready["gateways"]) == [gateway["name"] for gateway in config["gateways"]]
        with urllib.request.urlopen(ready["control"] + "/meters", timeout=5) as answer:
            meters = json.load(answer)
        listed = [meter for gateway in config["gateways"] for meter in gateway["meters"]]
        assert [meter["address"] for meter in meters] == [str(m["address"]) for m in listed]
        assert all(meter["power_w"] >= 300 for meter in meters if "power_w" in meter)
        process.terminate()
        assert process.wait(10) == 0
        assert json.loads((tmp_path / "state.json").read_text())["clean"] is True
    finally:
        process.kill()
        process.communicate()


def test_command_says_what_is_wrong(tmp_path):
    process = run_command("--config", tmp_path / "none.json")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "prepay_simulator: configuration" in errors
    assert "Traceback" not in errors
