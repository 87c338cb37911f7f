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

    @api.model
    def _document_models(self):
        names = (
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
            self.document._reverse(self.reason)
        else:
            self.account_id._freeze(self.operation == "freeze", self.reason)
        return {"type": "ir.actions.act_window_close"}
