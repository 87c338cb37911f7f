"""The DL/T 645-2007 side of a simulated meter, with or without credit of its own."""

from collections.abc import Callable
from datetime import datetime

from .bus import Answer, Bus
from .credit import BAD_AMOUNT, BAD_NUMBER, DONE, HOARDING, REPEATED
from .meter import Meter

START, END, SHIFT = 0x68, 0x16, 0x33
SECURITY, BROADCAST_TIME = 0x03, 0x08
READ, READ_NEXT, READ_ADDRESS, WRITE, RELAY = 0x11, 0x12, 0x13, 0x14, 0x1C
OTHER_ERROR, NO_SUCH_DATA, NOT_AUTHORISED = 0x01, 0x02, 0x04
CREDIT_ERRORS = {BAD_NUMBER: 0x20, HOARDING: 0x40, BAD_AMOUNT: 0x01, REPEATED: 0x02}
"""Bits of the error word of security commands: b0 other, b1 taken before, b5 purchase number, b6
hoarding."""
OPEN_ACCOUNT, TOP_UP, CLEAR_BALANCE = 0x070101FF, 0x070102FF, 0x070103FF
MORE = 0x20
ANY = 0xAA
BROADCAST = b"\x99" * 6
CREDIT_SIZES = {"password": 4, "operator": 4, "amount": 4, "amount_bin": 4}
CREDIT_SIZES |= {"number": 4, "number_bin": 4}


def digits(value: int, size: int) -> bytes:
    """Decimal digits packed two to a byte, low byte first; what does not fit is cut off."""
    text = f"{value:0{2 * size}d}"[-2 * size :]
    return bytes(int(text[i : i + 2], 16) for i in range(2 * size - 2, -2, -2))


def number(raw: bytes) -> int:
    """The reverse of `digits`.

    :raises ValueError: no decimal digits
    """
    return int(raw[::-1].hex())


def frame(address: str, control: int, data: bytes) -> bytes:
    body = bytearray([START])
    body += digits(int(address), 6)
    body += bytes([START, control, len(data)])
    body += bytes((byte + SHIFT) % 256 for byte in data)
    return bytes(body) + bytes([sum(body) % 256, END])


# ---- what can be read


def status_words(meter: Meter) -> list[int]:
    """Status words 1 to 7. Word 1: b2 battery; word 3: b4 relay open, b6 command open, b7 alarm,
    b9 money meter, b12 keep-power, b15 account open."""
    word3 = (
        (not meter.relay_closed) << 4
        | (not meter.commanded_closed) << 6
        | _alarmed(meter) << 7
        | meter.prepaid << 9
        | meter.keep_power << 12
        | (meter.prepaid and meter.credit.opened) << 15
    )
    return [meter.faults.low_battery << 2, 0, word3, 0, 0, 0, 0]


def _alarmed(meter: Meter) -> bool:
    return meter.alarm or (meter.prepaid and meter.credit.balance < meter.credit.alarm1)


