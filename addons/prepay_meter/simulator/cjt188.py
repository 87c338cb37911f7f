"""The CJ/T 188 side of a simulated water meter with a valve.

The order of the data identifier (`901F` of 2004, `1F90` of 2018), the bits of the status word and
the content of the reply (standard, or the ultrasonic meters' of the same length) differ between
makers: settings `di_order`, `valve_mask`, `battery_mask`, `layout`. Writes take A017 in any order.
"""

from datetime import datetime

from .bus import Answer, Bus
from .dlt645 import ANY, END, START, digits
from .meter import Meter

READ, READ_ADDRESS, WRITE, WRITE_ADDRESS = 0x01, 0x03, 0x04, 0x15
CURRENT, VALVE, CLOCK = b"\x90\x1f", b"\xa0\x17", b"\xa0\x15"
ADDRESS = b"\x81\x0a"
OPEN, CLOSE = 0x55, 0x99
CUBIC_METRE = 0x2C
ERROR = 0x40
REFUSED = 0x8000
"""Status that an error reply adds to the meter's own."""
ORDERS = {"901F": (CURRENT,), "1F90": (CURRENT[::-1],), "both": (CURRENT, CURRENT[::-1])}
MAX_DATA = 0x64


def status(meter: Meter) -> bytes:
    """Two bytes, low byte first; valve 0 open, 1 closed, 3 fault, in the place of its mask."""
    position = {"open": 0, "closed": 1, "fault": 3}.get(meter.valve)
    if position is None:  # it still travels: where it was
        position = 0 if meter.relay_closed else 1
    lowest = meter.valve_mask & -meter.valve_mask
    word = position * lowest & meter.valve_mask
    if meter.faults.low_battery:
        word |= meter.battery_mask
    return word.to_bytes(2, "little")


def volume(litres: int) -> bytes:
    """0.01 m³ and the unit."""
    return digits(litres // 10, 4) + bytes([CUBIC_METRE])


def settlement_l(meter: Meter, month: int = 1) -> int:
    """Register at the end of the month `month` months ago, in litres."""
    if month > len(meter.history):
        return 0
    return sum(meter.history[month - 1]) // 36 // 10**11


def time(meter: Meter) -> bytes:
    """ss mm hh DD MM YYYY, low byte first."""
    return bytes.fromhex(f"{meter.clock():%S%M%H%d%m}") + digits(meter.clock().year, 2)


def current(meter: Meter) -> bytes:
    litres = meter.registers_mwh()[0] // 1000
    if meter.layout == "ultrasonic":
        # m³, thousandths, flow 0.01 m³/h, temperature, time, date
        at = bytes.fromhex(f"{meter.clock():%S%M%H%d%m%y}")
        flow = digits(meter.power_w // 10, 3)
        return digits(litres // 1000, 4) + digits(litres % 1000, 3) + flow + b"\x18" + at
    return volume(litres) + volume(settlement_l(meter)) + time(meter)


def frame(meter_type: int, address: str, control: int, data: bytes) -> bytes:
    body = bytes([START, meter_type]) + digits(int(address), 7) + bytes([control, len(data)]) + data
    return body + bytes([sum(body) % 256, END])


class Cjt188Bus(Bus):
    """Water meters of CJ/T 188 on one line."""

    CHECKSUM = -2

    def take_request(self, buffer: bytearray) -> bytes | None:
        while buffer:
            if buffer[0] == START:
                if len(buffer) < 13:
                    return None
                end = 13 + buffer[10]
                if buffer[10] <= MAX_DATA:
                    if len(buffer) < end:
                        return None
                    sent = bytes(buffer[:end])
                    if sent[-1] == END and sum(sent[:-2]) % 256 == sent[-2]:
                        del buffer[:end]
                        return sent
            del buffer[0]
        return None

    def answer(self, request: bytes) -> list[Answer]:
        kind, wanted, control, data = request[1], request[2:9], request[9], request[11:-2]
        if control & 0x80:
            return []
        answers = []
        for meter in self.meters.values():
            address = digits(int(meter.address), 7)
            named = all(want in (have, ANY) for want, have in zip(wanted, address, strict=True))
            if named and kind in (meter.water_type, ANY):
                answers += self._of_meter(meter, wanted == address, request, control, data)
        if len({answer.raw for answer in answers}) > 1 and ANY in wanted:
            mixed = bytes(a & b for a, b in zip(answers[0].raw, answers[1].raw, strict=False))
            return [Answer(mixed)]
        return answers

    def value_of(self, raw: bytearray) -> range:
        start = raw.index(START)
        return range(start + 14, len(raw) - 2) if raw[start + 9] == READ | 0x80 else range(0)

    def seal(self, raw: bytearray) -> None:
        raw[-2] = sum(raw[raw.index(START) : -2]) % 256

    def _of_meter(
        self, meter: Meter, named: bool, request: bytes, control: int, data: bytes
    ) -> list[Answer]:
        writing = control in (WRITE, WRITE_ADDRESS)
        if (writing and not named) or self.silence(meter, writing):
            return []
        before = meter.recorded
        found = None
        if len(data) >= 3 and not meter.faults.exception:
            found = self._obey(meter, control, data[:2], data[3:])
        reply = control | 0x80
        if found is None:
            refused = int.from_bytes(status(meter), "little") | meter.faults.exception
            serial = data[2:3] or b"\x00"
            reply, value = reply | ERROR, serial + (refused | REFUSED).to_bytes(2, "little")
        else:
            value = data[:3] + found

        def encode(other: bool) -> bytes:
            address = f"{(int(meter.address) + 1) % 10**14:014d}" if other else meter.address
            return b"\xfe" * meter.preamble + frame(meter.water_type, address, reply, value)

        return list(self.on_wire(meter, request, meter.recorded > before, encode))

    def _obey(self, meter: Meter, control: int, di: bytes, value: bytes) -> bytes | None:
        """Data behind identifier and serial number, None when refused."""
        if control == READ and di in ORDERS[meter.di_order]:
            return current(meter) + status(meter)
        if control == READ and (month := self._month(meter, di)):
            return volume(settlement_l(meter, month))
        if control == READ_ADDRESS and di in (ADDRESS, ADDRESS[::-1]):
            return b""
        if control == WRITE and di in (VALVE, VALVE[::-1]):
            return self._valve(meter, value)
        if control == WRITE and di in (CLOCK, CLOCK[::-1]):
            return self._clock(meter, value)
        return None

    def _month(self, meter: Meter, di: bytes) -> int:
        """D120 to D12B: one to twelve months ago."""
        high, low = di if meter.di_order != "1F90" else di[::-1]
        return low - 0x1F if high == 0xD1 and 0x20 <= low <= 0x2B else 0

    def _valve(self, meter: Meter, value: bytes) -> bytes | None:
        if value not in (bytes([OPEN]), bytes([CLOSE])):
            meter.refuse(f"valve {value.hex()}", "refused: unknown command")
            return None
        opening = value[0] == OPEN
        result = meter.switch(close=opening)
        meter.command("open valve" if opening else "close valve", result)
        return status(meter)

    def _clock(self, meter: Meter, value: bytes) -> bytes | None:
        try:
            text = value[:5].hex() + value[:4:-1].hex()
            meter.set_clock(datetime.strptime(text, "%S%M%H%d%m%Y"))  # noqa: DTZ007 - local time
        except ValueError:
            return None
        return status(meter)
