from decimal import Decimal, InvalidOperation

from odoo import api, fields, models
from odoo.exceptions import ValidationError

ACTIONS = [
    ("open", "Open relay (cut)"),
    ("closed", "Close relay (restore)"),
    ("release", "Back to the meter's own control"),
    ("keep_power", "Guarantee the supply"),
    ("keep_power_off", "End the guarantee"),
    ("clock", "Clock"),
    ("alarm_1", "Alarm amount 1"),
    ("alarm_2", "Alarm amount 2"),
    ("overload", "Overload limit"),
    ("malicious", "Malicious load step"),
    ("time_control", "Time control"),
    ("tariff", "Tariff table"),
    ("credit", "Credit"),
]
#: Actions that always send the same.
FIXED = {"open", "closed", "release", "keep_power", "keep_power_off"}
NUMBERS = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "u64": 4, "i64": 4, "bcd": 0}
CLOCKS = {"clock_bcd": 0, "clock_binary": 4}
PLANS = {"day_plan": 26}
SLOTS = {"slots_hm": 0, "slots_mh": 0}
#: Encodings of an action with a value, with their registers (0: as many as the size says).
ENCODINGS = {
    "clock": CLOCKS,
    "time_control": PLANS,
    "tariff": SLOTS,
}
#: Actions for which a protocol has a frame here.
POSSIBLE = {
    "modbus": {action for action, _label in ACTIONS},
    "dlt645": {action for action, _label in ACTIONS} - {"time_control", "tariff"},
    "cjt188": {"open", "closed", "release"},
    "mqtt": {"open", "closed"},
}