def energy(meter: Meter, register: int) -> bytes:
    """Register 0 is the total, 1 to 4 are the rates; XXXXXX.XX kWh."""
    return digits(meter.registers_mwh()[register] // 10_000, 4)


def combined(meter: Meter, register: int) -> bytes:
    """Forward plus reverse."""
    reverse = meter.reverse_wh * 1000 if register == 0 else 0
    return digits((meter.registers_mwh()[register] + reverse) // 10_000, 4)


def block(meter: Meter) -> bytes:
    return b"".join(energy(meter, register) for register in range(5))


def settlement(meter: Meter, month: int) -> bytes:
    """Total and rates at the end of the month `month` months ago (1 is the last)."""
    rates = meter.history[month - 1] if month <= len(meter.history) else (0, 0, 0, 0)
    return b"".join(digits(rate // 36 // 10**12, 4) for rate in (sum(rates), *rates))


def history(meter: Meter) -> bytes:
    """Now and at the last twelve month ends: 260 bytes, more than one frame carries."""
    return block(meter) + b"".join(settlement(meter, month) for month in range(1, 13))


def date(meter: Meter) -> bytes:
    at = meter.clock()
    weekday = at.isoweekday() % 7  # Sunday is 0
    return bytes.fromhex(f"{weekday:02d}{at:%d%m%y}")


def _money(of: Callable[[Meter], int]) -> Callable[[Meter], bytes | None]:
    """XXXXXX.XX yuan of a prepaid meter; others have no such data."""
    return lambda meter: digits(of(meter), 4) if meter.prepaid else None


def _last(name: str) -> Callable[[Meter], int]:
    return lambda meter: getattr(meter.credit.log[-1], name) if meter.credit.log else 0


def _phase(of: Callable[[Meter, int], int], phase: int, size: int) -> Callable[[Meter], bytes]:
    return lambda meter: digits(of(meter, phase), size)


DATA: dict[int, Callable[[Meter], bytes | None]] = {
    # data identifier: (bytes of the value, None when there is none)
    **{0x00000000 + (n << 8): lambda meter, n=n: combined(meter, n) for n in range(5)},
    **{0x00010000 + (n << 8): lambda meter, n=n: energy(meter, n) for n in range(5)},
    0x0000FF00: lambda meter: b"".join(combined(meter, n) for n in range(5)),
    0x0001FF00: block,
    0x0001FFFF: history,
    **{0x0001FF00 + n: lambda meter, n=n: settlement(meter, n) for n in range(1, 13)},
    0x00020000: lambda meter: digits(meter.reverse_wh // 10, 4),
    # Instantaneous values: total, then phases A, B, C
    0x02030000: lambda meter: digits(meter.power_w * 10, 3),
    0x02040000: lambda meter: digits(meter.reactive_var * 10, 3),
    0x02060000: lambda meter: digits(meter.power_factor_milli, 2),
    **{
        0x02010000 + (n + 1 << 8): _phase(lambda meter, n: meter.phase_voltage_mv(n) // 100, n, 2)
        for n in range(3)
    },
    **{0x02020000 + (n + 1 << 8): _phase(Meter.phase_current_ma, n, 3) for n in range(3)},
    **{
        0x02030000 + (n + 1 << 8): _phase(lambda meter, n: meter.phase_power_w(n) * 10, n, 3)
        for n in range(3)
    },
    **{
        0x02060000 + (n + 1 << 8): lambda meter: digits(meter.power_factor_milli, 2)
        for n in range(3)
    },
    0x02800002: lambda meter: digits(5000, 2),
    0x04000101: date,
    0x04000102: lambda meter: bytes.fromhex(f"{meter.clock():%S%M%H}"),
    0x04000401: lambda meter: digits(int(meter.address), 6),
    0x04000402: lambda meter: digits(int(meter.address), 6),
    **{
        0x04000501 + n: lambda meter, n=n: status_words(meter)[n].to_bytes(2, "little")
        for n in range(7)
    },
    0x040005FF: lambda meter: b"".join(word.to_bytes(2, "little") for word in status_words(meter)),
    0x04090B01: lambda meter: digits(meter.guard.max_power_w * 10, 3),
    # Credit
    0x00900200: _money(lambda meter: meter.credit.remaining),
    0x00900201: _money(lambda meter: meter.credit.overdrawn),
    0x03330201: lambda meter: digits(meter.credit.purchases, 2) if meter.prepaid else None,
    0x03330301: _money(_last("amount")),
    0x03330401: _money(_last("before")),
    0x03330501: _money(_last("after")),
    0x03330601: _money(lambda meter: meter.credit.cumulative),
    0x04001001: _money(lambda meter: meter.credit.alarm1),
    0x04001002: _money(lambda meter: meter.credit.alarm2),
    0x04001003: _money(lambda meter: meter.credit.overdraft_limit),
    0x04001004: _money(lambda meter: meter.credit.hoarding_limit),
    0x04001005: _money(lambda meter: meter.credit.cut_below),
    **{
        0x04050101 + n: lambda meter, n=n: (
            digits(meter.credit.prices[n], 4) if meter.prepaid else None
        )
        for n in range(4)
    },
    0x040501FF: lambda meter: (
        b"".join(digits(price, 4) for price in meter.credit.prices) if meter.prepaid else None
    ),
}

KEPT = {
    # data identifier: bytes; parameters that the meter only keeps
    0x04000108: 5,  # switch time of the two price sets
    0x04000306: 3,  # CT ratio
    0x04000307: 3,  # PT ratio
    0x04000F01: 4,  # alarm kWh 1
    0x04000F02: 4,  # alarm kWh 2
    0x04000F04: 4,  # overdraft kWh
    0x04010000: 42,  # day slots: 14 of hour, minute, rate
    0x04010001: 42,
}


def read(meter: Meter, di: int) -> bytes | None:
    """Bytes of the value, None when the meter has no such data."""
    if di in KEPT:
        return meter.store.get(di, bytes(KEPT[di]))
    return DATA[di](meter) if di in DATA else None


# ---- what can be written


def _put_date(meter: Meter, raw: bytes) -> None:
    day = datetime.strptime(raw[:0:-1].hex(), "%y%m%d")  # noqa: DTZ007 - local time
    meter.set_clock(datetime.combine(day.date(), meter.clock().time()))


def _put_time(meter: Meter, raw: bytes) -> None:
    time = datetime.strptime(raw[::-1].hex(), "%H%M%S")  # noqa: DTZ007 - local time
    meter.set_clock(datetime.combine(meter.clock().date(), time.time()))


def _put_price(rate: int) -> Callable[[Meter, bytes], None]:
    def put(meter: Meter, raw: bytes) -> None:
        meter.credit.prices[rate] = number(raw)

    return put


def _put_prices(meter: Meter, raw: bytes) -> None:
    meter.credit.prices = [number(raw[i : i + 4]) for i in range(0, 16, 4)]


def _put_limit(meter: Meter, raw: bytes) -> None:
    meter.guard.max_power_w = number(raw) // 10
    meter.guard.load_control = meter.guard.max_power_w > 0


def _put_credit(name: str) -> Callable[[Meter, bytes], None]:
    return lambda meter, raw: setattr(meter.credit, name, number(raw))


WRITES: dict[int, tuple[int, Callable[[Meter, bytes], None]]] = {
    # data identifier: (bytes, work); bad digits raise ValueError
    0x04000101: (4, _put_date),
    0x04000102: (3, _put_time),
    0x04001001: (4, _put_credit("alarm1")),
    0x04001002: (4, _put_credit("alarm2")),
    0x04001003: (4, _put_credit("overdraft_limit")),
    0x04001004: (4, _put_credit("hoarding_limit")),
    0x04001005: (4, _put_credit("cut_below")),
    **{0x04050101 + rate: (4, _put_price(rate)) for rate in range(4)},
    0x040501FF: (16, _put_prices),
    0x04090B01: (3, _put_limit),
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

    CHECKSUM = -2

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
        if control & 0x80:
            return []  # an answer of somebody
        if wanted == BROADCAST:
            self._hear(control, data)
            return []  # a broadcast gets none
        answers = []
        for meter in self.meters.values():
            address = digits(int(meter.address), 6)
            if all(want in (have, ANY) for want, have in zip(wanted, address, strict=True)):
                answers += self._of_meter(meter, wanted == address, request, control, data)
        if len({answer.raw for answer in answers}) > 1 and ANY in wanted:
            # Several meters talk at once: on the line a 0 wins over a 1.
            mixed = bytes(a & b for a, b in zip(answers[0].raw, answers[1].raw, strict=False))
            return [Answer(mixed)]
        return answers

    def value_of(self, raw: bytearray) -> range:
        start = raw.index(START)
        return range(start + 14, len(raw) - 2) if raw[start + 8] == READ | 0x80 else range(0)

    def seal(self, raw: bytearray) -> None:
        raw[-2] = sum(raw[raw.index(START) : -2]) % 256

    def _hear(self, control: int, data: bytes) -> None:
        """Broadcast time: second, minute, hour, day, month, year."""
        if control != BROADCAST_TIME or len(data) != 6:
            return
        try:
            to = datetime.strptime(data.hex(), "%S%M%H%d%m%y")  # noqa: DTZ007 - local time
        except ValueError:
            return
        for meter in self.meters.values():
            limit = meter.broadcast_limit_s
            if self.silence(meter, writing=True):
                continue
            if not limit or abs((to - meter.clock()).total_seconds()) <= limit:
                meter.set_clock(to)

    def _of_meter(
        self, meter: Meter, named: bool, request: bytes, control: int, data: bytes
    ) -> list[Answer]:
        writing = control not in (READ, READ_NEXT, READ_ADDRESS)
        if (writing and not named) or self.silence(meter, writing):
            return []
        before = meter.recorded
        reply, value = control | 0x80, b""
        if meter.faults.exception:
            size = meter.credit_error_bytes if control == SECURITY else 1
            reply, value = control | 0xC0, meter.faults.exception.to_bytes(size, "little")
        elif control == SECURITY:
            lost = meter.faults.lose_credit
            if lost == "before":
                return []
            error = self._credit(meter, data)
            if lost == "after":
                return []
            value = data[:4]
            if error:
                size = meter.credit_error_bytes
                reply, value = control | 0xC0, error.to_bytes(size, "little")
        else:
            found = self._obey(meter, control, data)
            if isinstance(found, int):
                reply, value = control | 0xC0, bytes([found])
            else:
                more, value = found
                reply |= MORE if more else 0

        def encode(other: bool) -> bytes:
            address = f"{(int(meter.address) + 1) % 10**12:012d}" if other else meter.address
            return b"\xfe" * meter.preamble + frame(address, reply, value)

        return list(self.on_wire(meter, request, meter.recorded > before, encode))

    def _obey(self, meter: Meter, control: int, data: bytes) -> int | tuple[bool, bytes]:
        """Error byte, or whether more follows and the data of the answer."""
        if control == READ:
            return self._read(meter, data)
        if control == READ_NEXT:
            return self._read_next(meter, data)
        if control == READ_ADDRESS:
            return False, digits(int(meter.address), 6)
        if control == WRITE:
            return self._write(meter, data) or (False, b"")
        if control == RELAY:
            return self._relay(meter, data) or (False, b"")
        return OTHER_ERROR

    def _read(self, meter: Meter, data: bytes) -> int | tuple[bool, bytes]:
        value = read(meter, int.from_bytes(data, "little")) if len(data) == 4 else None
        if value is None:
            return NO_SUCH_DATA
        limit = meter.frame_data - 4
        if len(value) <= limit:
            return False, data + value
        # What is read on is of this moment: it is kept, with room for the number of the frame.
        limit -= 1
        meter.store["more"] = (data, [value[i : i + limit] for i in range(0, len(value), limit)])
        return True, data + value[:limit]

    def _read_next(self, meter: Meter, data: bytes) -> int | tuple[bool, bytes]:
        asked, parts = meter.store.get("more", (b"", []))
        if len(data) != 5 or data[:4] != asked or not 1 <= data[4] < len(parts):
            return OTHER_ERROR
        return data[4] < len(parts) - 1, data[:4] + parts[data[4]] + data[4:]

    def _write(self, meter: Meter, data: bytes) -> int:
        """Write a parameter: identifier, level and password, operator, value."""
        if len(data) < 13:
            return OTHER_ERROR
        di, value = int.from_bytes(data[:4], "little"), data[12:]
        if data[4:8] != meter.password:
            return NOT_AUTHORISED
        size, put = WRITES.get(di, (KEPT.get(di), None))
        if size is None:
            return NO_SUCH_DATA
        if len(value) != size:
            return OTHER_ERROR
        if put is None:
            meter.store[di] = value
            return 0
        try:
            put(meter, value)
        except ValueError:
            return OTHER_ERROR
        return 0

    def _credit(self, meter: Meter, data: bytes) -> int:
        """Open the account, top up or clear the balance; the error word, 0 when done."""
        di, sizes = data[:4], [CREDIT_SIZES[field] for field in meter.credit_fields]
        command = int.from_bytes(di, "little")
        known = command in (OPEN_ACCOUNT, TOP_UP, CLEAR_BALANCE)
        # What lies behind the fields is a signature, which such a meter does not check.
        if not meter.prepaid or not known or len(data) < 4 + sum(sizes):
            meter.refuse(f"security command {data.hex()}", "refused: unknown command")
            return OTHER_ERROR
        fields, position = {}, 4
        for field, size in zip(meter.credit_fields, sizes, strict=True):
            fields[field] = data[position : position + size]
            position += size
        if fields.get("password", meter.password) != meter.password:
            meter.refuse("credit", "refused: wrong password")
            return NOT_AUTHORISED
        try:
            amount, count = _figure(fields, "amount"), _figure(fields, "number")
        except ValueError:
            meter.refuse("credit", BAD_AMOUNT)
            return CREDIT_ERRORS[BAD_AMOUNT]
        if command == CLEAR_BALANCE:
            meter.credit.set_balance(0)
            meter.record("clear balance", DONE)
            return 0
        result = meter.take_credit(amount, count)
        if result == DONE or (result == REPEATED and not meter.repeat_refused):
            return 0
        return CREDIT_ERRORS[result]

    def _relay(self, meter: Meter, data: bytes) -> int:
        """Obey a relay command (control 1C); the error byte, 0 when obeyed."""
        if len(data) != 16 or data[8] not in COMMANDS:
            meter.refuse(f"relay command {data.hex()}", "refused: unknown command")
            return OTHER_ERROR
        name, obey = COMMANDS[data[8]]
        if data[:4] != meter.password:
            meter.refuse(name, "refused: wrong password")
            return NOT_AUTHORISED
        if any(data[10:]) and not self._still_valid(meter, data[10:]):
            meter.refuse(name, "refused: valid-until has passed")
            return OTHER_ERROR
        meter.command(name, obey(meter))
        return 0

    def _still_valid(self, meter: Meter, limit: bytes) -> bool:
        try:
            until = datetime.strptime(limit.hex(), "%S%M%H%d%m%y")  # noqa: DTZ007 - local time
        except ValueError:
            return False
        return meter.clock() <= until


def _figure(fields: dict[str, bytes], name: str) -> int:
    """Amount in fen or purchase number, as decimal digits or binary; 0 when it is not sent."""
    if f"{name}_bin" in fields:
        return int.from_bytes(fields[f"{name}_bin"], "little")
    return number(fields.get(name, b"\x00"))
