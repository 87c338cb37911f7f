from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError


class PrepayWalletDocument(models.AbstractModel):
    """What documents that move money in wallets share: approval by a second person, posting, undoing.

    Above the limit of the company, or always where :meth:`_needs_approval` says so, the one who asks
    and the one who approves are two people (four-eyes).
    """

    _name = "prepay.wallet.document"
    _description = "Wallet Document"
    _inherit = ["prepay.approval.document"]
    _order = "id desc"
    _rec_name = "number"

    number = fields.Char(readonly=True, copy=False, default=lambda self: self.env._("New"))
    company_id = fields.Many2one("res.company", index=True)
    currency_id = fields.Many2one(related="company_id.currency_id")
    reason = fields.Char(required=True, tracking=True)
    state = fields.Selection(
        [
            ("draft", "Draft"),
            ("waiting", "Waiting for Approval"),
            ("done", "Posted"),
            ("reversed", "Reversed"),
            ("refused", "Refused"),
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
    posted_at = fields.Datetime(string="Posted On", readonly=True, copy=False)
    reversed_at = fields.Datetime(string="Reversed On", readonly=True, copy=False)

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            self._check_hand_filled(vals)
        documents = super().create(vals_list)
        for document in documents.sudo():
            document.number = f"{self._number_prefix}{document.id:06d}"
        return documents

    def write(self, vals):
        self._check_hand_filled(vals)
        if not self._terms().isdisjoint(vals):
            for document in self.filtered(lambda item: item.state != "draft"):
                raise UserError(
                    self.env._(
                        "%s has been submitted and cannot change. Refuse or reverse it and enter a new one.",
                        document.number,
                    )
                )
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_except_submitted(self):
        for document in self.filtered(lambda item: item.state != "draft"):
            raise UserError(
                self.env._("%s has been submitted and cannot be deleted.", document.number)
            )

    @api.model
    def _check_hand_filled(self, vals):
        """Who approved and what is posted is written by the buttons only, whatever a client sends."""
        if not (self.env.su or self._posting_fields().isdisjoint(vals)):
            raise AccessError(
                self.env._(
                    "State, number and names of a wallet document are not filled in by hand."
                )
            )

    # what a document defines

    _number_prefix = ""

    @api.model
    def _posting_fields(self):
        """Fields that only the buttons fill in."""
        return {"number", "state", "requested_id", "approved_id", "posted_at", "reversed_at"}

    def _terms(self):
        """Fields that are fixed once the document is submitted."""
        return {"reason", "company_id"}

    def _needs_approval(self):
        """A second person has to agree."""
        return self._moved() > Decimal(str(self.company_id.prepay_four_eyes_limit))

    def _moved(self):
        """Money that the document moves, CNY as Decimal >= 0."""
        raise NotImplementedError

    def _approval_amount(self):
        return float(self._moved())

    def _check_ready(self):
        """Refuse what cannot be posted, before anybody is asked to approve it."""

    def _post_entries(self):
        """Post the wallet entries."""
        raise NotImplementedError

    def _check_reversible(self):
        """Refuse to undo what others have built upon."""

    # buttons

    def action_submit(self):
        """Post, or wait for a second person."""
        for document in self:
            document._check_submitter()
            if document.state != "draft":
                raise UserError(self.env._("%s has been submitted already.", document.number))
            document._check_ready()
            document.sudo().requested_id = self.env.user
            if document._needs_approval():
                document.sudo().state = "waiting"
            else:
                document._do_post()

    def action_approve(self):
        """The second person agrees: post."""
        for document in self:
            document._check_accountant()
            document._lock()
            document._check_second_person()
            document._check_ready()
            document.sudo().approved_id = self.env.user
            document._do_post()

    def action_refuse(self):
        for document in self:
            if document.requested_id != self.env.user:  # who asked may withdraw
                document._check_accountant()
            document._lock()
            document._check_waiting()
            document.sudo().state = "refused"

    def action_reverse(self):
        """Ask for the reason."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Reverse"),
            "res_model": "prepay.wallet.operation",
            "view_mode": "form",
            "target": "new",
            "context": {
                "default_operation": "reverse",
                "default_document": f"{self._name},{self.id}",
            },
        }

    def action_open_entries(self):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_billing.prepay_ledger_entry_action"
        )
        action["domain"] = [("res_model", "=", self._name), ("res_id", "=", self.id)]
        action["context"] = {}
        return action

    # posting

    def _do_post(self):
        self.ensure_one()
        self._lock()
        self._post_entries()
        self.sudo().write({"state": "done", "posted_at": fields.Datetime.now()})
        self._touched_accounts().sudo()._evaluate_supply()

    def _reverse(self, reason):
        """Post the opposite of every entry, once.

        Above the limit the one who undoes is not the one who posted.

        :raises UserError: not posted, undone already, or built upon
        """
        self.ensure_one()
        self._check_accountant()
        self._lock()
        if self.state != "done":
            raise UserError(
                self.env._("%s is not posted, so there is nothing to reverse.", self.number)
            )
        poster = self.approved_id or self.requested_id
        if self._needs_approval() and poster == self.env.user:
            raise UserError(
                self.env._("%s was posted by you. Somebody else has to reverse it.", self.number)
            )
        self._check_reversible()
        entries = self._entries()
        entries._check_reversal()
        entries._post_reversal(reason, self)
        self.sudo().write({"state": "reversed", "reversed_at": fields.Datetime.now()})
        self.message_post(body=self.env._("Reversed: %s", reason))
        entries.account_id.sudo()._evaluate_supply()

    def _touched_accounts(self):
        return self._entries().account_id

    def _check_submitter(self):
        """Who may ask for it."""
        self._check_accountant()

    def _check_accountant(self):
        if not (self.env.su or self.env.user.has_group("prepay_billing.group_accountant")):
            raise AccessError(self.env._("Only facility accountants may move money in wallets."))
        self.check_access("write")
