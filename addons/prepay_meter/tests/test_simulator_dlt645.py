"""More of DL/T 645-2007 on a simulated meter, with hand-built frames: parameters, long blocks,
broadcast time, credit in the meter, three phases."""

from datetime import datetime, timedelta

import pytest

from odoo.addons.prepay_meter.simulator.simulation import in_thread

from .common_simulator import SILENCE, Raw, fault, http

ONE, THREE = "202611000001", "202611000003"
PASSWORD, OPERATOR = "02000000", "00000000"
CONFIG = {
    "gateways": [
        {"name": "A", "delay_ms": 1, "meters": [
            {"protocol": "dlt645", "address": ONE, "power_w": 1000, "energy_wh": 186_420,
             "prepaid": True, "balance_fen": 5000, "hoarding_fen": 20_000, "reverse_wh": 1500,
             "preamble": 0},
            {"protocol": "dlt645", "address": THREE, "phases": 3, "power_w": 3000,
             "preamble": 0},
        ]},
    ]
}  # fmt: skip


@pytest.fixture
def running():
    with in_thread(CONFIG) as simulation:
        yield simulation


@pytest.fixture
def line(running):
    raw = Raw(running.port("A"))
    yield raw
    raw.close()


def ask(line, control, data="", address=ONE, wait=5):
    """Control and data (less 33h) of the answer; None without one."""
    data = bytes((byte + 0x33) % 256 for byte in bytes.fromhex(data))
    body = b"\x68" + bytes.fromhex(address)[::-1] + bytes((0x68, control, len(data))) + data
    answer = line.ask(body + bytes((sum(body) % 256, 0x16)), wait)
    if not answer:
        return None
    assert answer[-2:] == bytes((sum(answer[:-2]) % 256, 0x16))
    assert answer[9] == len(answer) - 12
    return answer[8], bytes((byte - 0x33) % 256 for byte in answer[10:-2])


def wire(di):
    """Data identifier as it is sent."""
    return bytes.fromhex(di)[::-1].hex()


def value(line, di, address=ONE):
    """Digits of a value as people read them, or the error byte."""
    control, data = ask(line, 0x11, wire(di), address)
    if control == 0xD1:
        return data[0]
    assert (control, data[:4].hex()) == (0x91, wire(di))
    return data[:3:-1].hex()


def bcd(amount, size=4):
    return bytes.fromhex(f"{amount:0{2 * size}d}")[::-1].hex()


def write(line, di, data, password=PASSWORD):
    return ask(line, 0x14, wire(di) + password + OPERATOR + data)


def top_up(line, amount, number, di="070102FF", **options):
    return ask(line, 0x03, wire(di) + PASSWORD + OPERATOR + bcd(amount) + bcd(number), **options)


def test_registers_in_both_directions(line):
    assert value(line, "00010000")[:6] == "000186"
    assert value(line, "00020000") == "00000150"
    assert value(line, "00000000")[:6] == "000187"


def test_three_phases(line):
    powers = [int(value(line, f"0203{phase:02d}00", THREE)) for phase in range(4)]
    assert powers[0] == sum(powers[1:]) == 30_000
    voltages = [int(value(line, f"0201{phase:02d}00", THREE)) for phase in (1, 2, 3)]
    assert all(2200 < voltage < 2400 for voltage in voltages)
    assert len(set(voltages)) > 1
    for phase in (1, 2, 3):
        current = int(value(line, f"0202{phase:02d}00", THREE))
        assert current * voltages[phase - 1] * 95 == pytest.approx(powers[phase] * 10**5, rel=0.01)
    assert value(line, "02800002", THREE) == "5000"
    assert value(line, "00900200", THREE) == 2, "no credit in this meter"


