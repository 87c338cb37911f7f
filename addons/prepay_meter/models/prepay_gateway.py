from odoo import api, fields, models


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
    link = fields.Selection(
        [("tcp_serial", "Transparent serial server over TCP (Modbus RTU, DL/T 645)")],
        required=True,
        default="tcp_serial",
        tracking=True,
    )
    host = fields.Char(
        string="Address",
        required=True,
        tracking=True,
        help="IP address or host name of the gateway.",
    )
    port = fields.Integer(required=True, default=26, tracking=True)
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
    event_count = fields.Integer(string="Open Events", compute="_compute_event_count")

    _timeout_range = models.Constraint(
        "CHECK (timeout_ms BETWEEN 50 AND 60000)", "The time-out must lie between 50 and 60,000 ms."
    )
    _gap_range = models.Constraint(
        "CHECK (inter_frame_ms BETWEEN 0 AND 5000)",
        "The gap between frames must lie between 0 and 5,000 ms.",
    )
    _port_range = models.Constraint(
        "CHECK (port BETWEEN 1 AND 65535)", "The port must lie between 1 and 65,535."
    )
    _link_unique = models.UniqueIndex(
        "(company_id, host, port) WHERE active",
        "Another gateway of this company already uses this address and port.",
    )

    @api.depends("meter_ids")
    def _compute_meter_count(self):
        counts = dict(
            self.env["prepay.meter"]._read_group(
                [("gateway_id", "in", self.ids)], ["gateway_id"], ["__count"]
            )
        )
        for gateway in self:
            gateway.meter_count = counts.get(gateway, 0)

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
        self._notify_collector()
        return result

    def copy_data(self, default=None):
        data = super().copy_data(default)
        for gateway, vals in zip(self, data):
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

    @api.model
    def _notify_collector(self):
        """Tell collectors, at commit, that gateways or meters changed."""
        self.env.flush_all()
        self.env.cr.execute("NOTIFY prepay_config")

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
