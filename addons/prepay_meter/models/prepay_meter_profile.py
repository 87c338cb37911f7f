from odoo import api, fields, models

from .. import profile_file
from ..big_integer import BigInteger

RELAY_PROOFS = [
    ("status", "Status word of the meter"),
    ("control", "Control register reads back"),
    ("load", "Load follows the relay"),
    ("none", "None: sent, not confirmed"),
]


class PrepayMeterProfile(models.Model):
    """A meter type as data: what can be read where, how it is switched and how a switch is proven.

    Facts that a maker has not published are settings of this record, never constants of a driver.
    """

    _name = "prepay.meter.profile"
    _description = "Meter Profile"
    _order = "name"

    name = fields.Char(required=True, translate=True)
    code = fields.Char(required=True, copy=False)
    manufacturer = fields.Char()
    medium = fields.Selection(
        [("electricity", "Electricity"), ("water", "Water")], required=True, default="electricity"
    )
    protocol = fields.Selection(
        [
            ("modbus", "Modbus"),
            ("dlt645", "DL/T 645-2007"),
            ("cjt188", "CJ/T 188"),
            ("mqtt", "MQTT messages"),
        ],
        required=True,
        default="modbus",
    )
    read_function = fields.Selection(
        [("3", "03: holding registers"), ("4", "04: input registers")],
        default="3",
        help="Modbus function that reads the points.",
    )
    meter_type = fields.Char(
        default="10",
        help="CJ/T 188: type byte in hex. 10 cold water, 11 hot water, 12 drinking water, 13 reclaimed water.",
    )
    di_order = fields.Selection(
        [("high_first", "90 1F (text of 2004)"), ("low_first", "1F 90 (text of 2018)")],
        string="Identifier Order",
        default="high_first",
        help="CJ/T 188: order of the two bytes of a data identifier on the wire.",
    )
    active = fields.Boolean(default=True)
    point_ids = fields.One2many("prepay.meter.point", "profile_id", string="Points", copy=True)
    control_ids = fields.One2many(
        "prepay.meter.control", "profile_id", string="Controls", copy=True
    )
    modulus = BigInteger(
        string="Register Rolls Over At",
        help="Value in Wh or litres at which the total register starts again from zero; 0 when it never does.",
    )
    max_power_w = fields.Integer(
        string="Largest Plausible Power (W)",
        default=20000,
        help="A reading that would need more than 1.2 times this power is held, never billed.",
    )
    block_gap = fields.Integer(
        string="Skipped Registers per Read",
        help="Modbus: so many unused registers may lie inside one read. "
        "0 when the meter refuses reads across gaps.",
    )
    relay_proof = fields.Selection(
        RELAY_PROOFS,
        default="none",
        required=True,
        help="What the meter offers as proof that its relay moved. A status word is strong proof; a control "
        "register only shows that the command was stored; load evidence supports both.",
    )
    relay_settle_ms = fields.Integer(
        string="Relay Settling Time (ms)",
        default=300,
        help="Wait between the command and the first read-back.",
    )
    load_limit_w = fields.Integer(
        string="Load When Open (W)",
        default=5,
        help="More power than this while the relay is open contradicts an opening.",
    )
    password = fields.Char(
        string="Default Password",
        groups="prepay_meter.group_admin",
        help="DL/T 645: level and password as eight hex digits, such as 02000000.",
    )
    operator_code = fields.Char(
        groups="prepay_meter.group_admin",
        help="DL/T 645: eight hex digits.",
    )
    command_validity_s = fields.Integer(
        string="Command Valid For (s)",
        default=600,
        help="DL/T 645: the meter refuses a relay command after this time; 0 sends no limit.",
    )
    note = fields.Text(string="Notes", translate=True)
    meter_count = fields.Integer(compute="_compute_meter_count")
    can_do = fields.Char(
        string="Can Be Told To",
        compute="_compute_abilities",
        help="Actions the device carries out itself. What is missing here the platform does from readings.",
    )
    can_report = fields.Char(
        string="Reports", compute="_compute_abilities", help="Values that are read from the device."
    )

    _code_unique = models.Constraint("UNIQUE (code)", "Another meter profile has this code.")

    def _compute_meter_count(self):
        counts = dict(
            self.env["prepay.meter"]._read_group(
                [("profile_id", "in", self.ids)], ["profile_id"], ["__count"]
            )
        )
        for profile in self:
            profile.meter_count = counts.get(profile, 0)

    @api.depends("control_ids.action", "control_ids.writable", "point_ids.channel")
    @api.depends_context("lang")
    def _compute_abilities(self):
        for name, lines, key in (
            ("can_do", "control_ids", "action"),
            ("can_report", "point_ids", "channel"),
        ):
            model = self.env[self._fields[lines].comodel_name]
            labels = dict(model._fields[key]._description_selection(self.env))
            for profile in self:
                found = profile[lines]
                if name == "can_do":
                    found = found.filtered("writable")
                # Each once, in the order of the list.
                keys = dict.fromkeys(found.mapped(key))
                profile[name] = ", ".join(labels.get(item, "") for item in keys)

    @api.model_create_multi
    def create(self, vals_list):
        profiles = super().create(vals_list)
        self.env["prepay.gateway"]._notify_collector()
        return profiles

    def write(self, vals):
        result = super().write(vals)
        self.env["prepay.gateway"]._notify_collector()
        return result

    def _controls_changed(self):
        """Collectors load the profiles anew; who sets the parameters of their meters may change."""
        self.env["prepay.gateway"]._notify_collector()
        meters = self.env["prepay.meter"].sudo().search([("profile_id", "in", self.ids)])
        self.env["prepay.meter.parameter"]._judge_again(meters)

    def copy_data(self, default=None):
        data = super().copy_data(default)
        for profile, vals in zip(self, data):
            if "name" not in (default or {}):
                vals["name"] = self.env._("%s (copy)", profile.name)
            if not vals.get("code"):
                vals["code"] = self._free_code(profile.code)
        return data

    @api.model
    def _free_code(self, code):
        """The code with the smallest number behind it that no profile has, such as ADF300L-2."""
        pattern = code.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
        present = self.with_context(active_test=False).search([("code", "=like", f"{pattern}-%")])
        taken = set(present.mapped("code"))
        number = 2
        while f"{code}-{number}" in taken:
            number += 1
        return f"{code}-{number}"

    def action_export(self):
        """Download these profiles as one file."""
        self.check_access("read")
        name = self.code if len(self) == 1 else "meter-profiles"
        content = profile_file.dump(self).encode()
        return self.env["prepay.download"]._offer(f"{name}.json", content)

    def action_test(self):
        """Open the dialogue that tries the profile on a live meter."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_meter.prepay_meter_probe_wizard_action"
        )
        action["context"] = {"default_profile_id": self.id}
        return action

    def action_open_meters(self):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id("prepay_meter.prepay_meter_action")
        action["domain"] = [("profile_id", "=", self.id)]
        action["context"] = {"default_profile_id": self.id}
        return action
