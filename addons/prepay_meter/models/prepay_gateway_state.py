from odoo import fields, models


class PrepayGatewayState(models.Model):
    """What the collector knows of a gateway.

    The collector writes these rows by SQL. They stand apart from the gateway so that a poll never
    collides with somebody who edits the gateway's settings.
    """

    _name = "prepay.gateway.state"
    _description = "Gateway State"
    _log_access = False
    _rec_name = "id"

    online = fields.Boolean(readonly=True)
    last_seen = fields.Datetime(readonly=True)
    offline_since = fields.Datetime(readonly=True)
    last_error = fields.Char(readonly=True)
    signal = fields.Integer(
        readonly=True,
        aggregator="avg",
        help="Radio signal as the device reports it (0–31, or dBm below 0).",
    )
    iccid = fields.Char(string="SIM Card", readonly=True)
    peer = fields.Char(string="Connected From", readonly=True)
    connected_at = fields.Datetime(string="Connected Since", readonly=True)
    lease_owner = fields.Char(
        string="Collector", readonly=True, help="The collector process that serves the gateway."
    )
    lease_until = fields.Datetime(readonly=True)
