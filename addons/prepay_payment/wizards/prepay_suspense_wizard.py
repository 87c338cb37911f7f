from odoo import fields, models
from odoo.exceptions import AccessError


class PrepaySuspenseWizard(models.TransientModel):
    """Close a suspense case, with a reason."""

    _name = "prepay.suspense.wizard"
    _description = "Resolve Suspense Case"

    suspense_id = fields.Many2one("prepay.suspense", string="Case", required=True, readonly=True)
    company_id = fields.Many2one(related="suspense_id.company_id")
    amount = fields.Monetary(related="suspense_id.amount")
    currency_id = fields.Many2one(related="suspense_id.currency_id")
    outcome = fields.Selection(
        [("credit", "Credit to an account"), ("return", "Returned to the payer")], required=True
    )
    account_id = fields.Many2one(
        "prepay.account",
        domain="[('state', '=', 'open'), ('company_id', '=', company_id)]",
    )
    reason = fields.Char(required=True)

    def action_resolve(self):
        """Credit the account or note the return."""
        self.ensure_one()
        if not self.env.user.has_group("prepay_billing.group_accountant"):
            raise AccessError(self.env._("Only accountants may resolve suspense cases."))
        self.suspense_id.check_access("write")
        if self.outcome == "credit":
            self.account_id.check_access("read")
            self.suspense_id._credit(self.account_id, self.reason)
        else:
            self.suspense_id._return(self.reason)
        return {"type": "ir.actions.act_window_close"}
