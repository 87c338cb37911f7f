from odoo import fields, models


class PrepayReceiptPrintWizard(models.TransientModel):
    """Print receipts once on another paper than usual."""

    _name = "prepay.receipt.print.wizard"
    _description = "Print on Other Paper"

    receipt_ids = fields.Many2many("prepay.receipt", required=True)
    layout_id = fields.Many2one(
        "prepay.receipt.layout",
        string="Paper",
        required=True,
        default=lambda self: self.env["prepay.receipt.layout"].search([], limit=1),
    )

    def action_print(self):
        self.ensure_one()
        self.receipt_ids.check_access("read")
        action = self.env.ref("prepay_billing.action_report_receipt").report_action(
            self.receipt_ids,
            data={"layout_id": self.layout_id.id, "receipt_ids": self.receipt_ids.ids},
        )
        return {**action, "close_on_report_download": True}
