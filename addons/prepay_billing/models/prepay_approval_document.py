from odoo import api, models
from odoo.exceptions import UserError
from odoo.tools import SQL, formatLang


class PrepayApprovalDocument(models.AbstractModel):
    """A document that may wait for a second person, and that two people may press at once.

    Those who can approve it find it in their activities: each accountant of the company but the one
    who asked gets one, and loses it when it is decided.
    """

    _name = "prepay.approval.document"
    _description = "Document with an Approval"
    _inherit = ["mail.thread", "mail.activity.mixin"]

    def write(self, vals):
        if self._approval_fields().isdisjoint(vals):
            return super().write(vals)
        before = self.filtered(lambda item: item._awaits_approval())
        result = super().write(vals)
        after = self.filtered(lambda item: item._awaits_approval())
        (after - before)._ask_approval()
        (before - after)._end_approval()
        return result

    # what a document defines

    @api.model
    def _approval_fields(self):
        """Fields that decide whether it waits."""
        return {"state"}

    def _awaits_approval(self):
        return self.state == "waiting"

    def _approval_requester(self):
        return self.requested_id

    def _approval_amount(self):
        """Money that the second person agrees to, CNY."""
        raise NotImplementedError

    def _approval_subject(self):
        """What the second person agrees to, in few words of the language of the company."""
        return formatLang(self.env, self._approval_amount(), currency_obj=self.currency_id)

    # activities

    def _approvers(self):
        """Accountants of the company who did not ask."""
        group = self.env.ref("prepay_billing.group_accountant").sudo()
        return group.all_user_ids.filtered(
            lambda user: (
                user.active
                and not user.share
                and self.company_id in user.company_ids
                and user != self._approval_requester()
            )
        )

    def _ask_approval(self):
        for document in self.sudo():
            words = document.company_id._prepay_env()
            summary = words._(
                "Approve %(kind)s %(document)s: %(subject)s",
                kind=words["ir.model"]._get(document._name).name,
                document=document.display_name,
                subject=document.with_env(words)._approval_subject(),
            )
            for user in document._approvers():
                document.activity_schedule(
                    "mail.mail_activity_data_todo", summary=summary, user_id=user.id
                )

    def _end_approval(self):
        self.sudo().activity_unlink(["mail.mail_activity_data_todo"])

    # what follows from pressing a button

    def _lock(self):
        """Two people who press at once: one waits and then finds the new state."""
        self.flush_recordset()
        self.env.cr.execute(
            SQL(
                "SELECT id FROM %s WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
                SQL.identifier(self._table),
                self.ids,
            )
        )
        self.invalidate_recordset()

    def _check_waiting(self):
        self.ensure_one()
        if self.state != "waiting":
            raise UserError(self.env._("%s does not wait for an approval.", self.number))

    def _check_second_person(self):
        """It waits, and not the one who asked agrees (four-eyes)."""
        self._check_waiting()
        if self._approval_requester() == self.env.user:
            raise UserError(
                self.env._("%s was requested by you. Somebody else has to approve it.", self.number)
            )

    def _entries(self):
        """Wallet entries that the document itself posted, without reversals."""
        return (
            self.env["prepay.ledger.entry"]
            .sudo()
            .search(
                [
                    ("res_model", "=", self._name),
                    ("res_id", "in", self.ids),
                    ("kind", "!=", "reversal"),
                ],
                order="id",
            )
        )
