from odoo import api, fields, models

from ..amounts import amount_text


class PrepayTopup(models.Model):
    """A top-up of the counter: the sale it belongs to, the payer's code, and the way to the power."""

    _inherit = "prepay.topup"  # pylint: disable=consider-merging-classes-inherited

    sale_key = fields.Char(
        readonly=True,
        copy=False,
        help="Made by the screen for one sale: a repeated request finds it and sells nothing again.",
    )
    capture_state = fields.Selection(
        [
            ("ordered", "Waiting for the Payer's Code"),
            ("captured", "Paid by Code"),
            ("refused", "Code Refused"),
        ],
        string="Payer's Code",
        readonly=True,
        copy=False,
    )
    payment_reference = fields.Char(
        readonly=True,
        copy=False,
        help="The channel's number of the payment, or the last four digits of the payer's code.",
    )

    _sale_unique = models.UniqueIndex(
        "(sale_key, account_id) WHERE sale_key IS NOT NULL", "This sale was made already."
    )
    _captured_idx = models.Index("(id) WHERE capture_state = 'captured' AND state = 'draft'")

    @api.model
    def _cron_credit_captured(self, batch=100):
        """Credit what was paid by code while the screen that asked for it went away."""
        domain = [
            ("capture_state", "=", "captured"),
            ("state", "=", "draft"),
            ("write_date", "<", "-1M"),
        ]
        while topups := self.search(domain, limit=batch):
            topups._credit()
            if not self.env["ir.cron"]._commit_progress(
                len(topups), remaining=self.search_count(domain)
            ):
                break

    def _enter_shift(self):
        """Money of a payer's code is there already: it counts in the shift that is open, or in none."""
        captured = self.filtered(lambda topup: topup.capture_state == "captured")
        for topup in captured:
            topup.shift_id = self.env["prepay.shift"]._take(
                topup.company_id, topup.cashier_id, required=False
            )
        return super(PrepayTopup, self - captured)._enter_shift()

    def _came_by_channel(self):
        return self.capture_state == "captured" or super()._came_by_channel()

    def _money_at(self):
        """When the payment was there, for the tracker."""
        self.ensure_one()
        return self.paid_at

    def _progress(self):
        """The way from payment to power, for the payer's page and the counter.

        :return: steps with code, state (done, active, waiting or failed) and at (UTC or False);
            the first step that is not done is the active one
        """
        self.ensure_one()
        order = self.sudo()
        steps = [("paid", order._money_at()), ("credited", order.entry_id.at)]
        commands, supply = order._power_commands(), order.account_id.supply
        states = set(commands.mapped("state"))
        if commands:
            confirmed = states == {"confirmed"} and max(commands.mapped("confirmed_at"))
            steps += [
                ("command", min(commands.mapped("requested_at"))),
                ("confirmed", confirmed),
            ]
        elif order.state == "done":
            steps.append(("power", supply == "on" and order.entry_id.at))
        else:
            steps += [("command", False), ("confirmed", False)]
        result, active = [], True
        for code, at in steps:
            state = "done" if at else "active" if active else "waiting"
            active = active and bool(at)
            result.append({"code": code, "state": state, "at": at})
        if result[-1]["code"] == "power" and supply != "on":
            result[-1]["state"] = {"off": "failed", "switching": "active"}.get(supply, "waiting")
        if "expired" in states:
            result[-1]["state"] = "failed"
        elif "unproven" in states:  # written, but this meter cannot show it
            result[-1].update(code="power", state="waiting")
        return result

    def _power_commands(self):
        """The newest command of each meter that the money of this order switched on."""
        self.ensure_one()
        if self.state != "done":
            return self.env["prepay.meter.command"]
        decisions = self.env["prepay.supply.decision"].search(
            [
                ("account_id", "=", self.account_id.id),
                ("action", "=", "close"),
                ("decided_at", ">=", self.entry_id.at),
            ]
        )
        newest = {}
        for decision in decisions:  # newest first
            newest.setdefault(decision.meter_id, decision.command_id)
        return self.env["prepay.meter.command"].union(*newest.values())

    def _counter_values(self):
        self.ensure_one()
        methods = dict(self._fields["method"]._description_selection(self.env))
        states = dict(self._fields["state"]._description_selection(self.env))
        return {
            "id": self.id,
            "account_id": self.account_id.id,
            "medium": self.account_id.medium or False,
            "number": self.number or "",
            "amount": amount_text(self._exact_amount()),
            "method_label": methods.get(self.method, ""),
            "state": self.state,
            "state_label": states[self.state],
            "paid_at": self.env["prepay.counter"]._time(self.paid_at),
            "cashier": self.cashier_id.name or "",
        }