def test_parameters_need_the_password(running, line):
    assert write(line, "04001001", bcd(3000), "02123456") == (0xD4, b"\x04")
    assert write(line, "04001001", bcd(3000)) == (0x94, b"")
    assert write(line, "04001002", bcd(1200)) == (0x94, b"")
    assert write(line, "04001003", bcd(700)) == (0x94, b"")
    for di, shown in [("1001", "00003000"), ("1002", "00001200"), ("1003", "00000700")]:
        assert value(line, f"0400{di}") == shown
    assert value(line, "04001004") == "00020000"
    assert write(line, "04001001", "0000") == (0xD4, b"\x01"), "too short"
    assert write(line, "04001001", "AA000000") == (0xD4, b"\x01"), "no digits"
    assert write(line, "00010000", bcd(0)) == (0xD4, b"\x02"), "read only"
    prices = "".join(bcd(price) for price in (9000, 8000, 6000, 3000))
    assert write(line, "040501FF", prices) == (0x94, b"")
    assert value(line, "04050102") == "00008000"
    assert write(line, "04000306", bcd(20, 3)) == (0x94, b"")
    assert value(line, "04000306") == "000020"
    assert write(line, "04090B01", bcd(15_000, 3)) == (0x94, b"")
    http(running, "PATCH", f"/meters/{ONE}", {"power_w": 1600})
    value(line, "04090B01")
    assert http(running, "GET", f"/meters/{ONE}")[1]["own_trip"] == "overload"


def test_clock_by_write_and_by_broadcast(running, line):
    assert write(line, "04000101", "05311227") == (0x94, b"")  # week byte first
    assert write(line, "04000102", "003023") == (0x94, b"")
    assert value(line, "04000101") == "27123105"
    assert value(line, "04000102")[:5] == "23300"
    # within five minutes only
    assert ask(line, 0x08, "002823311227", "99" * 6, SILENCE) is None
    assert value(line, "04000102")[:4] == "2328"
    ask(line, 0x08, "004023311227", "99" * 6, SILENCE)
    assert value(line, "04000102")[:4] == "2328"
    http(running, "PATCH", f"/meters/{ONE}", {"broadcast_limit_s": 0})
    ask(line, 0x08, "000012010128", "99" * 6, SILENCE)
    assert value(line, "04000101") == "28010106"
    ask(line, 0x1C, PASSWORD + OPERATOR + "1A00000000000000", "99" * 6, SILENCE)
    assert http(running, "GET", f"/meters/{ONE}")[1]["relay"] == "closed", "no relay by broadcast"


def test_clock_drift(running):
    http(running, "PATCH", f"/meters/{ONE}", {"clock_offset_s": 0, "clock_drift_ppm": 1_000_000})
    before = datetime.fromisoformat(http(running, "GET", f"/meters/{THREE}")[1]["clock"])
    drifted = datetime.fromisoformat(http(running, "GET", f"/meters/{ONE}")[1]["clock"])
    assert timedelta(0) <= drifted - before < timedelta(seconds=5)


def test_long_blocks_are_read_on(running, line):
    control, data = ask(line, 0x11, wire("0001FFFF"))
    assert control == 0xB1, "more follows"
    assert len(data) <= 200
    whole = data[4:]
    control, data = ask(line, 0x12, wire("0001FFFF") + "01")
    assert (control, data[-1]) == (0x92, 1)
    whole += data[4:-1]
    assert len(whole) == 13 * 20
    assert whole[:3][::-1].hex() != "000000"
    assert ask(line, 0x12, wire("0001FFFF") + "02") == (0xD2, b"\x01")
    http(running, "PATCH", f"/meters/{ONE}", {"frame_data": 12})
    control, data = ask(line, 0x11, wire("0001FF00"))
    assert (control, len(data)) == (0xB1, 11)
    controls = [ask(line, 0x12, wire("0001FF00") + f"{n:02x}")[0] for n in (1, 2)]
    assert controls == [0xB2, 0x92]


def test_status_words(running, line):
    assert value(line, "04000503") == "0200", "money meter"
    fault(running, ONE, low_battery=True)
    assert value(line, "04000501") == "0004"
    control, data = ask(line, 0x11, wire("040005FF"))
    assert (control, data[4:].hex()) == (0x91, "0400" + "0000" + "0002" + "0000" * 4)


