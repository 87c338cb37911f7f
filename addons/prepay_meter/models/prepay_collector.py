from odoo import fields, models


class PrepayCollector(models.Model):
    """A running collector process, as it reports itself every few seconds.

    Collectors write these rows by SQL; the number of rows that are fresh decides how many gateways
    each one takes.
    """

    _name = "prepay.collector"
    _description = "Collector Process"
    _log_access = False
    _order = "name"

    name = fields.Char(required=True, readonly=True, help="Host and process number.")
    seen_at = fields.Datetime(string="Last Sign of Life", readonly=True)
    started_at = fields.Datetime(string="Running Since", readonly=True)
    address = fields.Char(
        string="Health Page", readonly=True, help="Address of its health and metrics pages."
    )
    gateways = fields.Integer(string="Gateways Served", readonly=True)

    _name_unique = models.Constraint("UNIQUE (name)", "A collector of this name is already there.")
