"""What simulated gateways and meters say over MQTT, in three forms.

Acrel's forms are as far as they are published; the overseas form's readings and relay command are
not, and here have the domestic names.
"""

import asyncio
import contextlib
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from .meter import CHINA, Meter

if TYPE_CHECKING:
    from .mqtt import MqttGateway

Publication = tuple[str, dict]
Row = tuple[datetime, Meter, dict]
ADF_CLOSED, ADF_OPEN, ADF_MOVING = 57583, 488, 232
KEPT_ANSWERS = 200


class Form:
    """One way of speaking; made anew for each link."""

    def __init__(self, gateway: "MqttGateway") -> None:
        self.gateway = gateway
        self.number = int(time.time() * 10) % 10**8
        self._waiting: dict[Any, asyncio.Future] = {}

    def topics(self) -> list[str]:
        """Topics to subscribe to."""
        raise NotImplementedError

    async def introduce(self) -> None:
        """Say who it is; returns when readings may be sent."""

    def heard(self, topic: str, document: dict) -> None:
        """A message of the server."""
        raise NotImplementedError

    def values(self, meter: Meter) -> dict:
        """Present values of a meter."""
        raise NotImplementedError

    def readings(self, rows: list[Row], late: bool = False) -> list[Publication]:
        """Messages for readings; `late` when they were kept."""
        raise NotImplementedError

    def heartbeat(self) -> list[Publication]:
        return []

    def next_number(self) -> int:
        self.number += 1
        return self.number

    async def ask(self, key: Any, make: Any) -> dict:
        """The answer filed under `key`; what `make()` gives is sent until it comes."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting[key] = answer
        while True:
            self.gateway.publish(make())
            with contextlib.suppress(asyncio.TimeoutError):
                retry = float(self.gateway.retry_s)
                return await asyncio.wait_for(asyncio.shield(answer), retry)

    def answered(self, key: Any, document: dict) -> None:
        answer = self._waiting.pop(key, None)
        if answer is not None and not answer.done():
            answer.set_result(document)

    def set_clocks(self, to: datetime) -> None:
        for meter in self.gateway.meters.values():
            meter.set_clock(to)

    def refused(self, meter: Meter | None) -> str:
        """Why a command is refused; nothing when it is obeyed."""
        if meter is None:
            return "unknown meter"
        return "device error" if meter.faults.exception else ""

    def switch(self, meter: Meter, on: bool) -> None:
        """Obey a relay command, as a meter whose supply the platform rules."""
        meter.advance()
        meter.writes += 1
        meter.force_control, meter.force_open = 1, int(not on)
        meter.command("close" if on else "trip", meter.switch(close=on))

    def hears(self, meter: Meter | None) -> bool:
        """Whether the meter takes a command at all."""
        return meter is None or (
            not meter.faults.silent and meter.dice.randrange(1000) >= meter.faults.loss_permille
        )

    def delay(self, meter: Meter | None) -> int:
        """Milliseconds until an answer goes out."""
        if meter is None:
            return self.gateway.delay_ms
        return self.gateway.delay_ms + meter.faults.late_ms + meter.faults.slow_ms


def _epoch(meter: Meter | None, at: datetime) -> int:
    """Device time in seconds since 1970 for real time `at`, with the clock error of the meter."""
    return int((at + _error(meter)).timestamp())


def _error(meter: Meter | None) -> timedelta:
    if meter is None:
        return timedelta(0)
    return meter.clock() - datetime.now(CHINA).replace(tzinfo=None)


def _kilo(value: int, digits: int = 3) -> float:
    return round(value / 1000, digits)


class AcrelForm(Form):
    """Acrel's domestic form: no readings before login, time and topology are answered."""

    def _topic(self, kind: str) -> str:
        return f"{kind}/{self.gateway.product}/{self.gateway.serial}"

    def topics(self) -> list[str]:
        return [self._topic("sys/server"), self._topic("indicate/server")]

    def _document(self, method: str, **more: Any) -> dict:
        return {
            self.gateway.msgid_key: self.next_number(),
            "method": method,
            "sn": self.gateway.serial,
            "timestamp": int(time.time()),
            **more,
        }

    async def introduce(self) -> None:
        gateway = self.gateway
        payload = {
            "compress": "0",
            "encrypt": "0",
            "upInterval": int(gateway.interval_s) or 1,
            "devname": "awt100_4g",
            "softcode": "1968",
            "softversion": "1011",
            "network": "4G",
            "rssi": 26,
            "imei": "866123456789012",
            "ccid": "898604282219C0423610",
        }
        up = self._topic("sys/dev")
        await self.ask("login", lambda: (up, self._document("login", payload=payload)))
        sent = int(time.time())
        answer = await self.ask("time", lambda: (up, self._document("time", devicesend=sent)))
        self._set_clocks(answer)
        meters = {
            "meters": [
                {"addr": self._name(each), "meterName": gateway.model, "portid": 1}
                for each in gateway.meters.values()
            ]
        }
        await self.ask("topology", lambda: (up, self._document("topology", payload=meters)))

    def _set_clocks(self, answer: dict) -> None:
        with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError):
            hours = int(answer["timezone"])
            minutes = int(answer["timezoneMin"])
            zone = timezone(timedelta(hours=hours, minutes=minutes if hours >= 0 else -minutes))
            at = datetime.fromtimestamp(int(answer["serversend"]), zone)
            self.set_clocks(at.replace(tzinfo=None))

    def heard(self, topic: str, document: dict) -> None:
        method = document.get("method")
        if topic == self._topic("sys/server"):
            if method == "time" or document.get("res") == 1:
                self.answered(method, document)
        elif method == "operate":
            payload = document.get("payload")
            self._operate(document, payload if isinstance(payload, dict) else {})

    def _name(self, meter: Meter) -> str:
        return meter.number or meter.address

    def _operate(self, document: dict, payload: dict) -> None:
        name = str(payload.get("addr", ""))
        meter = self.gateway.find(name)
        if meter is None and name == self.gateway.serial and len(self.gateway.meters) == 1:
            meter = next(iter(self.gateway.meters.values()))
        if not self.hears(meter):
            return
        method, error = payload.get("method"), self.refused(meter)
        if method == "FORCESWITCH" and not error:
            wanted = payload.get("ForceSwitch")
            if wanted not in (0, 1) or payload.get("do1") != wanted:
                error = "ForceSwitch"
            else:
                self.switch(meter, on=bool(wanted))
        elif method != "REFRESH" and not error:
            error = "method"
        if method == "FORCESWITCH" and meter is not None and meter.faults.no_ack:
            return
        spelled = next((key for key in ("msgid", "msgId", "MsgID") if key in document), None)
        answer = {
            self.gateway.msgid_key: document.get(spelled),
            "res": 0 if error else 1,
            "sn": self.gateway.serial,
            "method": "operate",
            "timestamp": int(time.time()),
        }
        if error:
            answer["errcode"] = "503"
        self.gateway.publish((self._topic("indicate/dev"), answer), self.delay(meter))
        if method == "REFRESH" and not error:
            self.gateway._spawn(self._refresh(meter))

    async def _refresh(self, meter: Meter) -> None:
        await asyncio.sleep(self.delay(meter) / 1000 + 0.01)
        self.gateway.report_meter(meter)

    def values(self, meter: Meter) -> dict:
        fields: dict[str, Any] = {"state": 1, "rssi": 26}
        if meter.medium == "water":
            fields["EPI"] = _kilo(meter.registers_mwh()[0] // 1000)
        else:
            names = "abc"[: meter.phases]
            for phase, name in enumerate(names):
                fields[f"U{name}"] = _kilo(meter.phase_voltage_mv(phase), 1)
                fields[f"I{name}"] = _kilo(meter.phase_current_ma(phase), 2)
            fields |= {
                "P": _kilo(meter.power_w),
                "Q": _kilo(meter.reactive_var),
                "PF": _kilo(meter.power_factor_milli),
                "F": 50.0,
                "EPI": round(meter.registers_mwh()[0] // 10_000 / 100, 2),
            }
        if meter.prepaid:
            fields["Balance"] = meter.credit.remaining / 100
            fields["OweMoney"] = meter.credit.overdrawn / 100
        if self.gateway.switch_sta:
            fields["SwitchSta"] = int(meter.relay_closed)
        moving = meter.valve in ("opening", "closing")
        closed = ADF_CLOSED if meter.relay_closed else ADF_OPEN
        fields["AdfState1"] = ADF_MOVING if moving else closed
        return fields

    def readings(self, rows: list[Row], late: bool = False) -> list[Publication]:
        topic, found = self._topic("data/up"), []
        for at, meter, fields in rows:
            document = self._document("update", reported=fields)
            document["timestamp"] = _epoch(meter, at)
            own = len(self.gateway.meters) == 1
            if own and self._name(meter) in (self.gateway.serial, meter.address):
                document["sn"] = self.gateway.serial
            else:
                document["reported"] = {self._name(meter): fields}
            found += [(topic, document)] * (1 + meter.faults.repeats)
        return found


class OverseasForm(AcrelForm):
    """Acrel's overseas form; `/gw/acrelHW/{product}/{command}/{serial}`."""

    def _up(self, command: str) -> str:
        return f"/gw/acrelHW/{self.gateway.product}/{command}/{self.gateway.serial}"

    def topics(self) -> list[str]:
        base = f"/server/acrelHW/{self.gateway.product}"
        return [f"{base}/+/{self.gateway.serial}"]

    def _now(self) -> str:
        return datetime.now(CHINA).strftime("%Y%m%d%H%M%S")

    async def introduce(self) -> None:
        gateway = self.gateway
        login = {
            "ver": 1011,
            "rssi": 48,
            "code": 1968,
            "ccid": "898604282219C0423610",
            "imei": "866123456789012",
            "verpro": 0,
            "gwSN": gateway.serial,
            "type": "login",
            "iapVer": 0,
        }
        await self.ask("login", lambda: (self._up("login"), {**login, "time": self._now()}))
        await asyncio.sleep(float(gateway.time_after_s))
        asked = {"type": "time", "gwSN": gateway.serial}
        answer = await self.ask("time", lambda: (self._up("time"), {**asked, "time": self._now()}))
        with contextlib.suppress(KeyError, TypeError, ValueError):
            self.set_clocks(datetime.strptime(answer["time"], "%Y%m%d%H%M%S"))  # noqa: DTZ007
        for meter in gateway.meters.values():
            para = {
                "type": "para",
                "gwSN": gateway.serial,
                "meterSN": self._name(meter),
                "meterName": gateway.model,
                "time": self._now(),
                "upInterval": str(max(1, int(gateway.interval_s) // 60)),
            }
            gateway.publish((self._up("para"), para))

    def heard(self, topic: str, document: dict) -> None:
        command = topic.split("/")[-2]
        if command in ("login", "time") and document.get("res", 1) == 1:
            self.answered(command, document)
        elif command == "control":
            self._control(document)

    def _control(self, document: dict) -> None:
        name = document.get("meterSN", "")
        meter = self.gateway.find(name)
        if not self.hears(meter):
            return
        error, wanted = self.refused(meter), document.get("ForceSwitch")
        if not error and wanted not in (0, 1):
            error = "ForceSwitch"
        if not error:
            self.switch(meter, on=bool(wanted))
            if meter.faults.no_ack:
                return
        answer = {"type": "control", "meterSN": name, "res": 0 if error else 1}
        if "msgid" in document:
            answer["msgid"] = document["msgid"]
        if error:
            answer["errcode"] = "503"
        self.gateway.publish((self._up("control"), answer), self.delay(meter))
        if not error:
            self.gateway._spawn(self._refresh(meter))

    def heartbeat(self) -> list[Publication]:
        beat = {"type": "heart", "gwSN": self.gateway.serial, "time": self._now()}
        return [(self._up("heart"), beat)]

    def readings(self, rows: list[Row], late: bool = False) -> list[Publication]:
        command, found = "hstdata" if late else "data", []
        for at, meter, fields in rows:
            document = {
                "type": command,
                "gwSN": self.gateway.serial,
                "meterSN": self._name(meter),
                "meterName": self.gateway.model,
                "time": (at.astimezone(CHINA) + _error(meter)).strftime("%Y%m%d%H%M%S"),
                "data": fields,
            }
            found += [(self._up(command), document)] * (1 + meter.faults.repeats)
        return found


class JsonForm(Form):
    """Our own form, `prepay/v1/{gateway}/up`, `down` and `result`; docs/mqtt.md."""

    def _topic(self, kind: str) -> str:
        return f"prepay/v1/{self.gateway.serial}/{kind}"

    def topics(self) -> list[str]:
        return [self._topic("down")]

    def values(self, meter: Meter) -> dict:
        shown = [value // 1000 for value in meter.registers_mwh()]
        found: dict[str, Any] = {}
        if meter.medium == "water":
            found["volume"] = shown[0]
        else:
            names = ("energy", "energy_sharp", "energy_peak", "energy_flat", "energy_valley")
            found |= dict(zip(names, shown, strict=True))
            found |= {"power": meter.power_w, "reactive": meter.reactive_var}
            found |= {"power_factor": meter.power_factor_milli, "frequency": 50_000}
            if meter.phases == 1:
                found |= {"voltage": meter.voltage_mv, "current": meter.current_ma}
            for phase, name in enumerate("abc" if meter.phases == 3 else ""):
                found[f"voltage_{name}"] = meter.phase_voltage_mv(phase)
                found[f"current_{name}"] = meter.phase_current_ma(phase)
                found[f"power_{name}"] = meter.phase_power_w(phase)
        if meter.prepaid:
            credit = meter.credit
            found |= {"remaining": credit.remaining, "overdraft": credit.overdrawn}
            found["purchase_count"] = credit.purchases
        if meter.valve in ("open", "closed") or meter.medium == "electricity":
            found["relay"] = "closed" if meter.relay_closed else "open"
        if meter.medium == "water":
            found["battery_low"] = meter.faults.low_battery
        return found

    def readings(self, rows: list[Row], late: bool = False) -> list[Publication]:
        items = []
        for at, meter, values in rows:
            told = (at.astimezone(CHINA) + _error(meter)).isoformat(timespec="seconds")
            item = {"meter": meter.number or meter.address, "time": told, "values": values}
            items += [item] * (1 + meter.faults.repeats)
        if not items:
            return []
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return [(self._topic("up"), {"time": now, "msgid": self.next_number(), "readings": items})]

    def heartbeat(self) -> list[Publication]:
        return [(self._topic("up"), {"msgid": self.next_number()})]

    def heard(self, topic: str, document: dict) -> None:
        number = document.get("id")
        if number is None:
            return
        meter = self.gateway.find(document.get("meter", ""))
        if not self.hears(meter):
            return
        done = self.gateway.done
        if str(number) in done:  # a repeat is answered and not obeyed again
            self.gateway.publish((self._topic("result"), done[str(number)]))
            return
        error = self.refused(meter) or self._expired(document) or self._obey(meter, document)
        result = {"id": number, "result": "refused" if error else "taken"}
        if error:
            result["error"] = error
        done[str(number)] = result
        while len(done) > KEPT_ANSWERS:
            done.popitem(last=False)
        relay = document.get("command") == "relay"
        if not (relay and not error and meter.faults.no_ack):
            self.gateway.publish((self._topic("result"), result), self.delay(meter))
        if not error:
            self.gateway._spawn(self._report(meter, moved=relay))

    def _expired(self, document: dict) -> str:
        if document.get("expires") is None:
            return ""
        try:
            text = str(document["expires"]).replace("Z", "+00:00")
            until = datetime.fromisoformat(text)
        except ValueError:
            return "unusable expiry"
        if until.tzinfo is None:
            return "unusable expiry"
        return "expired" if until < datetime.now(timezone.utc) else ""

    def _obey(self, meter: Meter, document: dict) -> str:
        """Do it; the error when it cannot be done."""
        command, target = document.get("command"), document.get("target")
        if command == "read":
            return ""
        if command != "relay" or target not in ("open", "closed"):
            return "unknown command"
        self.switch(meter, on=target == "closed")
        return ""

    async def _report(self, meter: Meter, moved: bool) -> None:
        """Readings behind an obeyed command: at once, and when the relay has arrived."""
        await asyncio.sleep(self.delay(meter) / 1000 + 0.01)
        self.gateway.report_meter(meter)
        if moved and meter.relay_delay_ms:
            await asyncio.sleep(meter.relay_delay_ms / 1000)
            self.gateway.report_meter(meter)


FORMS: dict[str, type[Form]] = {
    "json": JsonForm,
    "acrel": AcrelForm,
    "acrel_overseas": OverseasForm,
}
