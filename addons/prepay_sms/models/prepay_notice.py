import re
from uuid import uuid4

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError

from ..const import (
    FAILURES,
    FOLLOWS,
    KIND_OF_LEVEL,
    KINDS,
    RECEIPT_STATES,
    RESULT_TO_FAILURE,
    RESULT_TO_STATE,
    STAMPS,
    STATES,
)
from ..tools import phone
from ..tools.text import plain

_UUID = re.compile(r"[0-9a-f]{32}", re.ASCII)


class PrepayNotice(models.Model):
    """A message to a person about an account, from the queue to the phone.

    A row is written in the transaction of what it tells; the SMS queue of Odoo sends it afterwards.
    The key makes one crossing, one decision or one payment tell a person once.
    """

    _name = "prepay.notice"
    _description = "Notice"
    _order = "id desc"
    _rec_name = "kind"

    account_id = fields.Many2one(
        "prepay.account", required=True, index=True, ondelete="cascade", readonly=True
    )
    location_id = fields.Many2one(related="account_id.location_id", store=True, index=True)
    company_id = fields.Many2one(related="account_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="company_id.currency_id")
    partner_id = fields.Many2one(
        "res.partner",
        string="Recipient",
        required=True,
        index=True,
        ondelete="restrict",
        readonly=True,
    )
    kind = fields.Selection(KINDS, required=True, readonly=True)
    key = fields.Char(
        required=True, readonly=True, help="The same occasion never tells a person twice."
    )
    round = fields.Integer(
        readonly=True, aggregator=None, help="Recovery round of the account at that time."
    )
    amount = fields.Monetary(readonly=True, help="The payment, otherwise the available amount.")
    available = fields.Monetary(readonly=True)
    number = fields.Char(readonly=True, groups="prepay_meter.group_operator")
    number_masked = fields.Char(
        string="Number (Masked)", compute="_compute_number_masked", compute_sudo=True
    )
    body = fields.Text(string="Text", readonly=True)
    uuid = fields.Char(
        string="UUID", required=True, readonly=True, copy=False, default=lambda self: uuid4().hex
    )
    sms_id = fields.Many2one(
        "sms.sms",
        string="SMS",
        readonly=True,
        copy=False,
        ondelete="set null",
        index="btree_not_null",
    )
    state = fields.Selection(STATES, required=True, readonly=True, default="queued", index=True)
    failure = fields.Selection(FAILURES, readonly=True)
    failure_detail = fields.Char(string="Answer of the Gateway", readonly=True)
    attempts = fields.Integer(
        readonly=True, aggregator=None, help="How often the message was put into the queue."
    )
    queued_at = fields.Datetime(
        string="Queued On", required=True, readonly=True, default=fields.Datetime.now
    )
    sent_at = fields.Datetime(string="Sent On", readonly=True)
    delivered_at = fields.Datetime(string="Delivered On", readonly=True)
    failed_at = fields.Datetime(string="Failed On", readonly=True)
    can_resend = fields.Boolean(compute="_compute_can_resend", compute_sudo=True)

    _key_unique = models.Constraint("UNIQUE (key)", "This notice exists already.")
    _uuid_unique = models.Constraint("UNIQUE (uuid)", "Another notice has this identifier.")

    @api.depends("number")
    def _compute_number_masked(self):
        for notice in self:
            notice.number_masked = phone.mask(notice.number)

    @api.depends("state", "sms_id", "account_id.level", "account_id.notice_round")
    def _compute_can_resend(self):
        for notice in self:
            stuck = notice.state == "failed" or (notice.state == "queued" and not notice.sms_id)
            notice.can_resend = stuck and not notice._is_outdated()

    @api.depends("kind", "account_id")
    def _compute_display_name(self):
        labels = dict(self._fields["kind"]._description_selection(self.env))
        for notice in self:
            notice.display_name = (
                f"{labels.get(notice.kind, '')} · {notice.account_id.display_name}"
            )

    # screens

    def action_resend(self):
        """Put failed notices into the queue once more, with the number the person has now."""
        if not self.env.user.has_group("prepay_meter.group_operator"):
            raise AccessError(self.env._("Only operators may send notices again."))
        self.check_access("read")
        todo = self.sudo().filtered("can_resend")
        if not todo:
            raise UserError(
                self.env._("Only failed notices that are still true can be sent again.")
            )
        for notice in todo:
            notice.number = phone.normalise(notice.partner_id.phone) or notice.partner_id.phone
            if not notice.body:
                notice.body = notice._compose()
        todo._enqueue()
        failed = todo.filtered(lambda notice: notice.state == "failed")
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "warning" if failed else "success",
                "message": self.env._(
                    "Queued: %(queued)s. Failed again: %(failed)s.",
                    queued=len(todo - failed),
                    failed=len(failed),
                ),
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    # writing

    @api.model
    def _queue(self, account, kind, occasion, available, amount=None):
        """Tell the people of an account something, once for each occasion. Only queues.

        :param occasion: what makes the notice unique on this account, such as "topup:12"
        :param available: CNY
        :param amount: CNY of the payment; without it the available amount
        :return: the new notices, empty when sending is off or all were told before
        """
        notices = self.sudo()
        if not account.company_id.sudo().prepay_sms_enabled:
            return notices
        # Two that tell the same crossing at one time meet at the account's row, and one is
        # run again; here they would only fail.
        account.flush_recordset()
        for partner in account._notice_recipients():
            key = f"{account.id}:{occasion}:{partner.id}"
            if self.sudo().search_count([("key", "=", key)], limit=1):
                continue
            notice = self.sudo().create(
                {
                    "account_id": account.id,
                    "partner_id": partner.id,
                    "kind": kind,
                    "key": key,
                    "round": account.notice_round,
                    "amount": float(available if amount is None else amount),
                    "available": float(available),
                    "number": phone.normalise(partner.phone) or partner.phone,
                }
            )
            notice.body = notice._compose()
            notices += notice
        notices._enqueue()
        return notices

    def _compose(self):
        """The text in the language of the recipient, or False without a template."""
        self.ensure_one()
        account, company = self.account_id, self.company_id
        now = fields.Datetime.context_timestamp(
            self.with_context(tz=account.location_id.tz or "Asia/Shanghai"), fields.Datetime.now()
        )
        lang = self.partner_id.lang or company.partner_id.lang or self.env.lang
        values = {
            "room": account.location_id.name,
            "account": account.number,
            "tenant": self.partner_id.name or "",
            "amount": f"{self.amount:.2f}",
            "available": f"{self.available:.2f}",
            "company": company.name,
            "time": f"{now:%m-%d %H:%M}",
        }
        return self.env["prepay.notice.template"]._text(self.kind, company, lang, values) or False

    def _enqueue(self):
        """Hand these notices to the SMS queue; what cannot be sent fails at once."""
        for notice in self:
            failure = notice._obstacle()
            if failure:
                notice._advance("failed", failure)
                continue
            notice._advance("queued")
            sms = notice.sms_id.filtered(
                lambda item: item.state in ("error", "canceled", "outgoing")
            )
            vals = {
                "number": notice.number,
                "body": notice.body,
                "state": "outgoing",
                "failure_type": False,
                "to_delete": False,
            }
            if sms:
                sms.write(vals)
                self.env.ref("sms.ir_cron_sms_scheduler_action")._trigger()
            else:
                # The identifier stays: a gateway that has the message does not send it twice.
                self.env["sms.sms"].search([("uuid", "=", notice.uuid)]).unlink()
                sms = (
                    self.env["sms.sms"]
                    .with_company(notice.company_id)
                    .create(
                        {
                            **vals,
                            "uuid": notice.uuid,
                            "partner_id": notice.partner_id.id,
                            "prepay_company_id": notice.company_id.id,
                        }
                    )
                )
            notice.write({"sms_id": sms.id, "attempts": notice.attempts + 1})

    def _obstacle(self):
        """Code of what keeps this notice from being sent, or None."""
        self.ensure_one()
        return self.company_id._prepay_sms_obstacle() or (
            (not self.body and "no_template")
            or (not self.number and "no_number")
            or (not phone.normalise(self.number) and "bad_number")
            or (self._is_outdated() and "outdated")
            or None
        )

    def _is_outdated(self):
        """Since this notice of a level the account has recovered, or fallen further."""
        self.ensure_one()
        if self.kind not in KIND_OF_LEVEL.values():
            return False
        account = self.account_id
        return account.notice_round != self.round or KIND_OF_LEVEL.get(account.level) != self.kind

    def _advance(self, state, failure=False, detail=False):
        """Move those of these notices that may take the state; the others stay as they are.

        :return: the notices that moved
        """
        moved = self.filtered(lambda notice: notice.state in FOLLOWS[state])
        if state == "failed":
            # The reason of the newest try replaces the one before.
            moved |= self.filtered(
                lambda notice: notice.state == "failed" and notice.failure != failure
            )
        vals = {"state": state, "failure": failure, "failure_detail": detail}
        if state in STAMPS:
            vals[STAMPS[state]] = fields.Datetime.now()
        if state == "queued":
            vals["queued_at"] = fields.Datetime.now()
        moved.write(vals)
        moved.filtered(
            lambda notice: state == "delivered" and not notice.sent_at
        ).sent_at = fields.Datetime.now()
        if state == "delivered":
            moved._confirm_final()
        return moved

    def _confirm_final(self):
        """A delivered final notice lets the policy act, unless the account has recovered since."""
        for notice in self.filtered(lambda item: item.kind == "final"):
            account = notice.account_id
            if account.due_since and not account.notice_at and account.notice_round == notice.round:
                account.notice_at = notice.delivered_at

    # what comes back

    def _apply_results(self, results):
        """Take over what a provider said when it was handed the messages."""
        by_uuid = {result["uuid"]: result for result in results if result.get("uuid")}
        for notice in self:
            result = by_uuid.get(notice.uuid)
            if result is None:
                continue
            state = RESULT_TO_STATE.get(result["state"])
            if state:
                notice._advance(state)
            else:
                failure = RESULT_TO_FAILURE.get(result["state"], "refused")
                notice._advance("failed", failure, result.get("failure_reason") or False)

    @api.model
    def _apply_receipts(self, company, receipts):
        """Take over delivery receipts of a gateway. The same receipt may come again and again.

        :param receipts: dicts with uuid, state (see ``const.RECEIPT_STATES``) and optional reason
        :return: how many receipts named a message of this company and a known state
        """
        valid = [
            item
            for item in receipts
            if isinstance(item, dict)
            and isinstance(item.get("uuid"), str)
            and _UUID.fullmatch(item["uuid"])
            and isinstance(item.get("state"), str)
            and item["state"] in RECEIPT_STATES
        ]
        notices = self.sudo().search(
            [("uuid", "in", [item["uuid"] for item in valid]), ("company_id", "=", company.id)]
        )
        by_uuid = {notice.uuid: notice for notice in notices}
        known = 0
        for item in valid:
            notice = by_uuid.get(item["uuid"])
            if not notice:
                continue
            known += 1
            state = RECEIPT_STATES[item["state"]]
            if state == "failed":
                notice._advance("failed", "undelivered", plain(item.get("reason")))
            else:
                notice._advance(state)
            if notice.state == "delivered" and notice.sms_id.state != "sent":
                notice.sms_id.write({"state": "sent", "failure_type": False, "to_delete": True})
        return known
