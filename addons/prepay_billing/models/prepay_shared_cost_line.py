from decimal import Decimal

from odoo import fields, models


class PrepaySharedCostLine(models.Model):
    """The part of one account in a shared cost."""

    _name = "prepay.shared.cost.line"
    _description = "Part of a Shared Cost"
    _order = "document_id, id"
    _rec_name = "account_id"

    document_id = fields.Many2one(
        "prepay.shared.cost", required=True, index=True, ondelete="cascade", readonly=True
    )
    company_id = fields.Many2one(related="document_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="company_id.currency_id")
    account_id = fields.Many2one(
        "prepay.account", required=True, index=True, ondelete="restrict", readonly=True
    )
    weight = fields.Float(digits=(16, 3), readonly=True, help="Rooms, m², persons, Wh or L.")
    amount = fields.Monetary(required=True, readonly=True)

    _account_unique = models.Constraint(
        "UNIQUE (document_id, account_id)", "An account has only one part."
    )

    def _exact_amount(self):
        return Decimal(f"{self.amount:.2f}")
