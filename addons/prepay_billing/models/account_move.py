from odoo import fields, models


class AccountMove(models.Model):
    _inherit = "account.move"

    prepay_entry_ids = fields.One2many(
        "prepay.ledger.entry", "move_id", string="Wallet Entries", readonly=True
    )
    prepay_entry_count = fields.Integer(compute="_compute_prepay_entry_count")

    def _compute_prepay_entry_count(self):
        counts = dict(
            self.env["prepay.ledger.entry"]._read_group(
                [("move_id", "in", self.ids)], ["move_id"], ["__count"]
            )
        )
        for move in self:
            move.prepay_entry_count = counts.get(move, 0)

    def action_open_prepay_entries(self):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_billing.prepay_ledger_entry_action"
        )
        action["domain"] = [("move_id", "=", self.id)]
        action["context"] = {}
        return action
