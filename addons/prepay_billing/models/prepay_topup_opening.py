from odoo import api, fields, models


class PrepayTopup(models.Model):
    """The first payment of an opening has no paper of its own: the opening's receipt names it."""

    _inherit = "prepay.topup"  # pylint: disable=consider-merging-classes-inherited

    opening_id = fields.Many2one(
        "prepay.opening", readonly=True, copy=False, index="btree_not_null", ondelete="restrict"
    )

    def _compute_receipt_number(self):
        first = self.filtered("opening_id")
        for topup in first:
            topup.receipt_number = topup.opening_id.receipt_number
            topup.receipt_print_count = topup.opening_id.receipt_print_count
        return super(PrepayTopup, self - first)._compute_receipt_number()

    @api.model
    def _search_receipt_number(self, operator, value):
        openings = self.env["prepay.opening"].sudo()._search_receipt_number(operator, value)
        first = self.env["prepay.opening"].sudo().search(openings)
        own = super()._search_receipt_number(operator, value)
        return ["|", *own, ("opening_id", "in", first.ids)]

    def _issue_receipt(self):
        """The receipts of sales; of first payments the opening's, once the account is opened."""
        first = self.filtered("opening_id")
        openings = first.sudo().opening_id.filtered(lambda item: item.state in ("done", "undone"))
        return super(PrepayTopup, self - first)._issue_receipt() | openings._issue_receipt()
