from odoo import fields, models
from odoo.exceptions import UserError


class PrepayOpening(models.Model):
    """Taking an opening back, as long as nothing was built upon it."""

    _inherit = "prepay.opening"  # pylint: disable=consider-merging-classes-inherited

    undone_at = fields.Datetime(string="Undone On", readonly=True, copy=False)
    undone_by_id = fields.Many2one("res.users", readonly=True, copy=False)
    undo_reason = fields.Char(string="Reason for Undoing", readonly=True, copy=False)

    def action_undo(self):
        """Ask for the reason."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_billing.prepay_opening_undo_wizard_action"
        )
        action["context"] = {"default_opening_id": self.id}
        return action

    def _undo(self, reason):
        """Take the opening back as if it had not been: money by reversal, supply ended, account closed.

        The relay is left as it is.

        :raises UserError: not opened, or something followed
        """
        self.ensure_one()
        self._check_opener()
        self._lock()
        if self.state != "done":
            raise UserError(
                self.env._("%s is not opened, so there is nothing to undo.", self.number)
            )
        supplies = self.line_ids.supply_id.sudo()
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT id FROM prepay_account_meter WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
            [supplies.ids],
        )
        supplies.invalidate_recordset()
        self._check_undo(supplies)
        # Use that nobody pays: it is neither posted nor billed.
        self.env["prepay.charge"].sudo().search([("supply_id", "in", supplies.ids)]).unlink()
        for supply in supplies:
            supply.end_at = max(supply.start_at, supply.rated_at or supply.start_at)
        entries = self._entries()
        for entry in entries.filtered(lambda item: item.amount < 0):
            entry._check_reversal()
            entry._post_reversal(reason, self)
        self._reverse_topups(reason)
        rest = entries.filtered(lambda item: item.amount > 0)
        rest._check_reversal()
        rest._post_reversal(reason, self)
        if self.layout != "join":
            today = fields.Date.context_today(self)
            supplies.account_id.write({"state": "closed", "closed_on": today})
        self.write(
            {
                "state": "undone",
                "undone_at": fields.Datetime.now(),
                "undone_by_id": self.env.uid,
                "undo_reason": reason,
            }
        )
        self.message_post(body=self.env._("Undone: %s", reason))

    def _check_undo(self, supplies):
        """Refuse when others have built upon the opening."""
        accounts = supplies.account_id
        if supplies.filtered("end_at") or any(account.state != "open" for account in accounts):
            raise UserError(
                self.env._(
                    "%s: a meter or the account was closed or changed since. It cannot be undone.",
                    self.number,
                )
            )
        waiting = self.sudo().topup_ids.filtered(lambda item: item.state == "draft")
        if waiting:
            raise UserError(
                self.env._(
                    "%(number)s: payment %(amount)s is still on its way. Try again in some minutes.",
                    number=self.number,
                    amount=f"{waiting[0].amount:.2f}",
                )
            )
        posted = (
            self.env["prepay.charge"]
            .sudo()
            .search([("supply_id", "in", supplies.ids), ("state", "!=", "open")], limit=1)
        )
        if posted:
            raise UserError(
                self.env._(
                    "%(number)s: consumption of %(day)s is posted. Close the account instead.",
                    number=self.number,
                    day=posted.day,
                )
            )
        if self.layout == "join":
            return
        if accounts.supply_ids - supplies:
            raise UserError(
                self.env._(
                    "%s: another meter was added to the account. Close the account instead.",
                    self.number,
                )
            )
        own = self._entries() | self.sudo().topup_ids.entry_id
        other = (
            self.env["prepay.ledger.entry"]
            .sudo()
            .search([("account_id", "in", accounts.ids)])
            .filtered(lambda entry: entry not in own and entry.reverses_id not in own)[:1]
        )
        if other:
            raise UserError(
                self.env._(
                    "%(number)s: %(reason)s of %(amount)s followed. Close the account instead.",
                    number=self.number,
                    reason=other.reason,
                    amount=f"{other.amount:.2f}",
                )
            )

    def _reverse_topups(self, reason):
        """Take the first payment back by the rules of reversals.

        :raises UserError: a rule forbids it, or somebody else has to approve it first
        """
        for topup in self.sudo().topup_ids.filtered(lambda item: item.state == "done"):
            topup.with_env(self.env)._reverse(reason)
            if topup.state != "reversed":
                raise UserError(
                    self.env._(
                        "%(number)s: taking back sale %(sale)s needs an approval. Reverse the sale "
                        "first, then undo the opening.",
                        number=self.number,
                        sale=topup.number,
                    )
                )
