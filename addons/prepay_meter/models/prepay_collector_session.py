from odoo import fields, models


class PrepayCollectorSession(models.Model):
    """A session that a collector keeps at the MQTT broker, by its name there.

    The broker goes on giving a session its share of the messages while its collector is away. When
    that does not come back, another one empties the session and ends it. Written by SQL.
    """

    _name = "prepay.collector.session"
    _description = "Collector Session at the Broker"
    _log_access = False
    _order = "name"

    name = fields.Char(required=True, readonly=True)
    seen_at = fields.Datetime(string="Last Sign of Life", required=True, readonly=True)

    _name_unique = models.Constraint("UNIQUE (name)", "A session of this name is already there.")
