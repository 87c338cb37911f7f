from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError
from odoo.fields import Domain

from .. import lost

LINKS = [
    ("tcp_serial", "Transparent serial server over TCP (Modbus RTU, DL/T 645, CJ/T 188)"),
    ("tcp_modbus", "Modbus TCP"),
    ("dtu", "4G DTU that dials in"),
    ("acrel_4g", "4G meter that dials in (7B7B … 7D7D)"),
    ("mqtt", "MQTT"),
]


class PrepayGateway(models.Model):
    """A communication gateway (通讯管理机): one network link to one serial bus of meters."""

    _name = "prepay.gateway"
    _description = "Prepaid Gateway"
    _inherit = ["mail.thread"]
    _inherits = {"prepay.gateway.state": "state_id"}
    _order = "name"
    _check_company_auto = True

    name = fields.Char(required=True, tracking=True)
    state_id = fields.Many2one(
        "prepay.gateway.state", required=True, ondelete="restrict", readonly=True, copy=False
    )
    location_id = fields.Many2one(
        "prepay.location", required=True, index=True, check_company=True, tracking=True
    )
    company_id = fields.Many2one(related="location_id.company_id", store=True, index=True)
    link = fields.Selection(LINKS, required=True, default="tcp_serial", tracking=True)
    host = fields.Char(
        string="Address",
        tracking=True,
        help="IP address or host name of the gateway. Empty when the gateway dials in.",
    )
    port = fields.Integer(default=26, tracking=True)
    dial_in_id = fields.Char(
        string="Identity",
        tracking=True,
        index="btree_not_null",
        help="What the device says of itself when it connects: IMEI, ICCID or own text of a DTU, serial number "
        "of a 4G meter or MQTT gateway. Devices that are not listed are refused.",
    )
    registration = fields.Selection(
        [
            ("connect", "When it connects"),
            ("each", "Before each packet"),
            ("both", "When it connects and before each packet"),
        ],
        default="connect",
        help="When a DTU sends its identity.",
    )
    registration_hex = fields.Boolean(
        string="Identity in Hex",
        help="The identity above is hexadecimal: the DTU sends these bytes.",
    )
    heartbeat = fields.Char(
        help="What a DTU sends as a sign of life: text such as ping, or bytes as hex:00FF. It is removed."
    )
    heartbeat_s = fields.Integer(
        string="Heartbeat Interval (s)",
        default=60,
        help="A link without any byte for three times as long is dropped.",
    )
    mqtt_form = fields.Selection(
        [
            ("json", "Plain JSON (prepay/v1/…)"),
            ("acrel", "Acrel, domestic form"),
            ("acrel_overseas", "Acrel, overseas form"),
        ],
        string="Message Form",
        default="json",
    )
    product_key = fields.Char(help="MQTT: the product part of the device's topics.")
    timeout_ms = fields.Integer(
        string="Time-out (ms)",
        default=1000,
        help="Longest wait for an answer: 1 s at 9600 baud, 2 s at 2400, +3 s on 4G.",
    )
    inter_frame_ms = fields.Integer(
        string="Gap Between Frames (ms)",
        default=25,
        help="Silence kept on the bus before each request.",
    )
    active = fields.Boolean(default=True)
    meter_ids = fields.One2many("prepay.meter", "gateway_id", string="Meters")
    meter_count = fields.Integer(compute="_compute_meter_count")
    lost_meter_count = fields.Integer(string="Lost Meters", compute="_compute_meter_count")
    building_id = fields.Many2one(related="location_id.building_id")
    contact = fields.Selection(lost.CONTACT, string="Communication", compute="_compute_contact")
    lost = fields.Boolean(compute="_compute_contact", search="_search_lost")
    silent_for = fields.Char(
        compute="_compute_contact", help="How long the gateway has been offline."
    )
    served = fields.Boolean(string="Served by a Collector", compute="_compute_served")
    event_count = fields.Integer(string="Open Events", compute="_compute_event_count")

    _timeout_range = models.Constraint(
        "CHECK (timeout_ms BETWEEN 50 AND 60000)", "The time-out must lie between 50 and 60,000 ms."
    )
    _gap_range = models.Constraint(
        "CHECK (inter_frame_ms BETWEEN 0 AND 5000)",
        "The gap between frames must lie between 0 and 5,000 ms.",
    )
    _port_range = models.Constraint(
        "CHECK (link NOT IN ('tcp_serial', 'tcp_modbus') OR port BETWEEN 1 AND 65535)",
        "The port must lie between 1 and 65,535.",
    )
    _address_given = models.Constraint(
        "CHECK (CASE WHEN link IN ('tcp_serial', 'tcp_modbus') THEN host ELSE dial_in_id END IS NOT NULL)",
        "Enter the address of the gateway, or the identity of a device that dials in or speaks MQTT.",
    )
    _heartbeat_range = models.Constraint(
        "CHECK (heartbeat_s BETWEEN 1 AND 86400)",
        "The heartbeat interval must lie between 1 s and one day.",
    )
    _link_unique = models.UniqueIndex(
        "(company_id, host, port) WHERE active AND link IN ('tcp_serial', 'tcp_modbus')",
        "Another gateway of this company already uses this address and port.",
    )
    _identity_unique = models.UniqueIndex(
        "(link, dial_in_id) WHERE active AND dial_in_id IS NOT NULL",
        "Another gateway already has this identity.",
    )

    @api.depends("meter_ids")
    def _compute_meter_count(self):
        behind = Domain("gateway_id", "in", self.ids)
        for name, domain in (
            ("meter_count", behind),
            ("lost_meter_count", behind & Domain("lost", "=", True)),
        ):
            groups = self.env["prepay.meter"]._read_group(domain, ["gateway_id"], ["__count"])
            counts = dict(groups)
            for gateway in self:
                gateway[name] = counts.get(gateway, 0)

    @api.depends("online", "last_seen", "offline_since", "company_id.prepay_gateway_lost_minutes")
    @api.depends_context("lang")
    def _compute_contact(self):
        now = fields.Datetime.now()
        for gateway in self:
            gateway.contact = lost.contact(gateway, "gateway")
            gateway.lost = gateway.contact in ("lost", "never")
            since = gateway.offline_since or gateway.last_seen
            silent = not gateway.online and since
            gateway.silent_for = silent and lost.duration(self.env, now - since)

    def _search_lost(self, operator, value):
        if operator != "in":
            return NotImplemented
        return Domain.OR(lost.domain(self.env, "gateway", item) for item in set(value))

    @api.depends("lease_until")
    def _compute_served(self):
        for gateway in self:
            gateway.served = gateway._is_served()

    def _compute_event_count(self):
        counts = dict(
            self.env["prepay.meter.event"]._read_group(
                [("gateway_id", "in", self.ids), ("cleared_at", "=", False)],
                ["gateway_id"],
                ["__count"],
            )
        )
        for gateway in self:
            gateway.event_count = counts.get(gateway, 0)

    @api.constrains("link", "dial_in_id", "registration_hex", "product_key", "mqtt_form")
    def _check_identity(self):
        """An identity that no device can send would wait for ever."""
        for gateway in self:
            identity = gateway.dial_in_id or ""
            remedy = ""
            if gateway.link == "dtu" and gateway.registration_hex:
                try:
                    valid = 4 <= len(bytes.fromhex(identity)) <= 80
                except ValueError:
                    valid = False
                remedy = self.env._("Enter 4 to 80 bytes as pairs of hexadecimal digits.")
            elif gateway.link == "dtu":
                valid = 4 <= len(identity) <= 80 and identity.strip() == identity
                remedy = self.env._("Enter 4 to 80 letters or digits, as the DTU sends them.")
            elif gateway.link == "acrel_4g":
                valid = len(identity) <= 20 and " " not in identity
                remedy = self.env._("Enter the serial number, at most 20 letters or digits.")
            elif gateway.link == "mqtt":
                segments = identity + (gateway.product_key or "")
                valid = len(segments) <= 128 and not set(segments) & set("/+# ")
                remedy = self.env._(
                    "Enter it as it stands in the topics, without / + # and blanks."
                )
            else:
                continue
            if not valid or not identity.isascii() or not identity.isprintable():
                raise ValidationError(
                    self.env._(
                        "Gateway %(gateway)s: no device can have the identity “%(identity)s”. %(remedy)s",
                        gateway=gateway.name,
                        identity=identity,
                        remedy=remedy,
                    )
                )
            if gateway.link == "mqtt" and gateway.mqtt_form != "json" and not gateway.product_key:
                raise ValidationError(
                    self.env._(
                        "Gateway %s: enter the product key; it is part of the device's topics.",
                        gateway.name,
                    )
                )

    @api.onchange("link")
    def _onchange_link(self):
        """Patience that fits: 4G can hold an answer back for seconds."""
        times = {"dtu": 4000, "acrel_4g": 15000}
        if self.timeout_ms in (1000, *times.values()):
            self.timeout_ms = times.get(self.link, 1000)

    @api.model_create_multi
    def create(self, vals_list):
        gateways = super().create(vals_list)
        gateways._notify_collector()
        return gateways

    def write(self, vals):
        result = super().write(vals)
        self._notify_collector()
        return result

    def unlink(self):
        states = self.state_id
        result = super().unlink()
        states.sudo().unlink()
        self.browse()._notify_collector()
        return result

    def copy_data(self, default=None):
        data = super().copy_data(default)
        for gateway, vals in zip(self, data):
            if "name" not in (default or {}):
                vals["name"] = self.env._("%s (copy)", gateway.name)
        return data

    def action_open_meters(self):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id("prepay_meter.prepay_meter_action")
        action["domain"] = [("gateway_id", "=", self.id)]
        action["context"] = {"default_gateway_id": self.id}
        return action

    def action_open_events(self):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_meter.prepay_meter_event_action"
        )
        action["domain"] = [("gateway_id", "=", self.id)]
        return action

    def action_open_lost_meters(self):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_meter.prepay_meter_lost_action"
        )
        action["domain"] = [("gateway_id", "=", self.id), ("lost", "=", True)]
        return action

    def action_read_now(self):
        """Ask the collector to poll all meters behind these gateways at once."""
        meters = self.meter_ids
        if not meters:
            raise UserError(
                self.env._(
                    "No meter is behind gateway %s yet. Add its meters first.",
                    ", ".join(self.mapped("name")),
                )
            )
        return meters.action_read_now()

    def _is_served(self):
        """Whether a live collector has leased the gateway."""
        self.ensure_one()
        return bool(self.lease_until and self.lease_until >= fields.Datetime.now())

    def _notify_collector(self):
        """Tell collectors, at commit, that these gateways or their meters changed; none: anything."""
        self.env.flush_all()
        ids = ",".join(map(str, self.ids))
        # A notification carries at most 8,000 bytes.
        self.env.cr.execute(
            "SELECT pg_notify('prepay_config', %s)", [ids if len(ids) < 7000 else ""]
        )

    @api.model
    def _cron_sweep(self):
        """Poll every due meter once, for sites that run no collector process.

        The sweep opens its own database connections and sockets; this transaction holds nothing while
        it runs. Gateways that a live collector has leased are left alone.
        """
        from ..collector.sweep import sweep

        # No snapshot and no lock may be held while devices are asked.
        self.env.cr.commit()  # pylint: disable=invalid-commit
        return sweep(self.env["prepay.meter"]._collector_conninfo())
