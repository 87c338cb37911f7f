from odoo import fields, models


class PrepayAccount(models.Model):
    """How the account came about."""

    _inherit = "prepay.account"  # pylint: disable=consider-merging-classes-inherited

    opening_ids = fields.One2many("prepay.opening", "account_id", string="Openings", readonly=True)
    opening_count = fields.Integer(compute="_compute_opening_count")

    def _compute_opening_count(self):
        counts = dict(
            self.env["prepay.opening.meter"]._read_group(
                [("supply_id.account_id", "in", self.ids), ("opening_id.state", "!=", "draft")],
                ["supply_id"],
                ["opening_id:recordset"],
            )
        )
        for account in self:
            openings = self.env["prepay.opening"]
            for supply, found in counts.items():
                if supply.account_id == account:
                    openings |= found
            account.opening_count = len(openings)

    def action_show_openings(self):
        """The openings that gave the account its meters."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_billing.prepay_opening_action"
        )
        openings = self.env["prepay.opening"].search(
            [("line_ids.supply_id.account_id", "=", self.id)]
        )
        action["domain"] = [("id", "in", openings.ids)]
        action["context"] = {}
        if len(openings) == 1:
            action.update({"views": [(False, "form")], "res_id": openings.id})
        return action
