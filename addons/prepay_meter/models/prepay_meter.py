from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError
from odoo.fields import Domain
from odoo.sql_db import connection_info_for
from odoo.tools import split_every

from .. import lost
from ..big_integer import BigInteger
from .prepay_meter_command import CUT_VALIDITY
from .prepay_meter_state import RELAY_STATES

#: Minutes for which “Trace Frames” keeps the frames of a meter.
TRACE_MINUTES = 10
#: A change of one of these is announced to the collectors.
COLLECTOR_FIELDS = {
    "number",
    "profile_id",
    "gateway_id",
    "address",
    "active",
    "poll_minutes",
    "password",
    "trace_until",
    "overload_w",
    "verified_until",
    "malicious_step_w",
    "location_id",
}


class PrepayMeter(models.Model):
    """A meter with its desired relay state; the reported state is inherited from its state row.

    Whoever wants power on or off writes a wish with :meth:`_request_relay`; the collector carries it
    out, reads it back and reports. Nothing in this model talks to a device.
    """

    _name = "prepay.meter"
    _description = "Prepaid Meter"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    _inherits = {"prepay.meter.state": "state_id"}
    _rec_name = "number"
    _rec_names_search = ["number", "address", "location_id"]
    _order = "location_id, number"
    _check_company_auto = True
    _mail_post_access = "read"

    number = fields.Char(string="Meter Number", required=True, index="trigram", tracking=True)
    state_id = fields.Many2one(
        "prepay.meter.state", required=True, ondelete="restrict", readonly=True, copy=False
    )
    profile_id = fields.Many2one(
        "prepay.meter.profile", required=True, ondelete="restrict", index=True, tracking=True
    )
    medium = fields.Selection(related="profile_id.medium", store=True)
    protocol = fields.Selection(related="profile_id.protocol")
    gateway_id = fields.Many2one(
        "prepay.gateway", index=True, ondelete="restrict", check_company=True, tracking=True
    )
    address = fields.Char(
        required=True,
        tracking=True,
        help="Modbus: unit 1–247. DL/T 645: the twelve digits of the communication address. CJ/T 188: "
        "fourteen digits. MQTT: the serial number in the messages.",
    )
    location_id = fields.Many2one(
        "prepay.location",
        required=True,
        index=True,
        ondelete="restrict",
        check_company=True,
        tracking=True,
    )
    company_id = fields.Many2one(related="location_id.company_id", store=True, index=True)
    active = fields.Boolean(default=True)
    poll_minutes = fields.Float(
        string="Reading Interval (min)",
        default=lambda self: self.env.company.prepay_poll_minutes,
        digits=(8, 2),
        tracking=True,
    )
    password = fields.Char(
        groups="prepay_meter.group_admin",
        copy=False,
        help="Leave empty for the profile's password.",
    )
    trace_until = fields.Datetime(
        copy=False, help="Until then every frame to and from the meter is kept for the installer."
    )
    overload_w = fields.Integer(
        string="Overload Limit (W)",
        tracking=True,
        help="Power above this at two readings in a row is an overload; 0 for no limit.",
    )
    malicious_step_w = fields.Integer(
        string="Malicious Load Step (W)",
        tracking=True,
        help="A sudden rise by at least this power, of a resistive load, is a malicious load; 0 for no limit.",
    )
    verified_until = fields.Date(
        tracking=True,
        help="Last day of the legal verification (检定有效期). Readings after it are marked.",
    )
    is_protected = fields.Boolean(
        string="Guaranteed Supply",
        tracking=True,
        help="保电: the platform never cuts this meter by itself.",
    )
    protected_reason = fields.Char(tracking=True)
    desired_relay = fields.Selection(RELAY_STATES, readonly=True, copy=False, tracking=True)
    desired_epoch = fields.Integer(
        readonly=True, copy=False, help="Number of the newest wish; older ones never run."
    )
    desired_cause = fields.Selection(
        selection=lambda self: self._command_selection("cause"),
        string="Cause",
        readonly=True,
        copy=False,
    )
    command_ids = fields.One2many("prepay.meter.command", "meter_id", string="Relay Commands")
    parameter_ids = fields.One2many("prepay.meter.parameter", "meter_id", string="Parameters")
    credit_ids = fields.One2many("prepay.meter.credit", "meter_id", string="Credit in the Meter")
    hoarding_limit_fen = BigInteger(
        string="Hoarding Limit (fen)",
        aggregator=None,
        tracking=True,
        help="Most credit that may be held in the meter itself; 0 for no limit.",
    )
    credit_series = fields.Integer(
        default=1,
        readonly=True,
        copy=False,
        aggregator=None,
        help="Purchases are numbered within a series; an exchanged device begins a new one.",
    )
    credit_base = fields.Integer(
        string="First Purchase Count",
        readonly=True,
        copy=False,
        aggregator=None,
        help="Purchase count of the device when the series began.",
    )
    credit_locked = fields.Boolean(
        string="Read the Counter First",
        readonly=True,
        copy=False,
        help="No credit is sent until the purchase count was read and agrees with the list.",
    )
    command_state = fields.Selection(
        selection=lambda self: self._command_selection("state"),
        string="Command",
        compute="_compute_command_state",
    )
    event_ids = fields.One2many("prepay.meter.event", "meter_id", string="Events")
    hold_ids = fields.One2many("prepay.reading.hold", "meter_id", string="Held Readings")
    building_id = fields.Many2one(related="location_id.building_id")
    contact = fields.Selection(lost.CONTACT, string="Communication", compute="_compute_contact")
    lost = fields.Boolean(compute="_compute_contact", search="_search_lost")
    silent_for = fields.Char(
        compute="_compute_contact", help="How long the meter has not answered."
    )
    trace_left = fields.Char(string="Trace Ends In", compute="_compute_trace_left")
    frame_count = fields.Integer(
        string="Frames", compute="_compute_frame_count", groups="prepay_meter.group_admin"
    )
    command_count = fields.Integer(string="Commands", compute="_compute_command_count")
    open_event_count = fields.Integer(string="Open Events", compute="_compute_open_event_count")
    open_hold_count = fields.Integer(string="Held", compute="_compute_open_hold_count")
    supply = fields.Selection(
        [("on", "On"), ("off", "Off"), ("switching", "Switching"), ("unknown", "Unknown")],
        compute="_compute_supply",
        help="On or off only when the meter itself has reported it; unknown is shown as unknown.",
    )

    _number_unique = models.UniqueIndex(
        "(company_id, number)", "Another meter of this company has this number."
    )
    _address_unique = models.UniqueIndex(
        "(gateway_id, address) WHERE active AND gateway_id IS NOT NULL",
        "Another meter of this gateway has this address.",
    )
    _poll_range = models.Constraint(
        "CHECK (poll_minutes BETWEEN 0.02 AND 44640)",
        "The reading interval must lie between 0.02 minutes and 31 days.",
    )

    def _command_selection(self, name):
        field = self.env["prepay.meter.command"]._fields[name]
        return field._description_selection(self.env)

    @api.depends("command_ids.state")
    def _compute_command_state(self):
        newest = {}
        for command in self.env["prepay.meter.command"].search(
            [("meter_id", "in", self.ids)], order="epoch desc"
        ):
            newest.setdefault(command.meter_id, command.state)
        for meter in self:
            meter.command_state = newest.get(meter, False)

    @api.depends("gateway_id", "online", "last_seen", "company_id.prepay_meter_lost_hours")
    @api.depends_context("lang")
    def _compute_contact(self):
        now = fields.Datetime.now()
        for meter in self:
            meter.contact = lost.contact(meter, "meter")
            meter.lost = bool(meter.gateway_id) and meter.contact in ("lost", "never")
            silent = not meter.online and meter.last_seen
            meter.silent_for = silent and lost.duration(self.env, now - meter.last_seen)

    def _search_lost(self, operator, value):
        """Meters that a gateway should reach; one without a gateway is read by hand."""
        if operator != "in":
            return NotImplemented
        reached = Domain("gateway_id", "!=", False)
        result = Domain.FALSE
        for item in set(value):
            found = lost.domain(self.env, "meter", item)
            result |= (reached & found) if item else (~reached | found)
        return result

    @api.depends("trace_until")
    @api.depends_context("lang")
    def _compute_trace_left(self):
        now = fields.Datetime.now()
        for meter in self:
            left = meter.trace_until and (meter.trace_until - now).total_seconds()
            meter.trace_left = (
                f"{int(left) // 60}:{int(left) % 60:02d}" if left and left > 0 else False
            )

    def _compute_frame_count(self):
        groups = self.env["prepay.meter.frame"]._read_group(
            [("meter_id", "in", self.ids)], ["meter_id"], ["__count"]
        )
        counts = dict(groups)
        for meter in self:
            meter.frame_count = counts.get(meter, 0)

    @api.depends("command_ids")
    def _compute_command_count(self):
        groups = self.env["prepay.meter.command"]._read_group(
            [("meter_id", "in", self.ids)], ["meter_id"], ["__count"]
        )
        counts = dict(groups)
        for meter in self:
            meter.command_count = counts.get(meter, 0)

    def _compute_open_event_count(self):
        counts = dict(
            self.env["prepay.meter.event"]._read_group(
                [("meter_id", "in", self.ids), ("cleared_at", "=", False)],
                ["meter_id"],
                ["__count"],
            )
        )
        for meter in self:
            meter.open_event_count = counts.get(meter, 0)

    def _compute_open_hold_count(self):
        counts = dict(
            self.env["prepay.reading.hold"]._read_group(
                [("meter_id", "in", self.ids), ("state", "=", "held")], ["meter_id"], ["__count"]
            )
        )
        for meter in self:
            meter.open_hold_count = counts.get(meter, 0)

    @api.depends("relay_reported", "desired_relay", "command_state")
    def _compute_supply(self):
        for meter in self:
            if (
                meter.command_state in ("queued", "sent")
                and meter.desired_relay != meter.relay_reported
            ):
                meter.supply = "switching"
            else:
                meter.supply = {"closed": "on", "open": "off"}.get(meter.relay_reported, "unknown")

    @api.constrains("address", "profile_id")
    def _check_address(self):
        for meter in self:
            self._raise_bad_address(meter.number, meter.protocol, meter.address)

    @api.model
    def _raise_bad_address(self, number, protocol, address):
        """Raise ValidationError when a meter of the protocol cannot have the address."""
        remedy = self._address_remedy(protocol, address)
        if remedy:
            protocols = dict(self._fields["protocol"]._description_selection(self.env))
            raise ValidationError(
                self.env._(
                    "Meter %(meter)s: “%(address)s” is not an address of protocol %(protocol)s. %(remedy)s",
                    meter=number or "",
                    address=address,
                    protocol=protocols[protocol],
                    remedy=remedy,
                )
            )

    @api.model
    def _address_remedy(self, protocol, address):
        """What to enter instead of an address that the protocol does not know; empty when it is right."""
        if protocol == "modbus":
            valid = address.isdecimal() and 1 <= int(address) <= 247
            remedy = self.env._("Enter a unit number from 1 to 247.")
        elif protocol == "mqtt":
            valid = len(address) <= 64 and not set(address) & set("/+# ")
            remedy = self.env._("Enter the serial number as the messages carry it.")
        else:
            digits = {"dlt645": 12, "cjt188": 14}[protocol]
            valid = address.isdecimal() and len(address) == digits
            remedy = self.env._("Enter all %s digits, with leading zeros.", digits)
        return "" if valid and address.isascii() else remedy

    @api.model_create_multi
    def create(self, vals_list):
        meters = super().create(vals_list)
        if meters.gateway_id:
            meters.gateway_id._notify_collector()
        for meter, vals in zip(meters, vals_list):
            self.env["prepay.meter.parameter"]._follow(meter, vals)
        return meters

    def write(self, vals):
        gateways = self.gateway_id
        result = super().write(vals)
        gateways |= self.gateway_id
        if gateways and not COLLECTOR_FIELDS.isdisjoint(vals):
            gateways._notify_collector()
        self.env["prepay.meter.parameter"]._follow(self, vals)
        if "profile_id" in vals or "address" in vals:
            self.env["prepay.meter.parameter"]._judge_again(self)
        return result

    def unlink(self):
        states = self.state_id
        result = super().unlink()
        states.sudo().unlink()
        self.env["prepay.gateway"]._notify_collector()
        return result

    @api.ondelete(at_uninstall=False)
    def _unlink_except_with_readings(self):
        for meter in self:
            if self.env["prepay.reading"].search_count([("meter_id", "=", meter.id)], limit=1):
                raise UserError(
                    self.env._(
                        "Meter %s has readings and cannot be deleted. Archive it instead.",
                        meter.number,
                    )
                )

    def action_read_now(self):
        """Ask the collector to poll these meters at once (实时召测)."""
        self.check_access("read")
        if not self.env.user.has_group("prepay_meter.group_operator"):
            raise UserError(self.env._("Only operators may ask for a reading."))
        alone = self.filtered(
            lambda meter: not meter.gateway_id or not meter.gateway_id._is_served()
        )
        if alone:
            raise UserError(
                self.env._(
                    "No collector serves the gateway of meter %s. Start the collector process, "
                    "or wait for the scheduled poll.",
                    ", ".join(alone.mapped("number")),
                )
            )
        # A notification carries at most 8,000 bytes.
        for part in split_every(700, self.ids):
            self.env.cr.execute("SELECT pg_notify('prepay_read', %s)", [",".join(map(str, part))])
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success",
                "message": self.env._(
                    "Reading requested. The values appear here within seconds when the meter is online."
                ),
            },
        }

    def action_switch(self):
        """Open the dialogue that switches the relay or guarantees the supply."""
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_meter.prepay_meter_relay_wizard_action"
        )
        action["context"] = {"default_meter_ids": self.ids, **self.env.context}
        return action

    def action_set_parameters(self):
        """Open the dialogue that sets limits, alarms, plans and the clock."""
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_meter.prepay_meter_parameter_wizard_action"
        )
        action["context"] = {"default_meter_ids": self.ids}
        return action

    def action_lock_credit(self):
        """After a restore from a backup: send no credit before the purchase counts were read (C-08)."""
        if not self.env.user.has_group("prepay_meter.group_admin"):
            raise UserError(self.env._("Only administrators may do this."))
        self.credit_locked = True

    def action_probe(self):
        """Open the dialogue that reads the meter once and shows the raw frames."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_meter.prepay_meter_probe_wizard_action"
        )
        action["context"] = {
            "default_meter_id": self.id,
            "default_profile_id": self.profile_id.id,
        }
        return action

    def action_trace(self):
        """Have every frame to and from these meters kept for some minutes, and show them."""
        until = fields.Datetime.now() + timedelta(minutes=TRACE_MINUTES)
        self.write({"trace_until": until})
        return self.action_open_frames()

    def action_trace_stop(self):
        self.write({"trace_until": False})

    def action_open_frames(self):
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_meter.prepay_meter_frame_action"
        )
        action["domain"] = [("meter_id", "in", self.ids)]
        action["context"] = {}
        return action

    def action_open_commands(self):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_meter.prepay_meter_command_action"
        )
        action["domain"] = [("meter_id", "=", self.id)]
        return action

    def action_open_readings(self):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id("prepay_meter.prepay_reading_action")
        action["domain"] = [("meter_id", "=", self.id)]
        action["context"] = {}
        return action

    def action_open_events(self):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_meter.prepay_meter_event_action"
        )
        action["domain"] = [("meter_id", "=", self.id)]
        action["context"] = {"default_meter_id": self.id}
        return action

    def action_open_holds(self):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_meter.prepay_reading_hold_action"
        )
        action["domain"] = [("meter_id", "=", self.id)]
        return action

    def _request_relay(self, target, cause, reason, expires_at=None):
        """State the wish that the relays of these meters be ``target`` ("open" or "closed").

        One command row for each meter is written with the next epoch; the newest epoch wins and an
        older command can never run any more (S-07). The collectors are woken at commit. Openings expire
        after ten minutes, closings never: paid means power, as soon as the meter can be reached (S-06).

        :param str cause: a key of ``prepay.meter.command.cause``, a closed list
        :param str reason: plain words for the journal
        :return: the commands
        """
        if target == "open" and expires_at is None:
            expires_at = fields.Datetime.now() + timedelta(seconds=CUT_VALIDITY)
        # Most meters have the same number of wishes behind them: few writes for thousands.
        for epoch, meters in self.grouped("desired_epoch").items():
            meters.write(
                {
                    "desired_relay": target,
                    "desired_epoch": epoch + 1,
                    "desired_cause": cause,
                }
            )
        vals_list = [
            {
                "meter_id": meter.id,
                "target": target,
                "epoch": meter.desired_epoch,
                "cause": cause,
                "reason": reason,
                "expires_at": expires_at,
            }
            for meter in self
        ]
        commands = self.env["prepay.meter.command"].sudo().create(vals_list)
        self.env["prepay.meter.parameter"]._void_release(self)
        gateways = self.gateway_id
        if gateways:
            self.env.flush_all()
            self.env.cr.execute(
                "SELECT pg_notify('prepay_command', %s)", [",".join(map(str, gateways.ids))]
            )
        return commands

    def _label_code(self):
        """Text of the QR code on the meter: says which meter it is, and nothing that is secret."""
        self.ensure_one()
        return f"PREPAY:M:{self.company_id.id}:{self.number}"

    def _live_desired(self):
        """The wish that still holds: a cut that expired is no longer wished."""
        self.ensure_one()
        if self.desired_relay == "open" and self.command_state in (
            "expired",
            "superseded",
        ):
            return None
        return self.desired_relay or None

    @api.model
    def _collector_conninfo(self):
        """Connection keywords with which a collector reaches this database."""
        return connection_info_for(self.env.cr.dbname)[1]
