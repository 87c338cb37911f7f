import logging
from datetime import timedelta

import psycopg2
from odoo import api, fields, models
from odoo.exceptions import AccessError

_logger = logging.getLogger(__name__)

#: Days for which scheduled runs are kept; those that a person started stay.
KEEP_DAYS = 60


class PrepayChargeRun(models.Model):
    """One pass from readings to posted charges, with its progress.

    The scheduled action carries runs out in batches, each in a transaction of its own. What a batch
    has done is done for good, and what it has not is found again by the next one: a run may stop and
    be repeated at any point. Scheduled runs leave a record when they posted something or failed.
    """

    _name = "prepay.charge.run"
    _description = "Charge Run"
    _order = "id desc"
    _rec_name = "started_at"

    trigger = fields.Selection(
        [("scheduled", "Scheduled"), ("manual", "By a person")],
        string="Started",
        required=True,
        readonly=True,
        default="manual",
    )
    user_id = fields.Many2one(
        "res.users", string="By", readonly=True, default=lambda self: self.env.user
    )
    state = fields.Selection(
        [
            ("waiting", "Waiting"),
            ("running", "Running"),
            ("done", "Done"),
            ("failed", "Failed"),
        ],
        required=True,
        readonly=True,
        default="waiting",
        index=True,
    )
    stage = fields.Selection(
        [("rate", "Rating readings"), ("post", "Posting charges")], readonly=True, default="rate"
    )
    position = fields.Integer(readonly=True, help="The last meter assignment that is done.")
    started_at = fields.Datetime(readonly=True)
    finished_at = fields.Datetime(readonly=True)
    rated_count = fields.Integer(string="Meters Rated", readonly=True)
    posted_count = fields.Integer(string="Meters Posted", readonly=True)
    entry_count = fields.Integer(string="Wallet Entries", readonly=True)
    problem_count = fields.Integer(string="Problems", readonly=True)
    error = fields.Char(readonly=True)
    progress = fields.Float(compute="_compute_progress")

    @api.depends("state", "stage", "position")
    def _compute_progress(self):
        """Percent of the meter assignments that both stages have passed."""
        self.env.cr.execute("SELECT COALESCE(max(id), 0) FROM prepay_account_meter")
        last = self.env.cr.fetchone()[0]
        for run in self:
            part = min(run.position / last, 1) if last else 1
            if run.state == "done":
                run.progress = 100
            else:
                run.progress = 50 * part + (50 if run.stage == "post" else 0)

    # actions

    @api.model
    def action_start(self):
        """Ask for a run now; the scheduled action carries it out in the background."""
        self._check_may_start()
        run = self.sudo().search([("state", "in", ("waiting", "running"))], limit=1)
        run = run or self.sudo().create({"user_id": self.env.uid})
        self._trigger()
        return {
            "type": "ir.actions.act_window",
            "res_model": self._name,
            "res_id": run.id,
            "view_mode": "form",
            "views": [(False, "form")],
        }

    def action_retry(self):
        """Go on with runs that failed, where they stopped."""
        self._check_may_start()
        failed = self.sudo().filtered(lambda run: run.state == "failed")
        failed.write({"state": "waiting", "error": False, "finished_at": False})
        self._trigger()
        return True

    def action_open_problems(self):
        """Meter assignments whose usage cannot be rated, with the reason."""
        return self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_billing.prepay_account_meter_problem_action"
        )

    @api.model
    def _check_may_start(self):
        allowed = ("prepay_billing.group_accountant", "prepay_meter.group_admin")
        if not self.env.su and not any(map(self.env.user.has_group, allowed)):
            raise AccessError(self.env._("Only accountants and administrators start charge runs."))

    @api.model
    def _trigger(self):
        self.env.ref("prepay_billing.ir_cron_rate_and_supply").sudo()._trigger()

    # the run

    @api.model
    def _cron_charge(self, batch=5000):
        """Rate and post in batches, committed one by one, for the scheduled action.

        Carries out what persons asked for as well. When time is over or the server stops, the next
        call goes on: nothing is lost and nothing is done twice.

        :return: the assignments that were rated or posted
        """
        run = self.sudo().search([("state", "in", ("waiting", "running"))], order="id", limit=1)
        if not run:
            run = self.sudo().create({"trigger": "scheduled"})
        touched = {}
        try:
            run._start()
            left = True
            while left and run.exists() and run.state == "running":
                with self.env.cr.savepoint():
                    ids = run._step(batch)
                touched.update(dict.fromkeys(ids))
                left = self.env["ir.cron"]._commit_progress(len(ids))
        except psycopg2.errors.SerializationFailure:
            _logger.info("charge run gave way to another transaction; the next call goes on")
        except Exception as error:
            _logger.exception("charge run failed")
            run._finish("failed", str(error) or type(error).__name__)
            self.env["ir.cron"]._commit_progress(0)
        return self.env["prepay.account.meter"].browse(touched)

    def _start(self):
        if self.state == "waiting":
            self.update({"state": "running", "started_at": fields.Datetime.now()})

    def _step(self, batch):
        """One batch of the present stage; return the ids of the assignments it changed."""
        if self.stage == "post":
            ids, after, entries = self.env["prepay.charge"]._post_batch(self.position, batch)
            self.posted_count += len(ids)
            self.entry_count += entries
        else:
            ids, after, posted, entries = self.env["prepay.account.meter"]._charge_batch(
                self.position, batch
            )
            self.rated_count += len(ids)
            self.posted_count += posted
            self.entry_count += entries
        if after is not None:
            self.position = after
        elif self.stage == "post":
            self._finish("done")
        else:
            self.update({"stage": "post", "position": 0})
        return ids

    def _finish(self, state, error=False):
        """Close the run; a scheduled one leaves a record only when it has something to tell."""
        vals = {
            "state": state,
            "error": error,
            "finished_at": fields.Datetime.now(),
            "problem_count": self.env["prepay.account.meter"]
            .sudo()
            .search_count([("problem", "!=", False)]),
        }
        self.update(vals)
        if self.trigger == "scheduled" and state == "done" and not self.entry_count:
            self.unlink()

    @api.autovacuum
    def _gc_scheduled(self):
        """Forget old scheduled runs."""
        before = fields.Datetime.now() - timedelta(days=KEEP_DAYS)
        self.search([("trigger", "=", "scheduled"), ("create_date", "<", before)]).unlink()