class PrepayMeterControl(models.Model):
    """How one control action is sent to a meter type, and where its effect is read back."""

    _name = "prepay.meter.control"
    _description = "Meter Control"
    _order = "profile_id, id"
    _rec_name = "action"

    profile_id = fields.Many2one(
        "prepay.meter.profile", required=True, ondelete="cascade", index=True
    )
    protocol = fields.Selection(related="profile_id.protocol")
    action = fields.Selection(ACTIONS, required=True)
    address = fields.Char(
        help="Modbus: first register to write, in hex. DL/T 645 and CJ/T 188: data identifier to write; the clock "
        "of DL/T 645 has two, date and time, with a blank between them. Empty for relay commands of DL/T 645.",
    )
    payload = fields.Char(
        string="Fixed Data",
        help="What an action without a value sends. Modbus: register values in hex, separated by blanks, such as "
        "0001 0001. DL/T 645: the command byte N1, such as 1A. CJ/T 188: the data bytes, such as 55. MQTT: the "
        "value of the command.",
    )
    size = fields.Integer(
        help="Value: number of registers (Modbus) or of bytes (DL/T 645).",
    )
    encoding = fields.Selection(
        [
            ("u16", "16 bit unsigned"),
            ("i16", "16 bit signed"),
            ("u32", "32 bit unsigned"),
            ("i32", "32 bit signed"),
            ("u64", "64 bit unsigned"),
            ("i64", "64 bit signed"),
            ("bcd", "BCD, low byte first"),
            ("clock_bcd", "Date and time, BCD, low byte first"),
            ("clock_binary", "Date and time, binary words"),
            ("day_plan", "Time control: switch, work day, rest day, rest-day word"),
            ("slots_hm", "Slots of rate, hour, minute"),
            ("slots_mh", "Slots of rate, minute, hour"),
        ],
        help="Value: how it becomes bytes. Empty for an action that always sends the same.",
    )
    word_order = fields.Selection(
        [("high", "High word first"), ("low", "Low word first")],
        default="high",
        help="Modbus: order of the registers of a value of 32 or 64 bits.",
    )
    scale = fields.Char(
        default="1",
        help="Value: factor from the raw number to the base unit (W, fen), as in a point. "
        "A limit of 0.1 kW has 100.",
    )
    read_address = fields.Char(
        string="Read Back From",
        help="Register or data identifier that shows the effect; empty: the address that was written. "
        "One bit of a status word is written with a dot, such as 04000503.12 for bit 12.",
    )
    writable = fields.Boolean(
        string="May be Written",
        default=True,
        help="Off: only read, until the action was proven on a real meter of this type.",
    )
    hint = fields.Char(string="Remark")

    _action_unique = models.Constraint(
        "UNIQUE (profile_id, action)", "This action is already defined for the profile."
    )

    @api.constrains(
        "action", "address", "payload", "size", "encoding", "scale", "read_address", "profile_id"
    )
    def _check_control(self):
        for control in self:
            problem = control._problem()
            if problem:
                raise ValidationError(
                    self.env._(
                        "Profile %(profile)s, control “%(action)s”: %(problem)s",
                        profile=control.profile_id.name,
                        action=dict(self._fields["action"]._description_selection(self.env))[
                            control.action
                        ],
                        problem=problem,
                    )
                )

    def _problem(self):
        """What is wrong with this control, in words for the administrator; None when nothing is."""
        self.ensure_one()
        protocol = self.profile_id.protocol
        if self.action not in POSSIBLE[protocol]:
            return self.env._(
                "%s has no such command. Remove the line.",
                dict(self._fields["protocol"]._description_selection(self.env))[protocol],
            )
        return (
            self._address_problem(protocol)
            or (
                self._payload_problem(protocol)
                if self.action in FIXED
                else self._value_problem(protocol)
            )
            or self._read_problem(protocol)
        )

    def _address_problem(self, protocol):
        words = (self.address or "").split()
        digits = {"modbus": 4, "dlt645": 8, "cjt188": 4, "mqtt": 0}[protocol]
        wanted = 0 if protocol == "mqtt" or (protocol == "dlt645" and self.action in FIXED) else 1
        if protocol == "dlt645" and self.action == "clock":
            wanted = 2
        if len(words) != wanted:
            if wanted:
                return self.env._(
                    "it needs %s register or data identifier. Enter it in hexadecimal digits.",
                    wanted,
                )
            return self.env._("it needs no address. Leave the address empty.")
        for word in words:
            if not _is_hex(word, digits, exact=protocol != "modbus"):
                return self.env._(
                    "the address “%(text)s” is not a hexadecimal number of %(digits)s digits.",
                    text=word,
                    digits=digits,
                )
        return None

    def _payload_problem(self, protocol):
        words = (self.payload or "").split()
        if not words:
            return self.env._("the fixed data are missing. Enter what is sent, in hexadecimal.")
        digits = 4 if protocol == "modbus" else 2
        for word in words:
            if not _is_hex(word, digits):
                return self.env._(
                    "“%(text)s” is not a hexadecimal number of at most %(digits)s digits.",
                    text=word,
                    digits=digits,
                )
        limit = {"modbus": 123, "dlt645": 1, "cjt188": 47, "mqtt": 1}[protocol]
        if len(words) > limit:
            return self.env._("it sends %(count)s numbers, at most %(limit)s are possible.",
                              count=len(words), limit=limit)  # fmt: skip
        return None

    def _value_problem(self, protocol):
        possible = ENCODINGS.get(self.action, NUMBERS)
        if self.encoding not in possible:
            labels = dict(self._fields["encoding"]._description_selection(self.env))
            return self.env._(
                "choose how the value is encoded: %s.",
                ", ".join(labels[encoding] for encoding in possible),
            )
        if protocol == "dlt645" and self.encoding not in ("bcd", "clock_bcd") and not (
            self.action == "credit" and self.encoding == "u32"
        ):  # fmt: skip
            return self.env._("DL/T 645 carries decimal digits. Choose a BCD encoding.")
        registers = possible[self.encoding]
        if protocol == "modbus" and registers and self.size != registers:
            return self.env._(
                "this encoding takes %(right)s registers, not %(wrong)s. Correct the size.",
                right=registers,
                wrong=self.size,
            )
        if self.encoding in SLOTS and not (0 < self.size <= 123 and self.size * 2 % 3 == 0):
            return self.env._(
                "%s registers hold no whole number of slots of three bytes. Correct the size.",
                self.size,
            )
        if self.encoding == "bcd" and not 1 <= self.size <= 8:
            return self.env._("a BCD value has one to eight bytes. Correct the size.")
        try:
            valid = Decimal(self.scale or "") > 0
        except InvalidOperation:
            valid = False
        if not valid:
            return self.env._(
                "the scale “%s” is not a positive number. Enter for example 10 or 0.1.",
                self.scale or "",
            )
        return None

    def _read_problem(self, protocol):
        address, dot, bit = (self.read_address or "").partition(".")
        if not address and not dot:
            return None
        digits = {"modbus": 4, "dlt645": 8, "cjt188": 4, "mqtt": 0}[protocol]
        if not _is_hex(address, digits, exact=protocol != "modbus"):
            return self.env._(
                "the read-back address “%(text)s” is not a hexadecimal number of %(digits)s digits.",
                text=address,
                digits=digits,
            )
        if dot and not (bit.isdecimal() and int(bit) < 16):
            return self.env._("“%s” is not the number of a bit from 0 to 15.", bit)
        if dot and self.action not in FIXED:
            return self.env._("one bit shows no value. Enter the address without a dot.")
        return None

    @api.model_create_multi
    def create(self, vals_list):
        controls = super().create(vals_list)
        controls.profile_id._controls_changed()
        return controls

    def write(self, vals):
        result = super().write(vals)
        self.profile_id._controls_changed()
        return result

    def unlink(self):
        profiles = self.profile_id
        result = super().unlink()
        profiles._controls_changed()
        return result


def _is_hex(text, digits, exact=False):
    """Whether ``text`` is a hexadecimal number of at most so many digits; 0x may stand before it."""
    bare = text[2:] if text[:2].lower() == "0x" and not exact else text
    if not bare.isascii() or not bare.isalnum() or (exact and len(bare) != digits):
        return False
    try:
        return 0 <= int(bare, 16) < 16**digits
    except ValueError:
        return False
