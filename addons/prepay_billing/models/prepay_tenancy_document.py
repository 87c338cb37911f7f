from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError


class PrepayTenancyDocument(models.AbstractModel):
    """What closing, hand-over, room change and changes of meters share.

    Confirmed, everything happens in one transaction or nothing does. Where money above the limit of the
    company goes out, a second person confirms. It is undone as a whole, as long as nothing followed.
    """

    _name = "prepay.tenancy.document"
    _description = "Change of a Tenancy"
    _inherit = ["prepay.approval.document"]
    _order = "id desc"
    _rec_name = "number"

    _number_prefix = ""

    number = fields.Char(readonly=True, copy=False, default=lambda self: self.env._("New"))
    company_id = fields.Many2one("res.company", index=True)
    currency_id = fields.Many2one(related="company_id.currency_id")
    note = fields.Char(string="Remark", tracking=True)
    state = fields.Selection(
        [
            ("draft", "Draft"),
            ("waiting", "Waiting for Approval"),
            ("done", "Done"),
            ("undone", "Undone"),
        ],
        default="draft",
        required=True,
        readonly=True,
        copy=False,
        index=True,
        tracking=True,
    )
    requested_id = fields.Many2one("res.users", string="Requested By", readonly=True, copy=False)
    approved_id = fields.Many2one("res.users", string="Approved By", readonly=True, copy=False)
    done_at = fields.Datetime(string="Done On", readonly=True, copy=False, index=True)
    undone_at = fields.Datetime(string="Undone On", readonly=True, copy=False)
    undone_by_id = fields.Many2one("res.users", readonly=True, copy=False)
    undo_reason = fields.Char(string="Why Undone", readonly=True, copy=False)
    #: What the undoing needs to know of the state before.
    kept = fields.Json(readonly=True, copy=False)

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            self._check_hand_filled(vals)
        documents = super().create(vals_list)
        for document in documents:
            document.sudo().number = f"{self._number_prefix}{document.id:06d}"
        return documents

    def write(self, vals):
        self._check_hand_filled(vals)
        if not self._terms().isdisjoint(vals):
            self._check_draft()
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_except_draft(self):
        for document in self.filtered(lambda item: item.state != "draft"):
            raise UserError(
                self.env._("%s is not a draft any more and cannot be deleted.", document.number)
            )

    @api.model
    def _check_hand_filled(self, vals):
        """Who approved and what was done is written by the buttons only, whatever a client sends."""
        if not (self.env.su or self._button_fields().isdisjoint(vals)):
            raise AccessError(
                self.env._("State, number and names of a document are not filled in by hand.")
            )

    # what a document defines

    @api.model
    def _button_fields(self):
        """Fields that only the buttons fill in."""
        return {
            "number",
            "state",
            "requested_id",
            "approved_id",
            "done_at",
            "undone_at",
            "undone_by_id",
            "undo_reason",
            "kept",
        }

    def _terms(self):
        """Fields that are fixed once the document is confirmed."""
        return {"note", "line_ids"}

    def _take_newer(self):
        """Replace readings that are too old by now; a text for the user when any was replaced."""

    def _check_ready(self):
        """Refuse what cannot be done, before anybody is asked to approve it."""

    def _paid_out(self):
        """Money that goes out, CNY as Decimal >= 0."""
        return Decimal(0)

    def _approval_amount(self):
        return float(self._paid_out())

    def _carry_out(self):
        """Do it; :return: what the undoing needs, for JSON."""
        raise NotImplementedError

    def _take_back(self, reason):
        """Undo it, or refuse because something followed."""
        raise NotImplementedError

    def _after(self):
        """What to show when it is done."""

    # buttons

    def action_confirm(self):
        """Do it, or let it wait for a second person."""
        self.ensure_one()
        self._check_operator()
        self._lock()
        if self.state != "draft":
            raise UserError(self.env._("%s is confirmed already. Reload the page.", self.number))
        replaced = self._take_newer()
        if replaced:
            return self._tell(replaced)
        self._check_ready()
        self.sudo().requested_id = self.env.user
        if self._paid_out() > Decimal(str(self.company_id.prepay_four_eyes_limit)):
            self.sudo().state = "waiting"
            return None
        return self._do()

    def action_approve(self):
        """The second person agrees."""
        self.ensure_one()
        self._check_accountant()
        self._lock()
        self._check_second_person()
        replaced = self._take_newer()
        if replaced:
            return self._tell(replaced)
        self._check_ready()
        self.sudo().approved_id = self.env.user
        return self._do()

    def action_back(self):
        """From waiting back to a draft that can be changed."""
        for document in self:
            document.check_access("write")
            document._lock()
            document._check_waiting()
            document.sudo().write({"state": "draft", "requested_id": False})

    def action_undo(self):
        """Ask for the reason."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Undo"),
            "res_model": "prepay.wallet.operation",
            "view_mode": "form",
            "target": "new",
            "context": {
                "default_operation": "reverse",
                "default_document": f"{self._name},{self.id}",
            },
        }

    def action_read_now(self):
        """Ask all meters of the document for a reading."""
        self.ensure_one()
        self._check_draft(or_waiting=True)
        return self.line_ids.action_read_now()

    def action_take_readings(self):
        """Take over the newest readings of meters that nobody typed a register for."""
        self.ensure_one()
        self._check_draft(or_waiting=True)
        self.line_ids.filtered(lambda line: line.source == "meter").action_take_reading()

    def action_open_entries(self):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_billing.prepay_ledger_entry_action"
        )
        action["domain"] = [("id", "in", self._entries().ids)]
        action["context"] = {}
        return action

    # doing and undoing

    def _do(self):
        kept = self.sudo()._carry_out()
        self.sudo().write({"state": "done", "done_at": fields.Datetime.now(), "kept": kept})
        return self._after()

    def _reverse(self, reason):
        """Undo it as a whole; named as for the other documents of the wallet.

        :raises UserError: not done, undone already, or something followed
        """
        self.ensure_one()
        self._check_operator()
        self._lock()
        if self.state != "done":
            raise UserError(self.env._("%s is not done, so there is nothing to undo.", self.number))
        self.sudo()._take_back(reason)
        self.sudo().write(
            {
                "state": "undone",
                "undone_at": fields.Datetime.now(),
                "undone_by_id": self.env.uid,
                "undo_reason": reason,
            }
        )
        self.message_post(body=self.env._("Undone: %s", reason))

    def _refund(self, account, amount, method, reason):
        """Own money paid out; whoever confirmed and approved this document did so for the refund."""
        refund = self.env["prepay.refund"].create(
            {
                "account_id": account.id,
                "amount": float(amount),
                "method": method,
                "reason": reason,
                "source_id": f"{self._name},{self.id}",
            }
        )
        return self._post_document(refund)

    def _transfer(self, account, target, amount, reason):
        """Own money moved; a debt (amount below zero) is paid from the other account."""
        giver, taker = (account, target) if amount > 0 else (target, account)
        transfer = self.env["prepay.transfer"].create(
            {
                "account_id": giver.id,
                "target_id": taker.id,
                "amount": float(abs(amount)),
                "reason": reason,
            }
        )
        return self._post_document(transfer)

    def _collect(self, account, amount, method, reason):
        """What the tenant owes, paid at the counter."""
        topup = self.env["prepay.topup"].create(
            {
                "account_id": account.id,
                "amount": float(amount),
                "method": method,
                "cashier_id": self.env.uid,
                "note": reason,
            }
        )
        topup._credit()
        return topup

    def _post_document(self, document):
        """Post a refund or transfer with the two people of this document."""
        document._check_ready()
        document.write({"requested_id": self.requested_id.id, "approved_id": self.approved_id.id})
        document._do_post()
        return document

    def _switch_back(self, meters, reason):
        """Power that this document switched off returns, unless somebody wished otherwise since."""
        off = meters.filtered(
            lambda meter: meter.desired_relay == "open" and meter.desired_cause == "closing"
        )
        off._request_relay("closed", "restore", reason)

    def _last_entry(self, accounts):
        """Id of the newest wallet entry of accounts: what comes behind it has followed."""
        self.env.cr.execute(
            "SELECT COALESCE(max(id), 0) FROM prepay_ledger_entry WHERE account_id = ANY(%s)",
            [accounts.ids],
        )
        return self.env.cr.fetchone()[0]

    def _check_nothing_followed(self, accounts, last):
        """Refuse to undo when money moved in these accounts since."""
        followed = (
            self.env["prepay.ledger.entry"]
            .sudo()
            .search([("account_id", "in", accounts.ids), ("id", ">", last)], limit=1, order="id")
        )
        if followed:
            raise UserError(
                self.env._(
                    "%(document)s cannot be undone: account %(account)s has an entry “%(entry)s” of "
                    "%(amount)s after it.",
                    document=self.number,
                    account=followed.account_id.display_name,
                    entry=followed.reason,
                    amount=f"{followed.amount:.2f}",
                )
            )

    def _check_untouched(self, supplies):
        """Refuse to undo when a meter was read for its new assignment since."""
        if not supplies._is_untouched():
            raise UserError(
                self.env._(
                    "%(document)s cannot be undone: meter %(meter)s has counted use since then.",
                    document=self.number,
                    meter=", ".join(supplies.meter_id.mapped("number")),
                )
            )

    def _drop(self, supplies):
        """Remove assignments that began with this document and were not used."""
        supplies._lock_for_end()
        self._check_untouched(supplies)
        supplies.unlink()
        self.env.flush_all()

    def _check_account(self, account):
        """Refuse accounts that cannot be settled now."""
        if account.state != "open":
            raise UserError(self.env._("Account %s is closed already.", account.display_name))
        if account.is_frozen:
            raise UserError(
                self.env._(
                    "Account %(account)s is frozen (%(reason)s): no money leaves it. Unfreeze it first.",
                    account=account.display_name,
                    reason=account.frozen_reason or "-",
                )
            )
        draft = account.topup_ids.filtered(lambda topup: topup.state == "draft")
        if account._payment_in_flight() or draft:
            raise UserError(
                self.env._(
                    "Account %s: a payment is on its way. Go on when it is credited or cancelled.",
                    account.display_name,
                )
            )

    def _check_credit(self, meters):
        """Credit that is on its way into a meter would be lost."""
        waiting = (
            self.env["prepay.meter.credit"]
            .sudo()
            .search(
                [
                    ("meter_id", "in", meters.ids),
                    ("state", "in", ("queued", "sent", "stopped")),
                ],
                limit=1,
            )
        )
        if waiting:
            raise UserError(
                self.env._(
                    "Purchase %s is not settled. Go on when the meter has it, or resolve it.",
                    waiting.display_name,
                )
            )

    def _check_lines(self, lines, supplies):
        """Every present meter has its reading, once."""
        missing = supplies.meter_id - lines.meter_id
        if missing or len(lines) != len(supplies):
            raise UserError(
                self.env._(
                    "%(document)s: meter %(meter)s has no line with its reading. Delete this draft and "
                    "begin anew.",
                    document=self.number,
                    meter=", ".join((missing or lines.meter_id).mapped("number")),
                )
            )
        lines._check_register()

    def _check_draft(self, or_waiting=False):
        states = ("draft", "waiting") if or_waiting else ("draft",)
        for document in self.filtered(lambda item: item.state not in states):
            raise UserError(
                self.env._(
                    "%s is confirmed and cannot change. Undo it and begin anew.", document.number
                )
            )

    def _check_operator(self):
        if not (self.env.su or self.env.user.has_group("prepay_meter.group_operator")):
            raise AccessError(self.env._("Only operators may do this."))
        self.check_access("write")

    def _check_accountant(self):
        if not (self.env.su or self.env.user.has_group("prepay_billing.group_accountant")):
            raise AccessError(self.env._("Only facility accountants may approve money."))
        self.check_access("write")

    def _tell(self, message):
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "warning",
                "sticky": True,
                "message": message,
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }
