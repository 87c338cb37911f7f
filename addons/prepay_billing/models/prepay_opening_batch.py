import logging

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import get_lang
from psycopg2 import IntegrityError, OperationalError

_logger = logging.getLogger(__name__)

#: So many are opened while the person waits; more go on in the background.
AT_ONCE = 50


class PrepayOpeningBatch(models.Model):
    """One press of one-click opening (一键开户): what became of each room.

    A row is opened or not in a transaction of its own. Whatever stops the run, the rows that are done
    stay done and the others go on later.
    """

    _name = "prepay.opening.batch"
    _description = "One-click Opening"
    _order = "id desc"
    _rec_name = "id"

    user_id = fields.Many2one("res.users", string="Started By", required=True, readonly=True)
    company_id = fields.Many2one(
        "res.company", required=True, readonly=True, default=lambda self: self.env.company
    )
    state = fields.Selection(
        [("queued", "Waiting"), ("running", "Running"), ("done", "Finished")],
        default="queued",
        required=True,
        readonly=True,
        index=True,
    )
    started_at = fields.Datetime(default=fields.Datetime.now, readonly=True)
    finished_at = fields.Datetime(readonly=True)
    opening_ids = fields.One2many("prepay.opening", "batch_id", string="Openings", readonly=True)
    total = fields.Integer(string="Rooms", compute="_compute_counts")
    done_count = fields.Integer(string="Opened", compute="_compute_counts")
    failed_count = fields.Integer(string="Not Opened", compute="_compute_counts")
    waiting_count = fields.Integer(string="Waiting", compute="_compute_counts")
    progress = fields.Float(compute="_compute_counts")

    @api.depends("opening_ids.state")
    def _compute_counts(self):
        counts = {}
        for batch, state, count in self.env["prepay.opening"]._read_group(
            [("batch_id", "in", self.ids)], ["batch_id", "state"], ["__count"]
        ):
            counts.setdefault(batch.id, {})[state] = count
        for batch in self:
            found = counts.get(batch.id, {})
            batch.total = sum(found.values())
            batch.waiting_count = found.get("queued", 0)
            batch.failed_count = found.get("draft", 0)
            batch.done_count = batch.total - batch.waiting_count - batch.failed_count
            batch.progress = (
                100.0 * (batch.total - batch.waiting_count) / batch.total if batch.total else 100.0
            )

    @api.depends("started_at", "user_id")
    @api.depends_context("tz")
    def _compute_display_name(self):
        for batch in self:
            at = fields.Datetime.context_timestamp(batch, batch.started_at or fields.Datetime.now())
            batch.display_name = f"{at:%Y-%m-%d %H:%M} · {batch.user_id.name}"

    # buttons

    def action_retry(self):
        """Open again what could not be opened."""
        self.ensure_one()
        failed = self.opening_ids.filtered(lambda item: item.state == "draft")
        if not failed:
            raise UserError(self.env._("Nothing failed."))
        failed._check_opener()
        failed.write({"state": "queued", "problem": False})
        self.sudo()._begin(failed)

    def action_stop(self):
        """What is not opened yet becomes a preset again."""
        self.ensure_one()
        waiting = self.opening_ids.filtered(lambda item: item.state == "queued")
        waiting._check_opener()
        waiting.write({"state": "draft", "problem": self.env._("Stopped before it was opened.")})
        self.sudo()._finish()

    def action_print(self):
        """Print the receipts of all that were opened."""
        self.ensure_one()
        return self.opening_ids.filtered(lambda item: item.state == "done").action_print_receipt()

    def _show(self):
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("One-click Opening"),
            "res_model": self._name,
            "res_id": self.id,
            "views": [(False, "form")],
        }

    # running

    def _begin(self, openings):
        """Open these at once, or leave them to the background when they are many."""
        self.ensure_one()
        self.write({"state": "running", "finished_at": False})
        if len(openings) > AT_ONCE:
            self.state = "queued"
            self.env.ref("prepay_billing.ir_cron_openings").sudo()._trigger()
            return
        for opening in openings:
            opening._open_or_note()
        self._finish()

    def _finish(self):
        for batch in self:
            if not batch.opening_ids.filtered(lambda item: item.state == "queued"):
                batch.write({"state": "done", "finished_at": fields.Datetime.now()})

    @api.model
    def _cron_run(self):
        """Go on with what waits, row by row, as the one who started it."""
        queued = self.env["prepay.opening"].search([("state", "=", "queued")], order="batch_id, id")
        commit = self.env["ir.cron"]._commit_progress
        commit(remaining=len(queued))
        for opening in queued:
            batch = opening.batch_id
            if batch.state == "queued":
                batch.state = "running"
            user = batch.user_id
            opening.with_user(user).with_context(
                lang=user.lang or get_lang(self.env).code,
                tz=user.tz,
                allowed_company_ids=batch.company_id.ids,
            )._open_or_note()
            batch._finish()
            if not commit(1):
                return

    @api.model
    def _explain(self, error):
        """Why one row failed, in words for people.

        :raises OperationalError: the database asks to repeat; the caller's transaction does
        """
        if isinstance(error, OperationalError):
            raise error
        if isinstance(error, UserError):
            return str(error.args[0])
        if isinstance(error, IntegrityError):
            for model in ("prepay.account.meter", "prepay.opening", "prepay.opening.meter"):
                for rule in self.env[model]._table_objects.values():
                    if rule.full_name(self.env[model]) == error.diag.constraint_name:
                        return str(rule.get_error_message(self.env[model], error.diag))
        _logger.exception("An opening failed")
        return self.env._("Something unexpected happened: %s. Tell the administrator.", error)
