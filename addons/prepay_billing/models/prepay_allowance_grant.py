from odoo import fields, models


class PrepayAllowanceGrant(models.Model):
    """One allowance for one account in one period: a preview, granted, or closed."""

    _name = "prepay.allowance.grant"
    _description = "Allowance Grant"
    _order = "date_from desc, id desc"
    _rec_name = "period"

    allowance_id = fields.Many2one(
        "prepay.allowance", required=True, index=True, ondelete="restrict", readonly=True
    )
    company_id = fields.Many2one(related="allowance_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="company_id.currency_id")
    account_id = fields.Many2one(
        "prepay.account", required=True, index=True, ondelete="restrict", readonly=True
    )
    location_id = fields.Many2one(related="account_id.location_id", store=True, index=True)
    partner_id = fields.Many2one(related="account_id.partner_id", store=True)
    period = fields.Char(required=True, readonly=True)
    date_from = fields.Date(string="From", required=True, readonly=True)
    date_to = fields.Date(string="Until", readonly=True)
    heads = fields.Integer(string="Persons", readonly=True, aggregator=None)
    quantity = fields.Float(string="Quantity (kWh or m³)", digits=(10, 2), readonly=True)
    price = fields.Float(digits="Prepaid Price", readonly=True, aggregator=None)
    amount = fields.Monetary(string="Granted", required=True, readonly=True)
    cleared = fields.Monetary(readonly=True)
    entry_id = fields.Many2one("prepay.ledger.entry", string="Wallet Entry", readonly=True)
    expiry_entry_id = fields.Many2one(
        "prepay.ledger.entry", string="Entry of the Clearing", readonly=True
    )
    state = fields.Selection(
        [("draft", "Preview"), ("granted", "Granted"), ("closed", "Closed")],
        required=True,
        default="draft",
        readonly=True,
        index=True,
    )

    _period_unique = models.Constraint(
        "UNIQUE (allowance_id, account_id, period)",
        "This account has the allowance of this period already.",
    )
    _granted_has_entry = models.Constraint(
        "CHECK (state = 'draft' OR entry_id IS NOT NULL)", "A grant stands in the wallet."
    )
