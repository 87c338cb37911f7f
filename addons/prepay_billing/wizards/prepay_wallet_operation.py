from odoo import api, fields, models


class PrepayWalletOperation(models.TransientModel):
    """Asks for the reason before an account is frozen or unfrozen, or a document is reversed."""

    _name = "prepay.wallet.operation"
    _description = "Wallet Operation"

    operation = fields.Selection(
        [("freeze", "Freeze"), ("unfreeze", "Unfreeze"), ("reverse", "Reverse")],
        required=True,
        readonly=True,
    )
    account_id = fields.Many2one("prepay.account", readonly=True)
    document = fields.Reference(selection="_document_models", readonly=True)
    reason = fields.Char(required=True)
    topup_id = fields.Many2one("prepay.topup", string="This Sale", compute="_compute_topup_id")
    currency_id = fields.Many2one(related="topup_id.currency_id")
    amount = fields.Monetary(string="This Amount", related="topup_id.amount")
    method = fields.Selection(related="topup_id.method")
    paid_at = fields.Datetime(string="This Sale On", related="topup_id.paid_at")
    cashier_id = fields.Many2one(string="Sold By", related="topup_id.cashier_id")
    last_topup_id = fields.Many2one("prepay.topup", string="Last Sale", compute="_compute_topup_id")
    last_amount = fields.Monetary(string="Last Amount", related="last_topup_id.amount")
    last_paid_at = fields.Datetime(string="Last Sale On", related="last_topup_id.paid_at")
    needs_approval = fields.Boolean(compute="_compute_topup_id")

    @api.depends("document")
    def _compute_topup_id(self):
        """The sale to be undone beside the last sale of its account (本次/最后一次)."""
        for wizard in self:
            topup = wizard.document
            if not topup or topup._name != "prepay.topup":
                topup = self.env["prepay.topup"]
            wizard.topup_id = topup
            wizard.last_topup_id = topup.account_id._last_topup()
            wizard.needs_approval = bool(topup) and topup._reversal_needs_approval(self.env.user)

    @api.model
    def _document_models(self):
        names = (
            "prepay.topup",
            "prepay.refund",
            "prepay.transfer",
            "prepay.wallet.adjustment",
            "prepay.shared.cost",
            "prepay.closing",
            "prepay.handover",
            "prepay.room.change",
            "prepay.meter.replacement",
            "prepay.ratio.change",
        )
        return [(name, self.env[name]._description) for name in names if name in self.env]

    def action_confirm(self):
        self.ensure_one()
        if self.operation == "reverse":
            done = self.document._reverse(self.reason)
            if self.topup_id:
                return done._after_reversal()
        else:
            self.account_id._freeze(self.operation == "freeze", self.reason)
        return {"type": "ir.actions.act_window_close"}
