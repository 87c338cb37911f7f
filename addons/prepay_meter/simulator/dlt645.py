"""The DL/T 645-2007 side of a simulated prepaid meter."""

from datetime import datetime

from .bus import Answer, Bus
from .meter import Meter

START, END, SHIFT = 0x68, 0x16, 0x33
READ, READ_ADDRESS, RELAY = 0x11, 0x13, 0x1C
OTHER_ERROR, NO_SUCH_DATA, NOT_AUTHORISED = 0x01, 0x02, 0x04
ANY = 0xAA


def digits(value: int, size: int) -> bytes:
    """Decimal digits packed two to a byte, low byte first; what does not fit is cut off."""
    text = f"{value:0{2 * size}d}"[-2 * size :]
    return bytes(int(text[i : i + 2], 16) for i in range(2 * size - 2, -2, -2))


def frame(address: str, control: int, data: bytes) -> bytes:
    body = bytearray([START])
    body += digits(int(address), 6)
    body += bytes([START, control, len(data)])
    body += bytes((byte + SHIFT) % 256 for byte in data)
    return bytes(body) + bytes([sum(body) % 256, END])


def status_word_3(meter: Meter) -> int:
    """DL/T 645-2007 appendix C, status word 3: b4 relay open, b6 command open, b7 alarm,
    b12 keep-power."""
    return (
        (not meter.relay_closed) << 4
        | (not meter.commanded_closed) << 6
        | meter.alarm << 7
        | meter.keep_power << 12
    )


def energy(meter: Meter, register: int) -> bytes:
    """Register 0 is the total, 1 to 4 are the rates; XXXXXX.XX kWh."""
    return digits(meter.registers_mwh()[register] // 10_000, 4)


def block(meter: Meter) -> bytes:
    return b"".join(energy(meter, register) for register in range(5))


def date(meter: Meter) -> bytes:
    at = meter.clock()
    weekday = at.isoweekday() % 7  # Sunday is 0
    return bytes.fromhex(f"{weekday:02d}{at:%d%m%y}")


def power(meter: Meter) -> bytes:
    return digits(meter.power_w * 10, 3)


DATA = {
    # data identifier: (bytes of the value)
    **{0x00000000 + (n << 8): lambda meter, n=n: energy(meter, n) for n in range(5)},
    **{0x00010000 + (n << 8): lambda meter, n=n: energy(meter, n) for n in range(5)},
    0x0000FF00: block,
    0x0001FF00: block,
    0x00020000: lambda meter: digits(0, 4),
    0x02010100: lambda meter: digits(meter.voltage_mv // 100, 2),
    0x02020100: lambda meter: digits(meter.current_ma, 3),
    0x02030000: power,
    0x02030100: power,
    0x02060000: lambda meter: digits(meter.power_factor_milli, 2),
    0x02800002: lambda meter: digits(5000, 2),
    0x04000101: date,
    0x04000102: lambda meter: bytes.fromhex(f"{meter.clock():%S%M%H}"),
    0x04000401: lambda meter: digits(int(meter.address), 6),
    0x04000402: lambda meter: digits(int(meter.address), 6),
    0x04000503: lambda meter: status_word_3(meter).to_bytes(2, "little"),
}


def _set_alarm(meter: Meter, on: bool) -> str:
    meter.alarm = on
    return "done"


COMMANDS = {
    # N1: (name, what it does)
    0x1A: ("trip", lambda meter: meter.switch(close=False)),
    0x1B: ("close allowed", Meter.allow_close),
    0x1C: ("close", lambda meter: meter.switch(close=True)),
    0x2A: ("alarm", lambda meter: _set_alarm(meter, True)),
    0x2B: ("alarm off", lambda meter: _set_alarm(meter, False)),
    0x3A: ("keep power", lambda meter: meter.set_keep_power(True)),
    0x3B: ("keep power off", lambda meter: meter.set_keep_power(False)),
}


class Dlt645Bus(Bus):
    """Meters of DL/T 645 on one line."""

    def take_request(self, buffer: bytearray) -> bytes | None:
        while buffer:
            if buffer[0] == START:
                if len(buffer) < 12:
                    return None
                end = 12 + buffer[9]
                if buffer[7] == START and end <= 212:
                    if len(buffer) < end:
                        return None
                    sent = bytes(buffer[:end])
                    if sent[-1] == END and sum(sent[:-2]) % 256 == sent[-2]:
                        del buffer[:end]
                        return sent
            del buffer[0]
        return None

    def answer(self, request: bytes) -> list[Answer]:
        wanted, control = request[1:7], request[8]
        data = bytes((byte - SHIFT) % 256 for byte in request[10:-2])
        if control & 0x80 or wanted == b"\x99" * 6:
            return []  # an answer of somebody, or a broadcast, which gets none
        answers = []
        for meter in self.meters.values():
            address = digits(int(meter.address), 6)
            if all(want in (have, ANY) for want, have in zip(wanted, address, strict=True)):
                answers += self._of_meter(meter, wanted == address, control, data)
        if len(answers) > 1:
            # Several meters talk at once: on the line a 0 wins over a 1.
            mixed = bytes(a & b for a, b in zip(answers[0].raw, answers[1].raw, strict=False))
            return [Answer(mixed)]
        return answers

    def _of_meter(self, meter: Meter, named: bool, control: int, data: bytes) -> list[Answer]:
        writing = control not in (READ, READ_ADDRESS)
        if (writing and not named) or self.silence(meter, writing):
            return []
        commanded = False
        if meter.faults.exception:
            error, value = meter.faults.exception, b""
        elif control == READ:
            error, value = self._read(meter, data)
        elif control == READ_ADDRESS:
            error, value = 0, digits(int(meter.address), 6)
        elif control == RELAY:
            error, value = self._relay(meter, data), b""
            commanded = not error
        else:
            error, value = OTHER_ERROR, b""

        def encode(other: bool) -> bytes:
            address = f"{(int(meter.address) + 1) % 10**12:012d}" if other else meter.address
            reply = control | (0xC0 if error else 0x80)
            return b"\xfe" * meter.preamble + frame(
                address, reply, bytes([error]) if error else value
            )

        return list(self.on_wire(meter, commanded, encode, checksum=-2))

    def _read(self, meter: Meter, data: bytes) -> tuple[int, bytes]:
        value = DATA.get(int.from_bytes(data[:4], "little")) if len(data) == 4 else None
        return (0, data + value(meter)) if value else (NO_SUCH_DATA, b"")

    def _relay(self, meter: Meter, data: bytes) -> int:
        """Obey a relay command (control 1C); the error byte, 0 when obeyed."""
        if len(data) != 16 or data[8] not in COMMANDS:
            meter.record(f"relay command {data.hex()}", "refused: unknown command")
            return OTHER_ERROR
        name, obey = COMMANDS[data[8]]
        if data[:4] != meter.password:
            meter.record(name, "refused: wrong password")
            return NOT_AUTHORISED
        if any(data[10:]) and not self._still_valid(meter, data[10:]):
            meter.record(name, "refused: valid-until has passed")
            return OTHER_ERROR
        self.after_command(meter, name, obey(meter))
        return 0

    def _still_valid(self, meter: Meter, limit: bytes) -> bool:
        try:
            until = datetime.strptime(limit.hex(), "%S%M%H%d%m%y")  # noqa: DTZ007 - local time
        except ValueError:
            return False
        return meter.clock() <= until
