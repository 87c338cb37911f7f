"""Planning of requests and weighing of relay evidence, without any device."""

from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from odoo.addons.prepay_meter.collector import config, driver, plan


def point(channel, address, size=2, encoding="u32", **values):
    defaults = {"offset": 0, "bit": 0, "scale": Decimal(1), "frequent": True}
    return config.Point(channel, address, size, encoding=encoding, **{**defaults, **values})


def meter(proof="status", protocol="modbus", gap=0, points=()):
    profile = config.Profile(
        id=1, protocol=protocol, medium="electricity", modulus=0, max_power_w=0, block_gap=gap,
        relay_proof=proof, relay_settle=0, load_limit_w=5, password=b"\2\0\0\0", operator=bytes(4),
        validity=600, points=tuple(points), controls={},
    )  # fmt: skip
    return config.Meter(
        id=1, state_id=1, number="M", address="1", profile=profile, interval=60, password=b"\2\0\0\0",
        tz=ZoneInfo("Asia/Shanghai"), last_value=None, last_at=None, missed=0, ever_seen=True, desired=None,
    )  # fmt: skip


def test_blocks_span_only_allowed_gaps():
    points = [
        point("energy", "0x0000"),
        point("energy_sharp", "0x0002"),
        point("voltage", "0x000B", 1, "u16"),
    ]
    assert [(block.address, block.size) for block in plan.plan(meter().profile, points)] == [
        (0, 4),
        (11, 1),
    ]
    assert [(block.address, block.size) for block in plan.plan(meter(gap=7).profile, points)] == [
        (0, 12)
    ]


def test_block_never_exceeds_one_modbus_read():
    points = [point("energy", hex(address)) for address in range(0, 300, 2)]
    blocks = plan.plan(meter(gap=5).profile, points)
    assert max(block.size for block in blocks) <= 125
    assert sum(len(block.points) for block in blocks) == len(points)


def test_dlt645_points_of_one_identifier_share_a_request():
    points = [
        point("energy", "0001FF00", 4, "bcd"),
        point("energy_sharp", "0001FF00", 4, "bcd", offset=4),
    ]
    assert len(plan.plan(meter(protocol="dlt645").profile, points)) == 1


@pytest.mark.parametrize(
    ("proof", "relay", "power", "state", "shown"),
    [
        ("status", "open", 0, "open", "status_load"),
        ("status", "closed", 800, "closed", "status_load"),
        ("status", "closed", 0, "closed", "status"),  # an empty room proves nothing
        ("status", "open", 800, None, None),  # load contradicts
        ("control", "open", 0, "open", "control_load"),
        ("control", "closed", None, "closed", "control"),
        ("control", None, 800, "closed", "load"),
        ("control", None, 0, None, None),  # no load is no proof of an open relay
        ("load", None, 0, None, None),
        ("load", None, 800, "closed", "load"),
        ("none", "open", 0, None, None),
        ("none", "closed", 800, None, None),
    ],
)
def test_relay_evidence(proof, relay, power, state, shown):
    evidence = driver.weigh(meter(proof), {"relay": relay, "power": power})
    assert (evidence.state, evidence.proof) == (state, shown)
    assert bool(evidence.contradiction) == (relay == "open" and bool(power))