def test_credit_is_taken_once(running, line):
    assert value(line, "00900200") == "00005000"
    assert value(line, "03330201") == "0000"
    done = (0x83, bytes.fromhex("FF020107"))
    assert top_up(line, 10_000, 1) == done
    assert top_up(line, 10_000, 1) == done, "a repeat is harmless"
    assert value(line, "00900200") == "00015000"
    assert value(line, "03330201") == "0001"
    assert top_up(line, 9_000, 1) == (0xC3, b"\x20\x00"), "other money under an old number"
    assert top_up(line, 1_000, 3) == (0xC3, b"\x20\x00"), "a number left out"
    assert top_up(line, 1_000, 1) == (0xC3, b"\x20\x00")
    assert top_up(line, 5_001, 2) == (0xC3, b"\x40\x00"), "hoarding"
    assert top_up(line, 5_000, 2) == done
    last = [value(line, f"0333{di}") for di in ("0301", "0401", "0501", "0601")]
    assert last == ["00005000", "00015000", "00020000", "00015000"]
    assert top_up(line, 1, 1, address=THREE) == (0xC3, b"\x01\x00"), "no credit in this meter"
    http(running, "PATCH", f"/meters/{ONE}", {"repeat_refused": True})
    assert top_up(line, 5_000, 2) == (0xC3, b"\x02\x00"), "some meters say that it was taken before"
    assert value(line, "00900200") == "00020000"
    fault(running, ONE, exception=4)
    assert top_up(line, 5_000, 3) == (0xC3, b"\x04\x00")
    fault(running, ONE, exception=0)
    http(running, "PATCH", f"/meters/{ONE}", {"credit_error_bytes": 1})
    assert top_up(line, 1, 9) == (0xC3, b"\x20")


@pytest.mark.parametrize(("lost", "number"), [("before", "0000"), ("after", "0001")])
def test_lost_credit(running, line, lost, number):
    fault(running, ONE, lose_credit=lost)
    assert top_up(line, 10_000, 1, wait=SILENCE) is None
    assert value(line, "03330201") == number
    fault(running, ONE, lose_credit="")
    assert top_up(line, 10_000, 1)[0] == 0x83
    assert value(line, "03330201") == "0001"
    assert value(line, "00900200") == "00015000"


def test_other_forms_of_the_credit_command(running, line):
    fields = ["operator", "amount_bin", "number_bin"]
    http(running, "PATCH", f"/meters/{ONE}", {"credit_fields": fields})
    sent = wire("070102FF") + OPERATOR + "10270000" + "01000000"
    assert ask(line, 0x03, sent)[0] == 0x83
    assert value(line, "00900200") == "00015000"
    assert ask(line, 0x03, wire("070102FF") + OPERATOR) == (0xC3, b"\x01\x00"), "too short"


def test_a_credit_command_needs_the_password(line):
    wrong = wire("070102FF") + "02111111" + OPERATOR + bcd(1000) + bcd(1)
    assert ask(line, 0x03, wrong) == (0xC3, b"\x04\x00")
    assert value(line, "03330201") == "0000"


def test_the_meter_cuts_and_debt_is_in_its_own_register(running, line):
    energy = http(running, "GET", f"/meters/{ONE}")[1]["energy_wh"]
    http(running, "PATCH", f"/meters/{ONE}", {"energy_wh": energy + 100_000})
    assert value(line, "00900200") == "00000000"
    assert value(line, "00900201")[:5] == "00001", "68 CNY used, 50 there"
    found = http(running, "GET", f"/meters/{ONE}")[1]
    assert (found["relay"], found["own_trip"]) == ("open", "credit")
    assert ask(line, 0x1C, PASSWORD + OPERATOR + "1C00000000000000") == (0x9C, b"")
    assert http(running, "GET", f"/meters/{ONE}")[1]["relay"] == "open", "no close without credit"
    assert top_up(line, 10_000, 1)[0] == 0x83
    assert http(running, "GET", f"/meters/{ONE}")[1]["relay"] == "closed"
    assert value(line, "00900201") == "00000000"
    http(running, "PATCH", f"/meters/{ONE}", {"balance_fen": 1999})
    assert int(value(line, "04000503"), 16) & 1 << 7, "first alarm"
