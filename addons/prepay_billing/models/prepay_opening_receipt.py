from odoo import fields, models


class PrepayOpening(models.Model):
    """The paper of an opening: one for the account, its meters and the first payment."""

    _inherit = "prepay.opening"  # pylint: disable=consider-merging-classes-inherited

    def _receipt_kind(self):
        return "opening"

    def _receipt_meters(self, at):
        """All meters of the opening, also when two accounts were made, with their opening registers."""
        meters = []
        for line in self.line_ids.filtered("supply_id"):
            values = self._receipt_meter(line.supply_id, at)
            values["register"] = f"{line._register_base() / 1000:.2f}"
            meters.append(values)
        return meters

    def _receipt_values(self):
        methods = dict(self.env["prepay.topup"]._fields["method"]._description_selection(self.env))
        at = self.opened_at or fields.Datetime.now()
        items = [
            (self.env._("First payment"), self.amount),
            (self.env._("Carried in from the replaced meter"), self.carried),
            (self.env._("Preset taken off"), -self.preset),
        ]
        return {
            **super()._receipt_values(),
            "order_number": self.number,
            "date": fields.Datetime.to_string(at),
            "account_number": " / ".join(self.account_ids.mapped("number")),
            "meters": self._receipt_meters(at),
            "amount": self._receipt_money(self.amount),
            "items": [
                {"name": name, "amount": self._receipt_money(amount)}
                for name, amount in items
                if amount
            ],
            "balance_before": self._receipt_money(0),
            "balance_after": self._receipt_money(self.balance_start),
            "method": methods[self.method] if self.amount else None,
            "received": self._receipt_money(self.received) if self.received else None,
            "change": self._receipt_money(self.change) if self.received else None,
            "operator": self.opened_by_id.name,
            "remark": self.note or None,
        }
