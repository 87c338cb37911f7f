from odoo import api, fields, models

from ..amounts import exact


class PrepayOpening(models.Model):
    """Money of an opening: carried in, taken off, and the first payment."""

    _inherit = "prepay.opening"  # pylint: disable=consider-merging-classes-inherited

    carried = fields.Monetary(string="Carried In", compute="_compute_money", store=True)
    preset = fields.Monetary(string="Preset Taken Off", compute="_compute_money", store=True)
    change = fields.Monetary(compute="_compute_change")
    balance_start = fields.Monetary(
        string="Balance After Opening", compute="_compute_money", store=True
    )

    @api.depends("amount", "received")
    def _compute_change(self):
        for opening in self:
            opening.change = opening.received - opening.amount if opening.received else 0

    @api.depends("line_ids.carried", "line_ids.preset", "amount")
    def _compute_money(self):
        for opening in self:
            opening.carried = sum(opening.line_ids.mapped("carried"))
            opening.preset = sum(opening.line_ids.mapped("preset"))
            opening.balance_start = opening.amount + opening.carried - opening.preset

    def _post_carried(self):
        """Money of the replaced meters, less what was preset in them."""
        words = self.company_id._prepay_env()
        postings = []
        for line in self.line_ids:
            for kind, amount, reason in (
                (
                    "opening",
                    exact(line.carried),
                    words._("Carried in with meter %s", line.meter_id.number),
                ),
                (
                    "adjustment",
                    -exact(line.preset),
                    words._("Preset of meter %s taken off", line.meter_id.number),
                ),
            ):
                if amount:
                    postings.append(
                        {
                            "account": line.supply_id.account_id,
                            "kind": kind,
                            "amount": amount,
                            "key": f"{kind}:prepay.opening.meter:{line.id}",
                            "reason": reason,
                            "document": self,
                        }
                    )
        self.env["prepay.ledger.entry"].sudo()._post(postings)

    def _take_payments(self):
        """The first payment as top-ups; the supply is decided by then."""
        accounts = self.line_ids.supply_id.account_id
        water = accounts.filtered(lambda item: item.medium == "water")
        if self.layout == "medium" and self.has_both:
            parts = {
                accounts - water: exact(self.amount) - exact(self.water_amount),
                water: exact(self.water_amount),
            }
        else:
            parts = {self.account_id: exact(self.amount)}
        parts = [(account, amount) for account, amount in parts.items() if amount]
        topups = self.env["prepay.topup"]
        if parts:
            topups = self.env["prepay.counter"]._sell(
                parts,
                self.method,
                key=f"prepay.opening:{self.id}",
                received=exact(self.received) if self.method == "cash" and self.received else None,
                code=(self.payer_code or "").strip(),
                note=self.env._("First payment of opening %s", self.number),
                confirmed=True,
                opening=self,
            )
        (accounts - topups.account_id).sudo()._evaluate_supply()
