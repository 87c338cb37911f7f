from odoo import fields, models

from ..tools.sms_api import SmsApiHttp


class SmsSms(models.Model):
    _inherit = "sms.sms"

    prepay_company_id = fields.Many2one(
        "res.company",
        string="Prepaid Company",
        readonly=True,
        index="btree_not_null",
        ondelete="set null",
        help="Company of a notice: the queue runs without one.",
    )

    def _get_sms_company(self):
        return self.prepay_company_id or super()._get_sms_company()

    def _split_by_api(self):
        others = self.browse()
        for company, group in self.grouped(lambda sms: sms._get_sms_company()).items():
            api_class = company._get_sms_api_class()
            if issubclass(api_class, SmsApiHttp):
                api = api_class(self.env)
                api._set_company(company)
                yield api, group
            else:
                others += group
        if others:
            yield from super(SmsSms, others)._split_by_api()

    def _send(self, unlink_failed=False, unlink_sent=True, raise_exception=False):
        options = {
            "unlink_failed": unlink_failed,
            "unlink_sent": unlink_sent,
            "raise_exception": raise_exception,
        }
        if self.env.context.get("sms_api"):
            return super()._send(**options)
        # The queue comes here with the messages of all companies.
        for api, group in self._split_by_api():
            super(SmsSms, group.with_context(sms_api=api))._send(**options)
        return None

    def _send_with_api(self, sms_api, unlink_failed=False, unlink_sent=True, raise_exception=False):
        ready = self._prepay_ready()
        if not ready:
            return None
        return super(SmsSms, ready)._send_with_api(
            sms_api,
            unlink_failed=unlink_failed,
            unlink_sent=unlink_sent,
            raise_exception=raise_exception,
        )

    def _prepay_ready(self):
        """These messages without notices that must not leave now.

        The rows of the notices are locked: a receipt that comes before this transaction ends waits
        for it. Otherwise the transaction would fail after sending, and all would be sent again.
        """
        ours = self.filtered("prepay_company_id")
        notices = ours._prepay_notices()
        free = notices.try_lock_for_update()
        busy = set((notices - free).mapped("uuid"))
        if busy:
            self.env.ref("sms.ir_cron_sms_scheduler_action").sudo()._trigger()
        stopped = set()
        for notice in free:
            obstacle = notice._obstacle()
            if obstacle:
                notice._advance("failed", obstacle)
                stopped.add(notice.uuid)
        ours.filtered(lambda sms: sms.uuid in stopped)._update_sms_state_and_trackers("canceled")
        return self.filtered(lambda sms: sms.uuid not in busy | stopped)

    def _prepay_notices(self):
        uuids = self.filtered("prepay_company_id").mapped("uuid")
        return self.env["prepay.notice"].sudo().search([("uuid", "in", uuids)])

    def _update_sms_state_and_trackers(self, new_state, failure_type=None):
        result = super()._update_sms_state_and_trackers(new_state, failure_type=failure_type)
        notices = self._prepay_notices()
        if new_state == "outgoing":
            notices._advance("queued")
        elif new_state in ("canceled", "error"):
            failure = "cancelled" if new_state == "canceled" else "refused"
            notices.filtered(lambda notice: notice.state != "failed")._advance("failed", failure)
        return result

    def _handle_call_result_hook(self, results):
        self._prepay_notices()._apply_results(results)
        return super()._handle_call_result_hook(results)
