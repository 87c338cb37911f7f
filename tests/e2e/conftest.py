import pytest

from tests.support.stack import Stack

METERS_645 = [
    {"address": "202611000001", "energy_wh": 186_420, "power_w": 800},
    {"address": "202611000002", "energy_wh": 42_370, "power_w": 300},
    {"address": "202611000003", "energy_wh": 311_050, "power_w": 640},
]
METERS_RTU = [
    {"address": 1, "energy_wh": 97_810, "power_w": 600},
    {"address": 2, "energy_wh": 254_660, "power_w": 450},
    {"address": 3, "energy_wh": 18_930, "power_w": 820},
]


def gateways() -> list[dict]:
    """Two gateways as in the demo, on ports of their own, with constant loads."""
    return [
        {
            "name": "GW-645", "host": "127.0.0.1", "port": 0, "delay_ms": 20,
            "meters": [{"protocol": "dlt645", "speed": 1, **meter} for meter in METERS_645],
        },
        {
            "name": "GW-RTU", "host": "127.0.0.1", "port": 0, "delay_ms": 20,
            "meters": [{"protocol": "modbus_ddsy1352", "speed": 1, **meter} for meter in METERS_RTU],
        },
    ]  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A site with two gateways, a collector and Odoo, for the tests of one module."""
    running = Stack(tmp_path_factory.mktemp("stack"), gateways())
    try:
        running.connect_gateways()
        running.start_collector()
        yield running
    finally:
        running.close()
