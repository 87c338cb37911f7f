from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError

from ..batch_kinds import KINDS

#: Minutes after which a preview is made anew before the operation begins.
PREVIEW_MINUTES = 10


class PrepayBatch(models.Model):
    """One operation on many meters (批量操作): chosen, previewed, approved, run in the background.

    The lines are the meters. A scheduled action states their wishes in chunks, each in a transaction
    with the lines that it marks; what the collector then makes of them is read from the commands and
    parameters. So a server that dies anywhere repeats nothing and loses nothing.
    """

    _name = "prepay.batch"
    _description = "Batch Operation"
    _inherit = ["prepay.approval.document"]
    _order = "id desc"
    _rec_name = "number"
    _check_company_auto = True

    number = fields.Char(readonly=True, copy=False, default=lambda self: self.env._("New"))
    kind = fields.Selection(
        selection="_selection_kind", string="Operation", required=True, default="read"
    )
    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company, index=True
    )
    currency_id = fields.Many2one(related="company_id.currency_id")
    state = fields.Selection(
        [
            ("draft", "Choose"),
            ("ready", "Preview"),
            ("waiting", "Waiting for Approval"),
            ("queued", "Queued"),
            ("running", "Running"),
            ("done", "Done"),
            ("cancelled", "Cancelled"),
        ],
        required=True,
        default="draft",
        readonly=True,
        copy=False,
        index=True,
        tracking=True,
    )
    reason = fields.Char(tracking=True)
    skip_offline = fields.Boolean(
        string="Leave Out Meters That Do Not Answer",
        default=True,
        help="Otherwise the wish waits until they answer again; switching off waits ten minutes.",
    )
    start_at = fields.Datetime(string="Begin At", help="Empty: at once.", tracking=True)
    guarantee_until = fields.Datetime(help="Empty: until a person ends it.")
    tariff_id = fields.Many2one("prepay.tariff", check_company=True, tracking=True)
    valid_from = fields.Datetime(
        string="Prices Valid From",
        help="Empty: from the start. Where use is rated already, the new tariff begins behind it.",
    )
    amount = fields.Float(string="Amount (CNY)", digits=(16, 2))
    power_w = fields.Integer(string="Power (W)", help="0 for no limit.")
    plan_text = fields.Text(
        string="Plan",
        help="One line for each group of days: workday 05:50 on 23:00 off. Empty: no time control.",
    )
    policy_id = fields.Many2one(
        "prepay.supply.policy", check_company=True, help="Empty: as the place of the account."
    )
    line_ids = fields.One2many("prepay.batch.line", "batch_id", readonly=True)
    requested_id = fields.Many2one("res.users", string="Requested By", readonly=True, copy=False)
    approved_id = fields.Many2one("res.users", string="Approved By", readonly=True, copy=False)

    @api.model
    def _selection_kind(self):
        labels = {
            "read": self.env._("Read Now"),
            "off": self.env._("Force Off"),
            "on": self.env._("Force On"),
            "release": self.env._("Return to Prepaid"),
            "guarantee_on": self.env._("Guarantee the Supply"),
            "guarantee_off": self.env._("End the Guarantee"),
            "tariff": self.env._("Change the Tariff"),
            "alarm_1": self.env._("Alarm Amount 1"),
            "alarm_2": self.env._("Alarm Amount 2"),
            "overload": self.env._("Overload Limit"),
            "malicious": self.env._("Malicious Load"),
            "time_control": self.env._("Time Control"),
            "clock": self.env._("Set the Clock"),
            "policy": self.env._("Supply Policy"),
            "open": self.env._("Open the Presets"),
            "resend": self.env._("Send Failed Settings Again"),
        }
        if "prepay.opening" not in self.env:
            del labels["open"]
        return [(code, labels[code]) for code in KINDS if code in labels]

    @api.model_create_multi
    def create(self, vals_list):
        batches = super().create(vals_list)
        for batch in batches:
            batch.number = f"PC{batch.id:06d}"
        return batches

    def write(self, vals):
        choice = {"kind", "location_ids", "meter_ids", "domain", "tiles", "skip_offline", "tariff_id",
                  "valid_from", "amount", "power_w", "plan_text", "policy_id", "guarantee_until",
                  "company_id"}  # fmt: skip
        if not choice.isdisjoint(vals):
            started = self.filtered(lambda batch: batch.state not in ("draft", "ready"))
            if started:
                raise UserError(
                    self.env._(
                        "%s is under way and cannot change. Cancel it and begin a new one.",
                        ", ".join(started.mapped("number")),
                    )
                )
            previewed = self.filtered(lambda batch: batch.state == "ready" and not batch.undo_of_id)
            if previewed and "state" not in vals:
                vals = {**vals, "state": "draft"}
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_except_started(self):
        for batch in self.filtered(lambda batch: batch.state not in ("draft", "ready")):
            raise UserError(self.env._("%s was started and stays as a record.", batch.number))

    # steps

    def action_confirm(self):
        """Begin, or wait for a second person; the rest happens in the background."""
        self.ensure_one()
        self._check_operator()
        self._lock()
        if self.state != "ready":
            raise UserError(self.env._("Look at the preview of %s first.", self.number))
        self._check_values()
        if self.previewed_at < fields.Datetime.now() - timedelta(minutes=PREVIEW_MINUTES):
            self._judge()
        if not self.waiting_count:
            raise UserError(
                self.env._("%s: every meter is left out, so there is nothing to do.", self.number)
            )
        batch = self.sudo()
        batch.requested_id = self.env.user
        if batch._needs_approval():
            batch.state = "waiting"
        else:
            batch._queue()

    def action_approve(self):
        """The second person agrees."""
        self.ensure_one()
        self._check_approver()
        self._lock()
        self._check_second_person()
        batch = self.sudo()
        batch.approved_id = self.env.user
        batch._queue()

    def action_refuse(self):
        """The second person does not agree."""
        self.ensure_one()
        self._check_approver()
        self._lock()
        self._check_waiting()
        self.sudo()._end_lines(("planned", "queued"))
        self.sudo().write({"state": "cancelled", "finished_at": fields.Datetime.now()})

    def action_open_lines(self):
        """The meters with their results."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_billing.prepay_batch_line_action"
        )
        action["domain"] = [("batch_id", "=", self.id)]
        found = self.env.context.get("prepay_line_filter")
        action["context"] = {f"search_default_{found}": 1} if found else {}
        return action

    # helpers

    def _reason_text(self):
        """Plain words for the journals of the meters."""
        return " · ".join(filter(None, (self.number, (self.reason or "").strip())))

    def _zone_name(self):
        return self.env["prepay.location"].sudo()._zone_of_company(self.company_id).key

    def _open(self):
        return {
            "type": "ir.actions.act_window",
            "res_model": self._name,
            "res_id": self.id,
            "view_mode": "form",
            "views": [(False, "form")],
        }

    def _check_operator(self):
        if not (self.env.su or self.env.user.has_group("prepay_meter.group_operator")):
            raise AccessError(self.env._("Only operators run batch operations."))
        self.check_access("write")

    def _check_approver(self):
        groups = ("prepay_billing.group_accountant", "prepay_meter.group_admin")
        if not (self.env.su or any(map(self.env.user.has_group, groups))):
            raise AccessError(
                self.env._("Only accountants and administrators approve batch operations.")
            )
        self.check_access("read")

    def _approval_subject(self):
        kinds = dict(self._fields["kind"]._description_selection(self.env))
        return self.env._(
            "%(operation)s, %(count)s meters", operation=kinds[self.kind], count=self.waiting_count
        )
