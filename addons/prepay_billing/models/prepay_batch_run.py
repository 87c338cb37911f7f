import logging
import time
from datetime import timedelta

import psycopg2
from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tools import SQL

from ..batch_kinds import KINDS, ReadNow

_logger = logging.getLogger(__name__)

#: Lines on their way at one gateway at a time: what waits can still be cancelled, and no cut runs out
#: before its turn.
WINDOW = 100
#: Seconds for which one call of the scheduled action works, and between two looks.
SLICE, PAUSE = 30, 1.0
#: Seconds after which readings that did not come are asked for again: a collector may have restarted.
ASK_AGAIN = 30
OPEN_STATES = ("queued", "running")


class PrepayBatch(models.Model):
    """What happens in the background: starting lines, following them, and ending them early."""

    _inherit = "prepay.batch"  # pylint: disable=consider-merging-classes-inherited

    total_count = fields.Integer(string="Meters", compute="_compute_counts")
    skipped_count = fields.Integer(string="Left Out (Number)", compute="_compute_counts")
    waiting_count = fields.Integer(string="To Do", compute="_compute_counts")
    sent_count = fields.Integer(string="On Their Way", compute="_compute_counts")
    done_count = fields.Integer(string="Done", compute="_compute_counts")
    failed_count = fields.Integer(string="Failed", compute="_compute_counts")
    cancelled_count = fields.Integer(string="Not Done", compute="_compute_counts")
    progress = fields.Float(compute="_compute_counts")
    started_at = fields.Datetime(readonly=True, copy=False)
    finished_at = fields.Datetime(readonly=True, copy=False)
    asked_at = fields.Datetime(readonly=True, copy=False)
    cancel_requested = fields.Boolean(readonly=True, copy=False)

    @api.depends("line_ids.state", "state")
    def _compute_counts(self):
        counts = self._counts()
        for batch in self:
            found = counts.get(batch._origin.id, {})
            batch.skipped_count = found.get("skipped", 0)
            batch.total_count = sum(found.values()) - batch.skipped_count
            batch.waiting_count = found.get("queued", 0) + found.get("planned", 0)
            batch.sent_count = found.get("sent", 0)
            batch.done_count = found.get("done", 0)
            batch.failed_count = found.get("failed", 0)
            batch.cancelled_count = found.get("cancelled", 0)
            ended = batch.done_count + batch.failed_count + batch.cancelled_count
            batch.progress = 100.0 * ended / batch.total_count if batch.total_count else 0.0

    def action_cancel(self):
        """Do not start what was not started; withdraw what no device has got yet."""
        self.ensure_one()
        self._check_operator()
        self._lock()
        if self.state not in ("waiting", *OPEN_STATES):
            raise UserError(self.env._("%s is over and cannot be cancelled.", self.number))
        batch = self.sudo()
        batch._end_lines(("planned", "queued"))
        batch._withdraw()
        batch.cancel_requested = True
        batch.invalidate_recordset()
        if batch.sent_count:
            self._trigger()
        else:
            batch._finish()

    def action_retry(self):
        """Try again what failed."""
        self.ensure_one()
        self._check_operator()
        self._lock()
        if self.state not in ("running", "done", "cancelled") or not self.failed_count:
            raise UserError(self.env._("Nothing of %s has failed.", self.number))
        self.env.flush_all()
        self.env.cr.execute(
            """
            UPDATE prepay_batch_line
               SET state = 'queued', result = NULL, detail = NULL, finished_at = NULL, command_id = NULL,
                   parameter_id = NULL, parameter_epoch = NULL, change_id = NULL
             WHERE batch_id = %s AND state = 'failed'
            """,
            [self.id],
        )
        self.line_ids.invalidate_model()
        self.sudo().write({"state": "running", "finished_at": False, "cancel_requested": False})
        self._trigger()

    # running

    def _queue(self):
        """Let the scheduled action begin, now or at the time that was asked for."""
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE prepay_batch_line SET state = 'queued' WHERE batch_id = %s AND state = 'planned'",
            [self.id],
        )
        self.env["prepay.batch.line"].invalidate_model()
        self.state = "queued"
        self._trigger(self.start_at)

    @api.model
    def _trigger(self, at=None):
        self.env.ref("prepay_billing.ir_cron_batch").sudo()._trigger(at or None)

    @api.model
    def _cron_run(self, seconds=SLICE):
        """Start lines and follow those on their way, until all is over or the time is up.

        :param seconds: 0: one round, without waiting
        """
        self.env["prepay.meter"]._end_guarantees()
        self.env["prepay.tariff.change"].sudo()._begin()
        until = time.monotonic() + seconds
        while True:
            done, more = 0, False
            try:
                with self.env.cr.savepoint():
                    done, more = self._round()
            except psycopg2.errors.SerializationFailure:
                _logger.info("batch operations gave way to another transaction; next round")
            self.env["ir.cron"]._commit_progress(done)
            self.env.invalidate_all()
            if not self.sudo()._running():
                return
            if time.monotonic() >= until:
                self._trigger()  # wakes the next call at once, after the other jobs
                self.env["ir.cron"]._commit_progress()
                return
            if not more:
                time.sleep(PAUSE)

    @api.model
    def _running(self):
        return self.search([("state", "=", "running")], order="id") | self.search(
            [("state", "=", "queued"), "|", ("start_at", "=", False), ("start_at", "<=", "now")],
            order="id",
        )

    @api.model
    def _round(self):
        """One transaction: note results, start the next lines.

        :return: (how many lines moved, whether more can be started at once)
        """
        lines = self.env["prepay.batch.line"].sudo()
        batches = self.sudo()._running()
        for batch in batches.filtered(lambda batch: batch.state == "queued"):
            batch.write({"state": "running", "started_at": fields.Datetime.now()})
        moved, more = lines._settle(batches), False
        for batch in batches:
            started = batch._start_lines()
            moved += started
            if started >= KINDS[batch.kind].chunk:
                more = True
                continue
            batch._ask_again()
            if not batch._left():
                batch._finish()
        return moved, more

    def _left(self):
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT EXISTS (SELECT FROM prepay_batch_line WHERE batch_id = %s AND state IN ('queued', 'sent'))",
            [self.id],
        )
        return self.env.cr.fetchone()[0]

    def _start_lines(self):
        """State the wishes of the next lines, the same number for each gateway."""
        lines = self._next_lines()
        if not lines:
            return 0
        self._judge(lines)
        ready = lines.filtered(lambda line: line.state == "queued")
        if ready:
            self._request(ready)
        return len(lines)

    def _next_lines(self):
        self.env.flush_all()
        self.env.cr.execute(
            """
            SELECT l.id FROM prepay_batch_line l
              JOIN (SELECT q.id, row_number() OVER (PARTITION BY q.gateway_id ORDER BY q.id)
                                 + COALESCE(f.number, 0) AS place, q.gateway_id
                      FROM prepay_batch_line q
                      LEFT JOIN (SELECT gateway_id, count(*) AS number FROM prepay_batch_line
                                  WHERE batch_id = %(batch)s AND state = 'sent' GROUP BY 1) f
                             ON f.gateway_id = q.gateway_id
                     WHERE q.batch_id = %(batch)s AND q.state = 'queued') n ON n.id = l.id
             WHERE n.place <= %(window)s OR n.gateway_id IS NULL
             ORDER BY n.place, l.id LIMIT %(chunk)s
               FOR UPDATE OF l
            """,
            {"batch": self.id, "window": WINDOW, "chunk": KINDS[self.kind].chunk},
        )
        return self.env["prepay.batch.line"].browse(row[0] for row in self.env.cr.fetchall())

    def _request(self, lines):
        """State the wishes of these lines; one that cannot be stated does not stop the others."""
        kind = KINDS[self.kind]
        asker = self.with_user(self.requested_id or self.env.user).sudo()
        lines = lines.with_env(asker.env)
        try:
            with self.env.cr.savepoint():
                kind.request(asker, lines)
        except psycopg2.errors.SerializationFailure:
            raise
        except (UserError, ValidationError, AccessError, psycopg2.Error) as error:
            lines.invalidate_recordset()
            if len(lines) == 1:
                lines._fail(str(error))
                return
            half = len(lines) // 2
            self._request(lines[:half])
            self._request(lines[half:])

    def _ask_again(self):
        """A request for a reading is lost with the collector that heard it."""
        if KINDS[self.kind].follow != "reading":
            return
        now = fields.Datetime.now()
        if self.asked_at and self.asked_at > now - timedelta(seconds=ASK_AGAIN):
            return
        self.asked_at = now
        late = self.env["prepay.batch.line"].search(
            [
                ("batch_id", "=", self.id),
                ("state", "=", "sent"),
                ("sent_at", "<=", now - timedelta(seconds=ASK_AGAIN)),
            ]
        )
        ReadNow.ask(self.env, late.meter_id.ids)

    def _finish(self):
        self.write(
            {
                "state": "cancelled" if self.cancel_requested else "done",
                "finished_at": fields.Datetime.now(),
            }
        )

    # ending

    def _end_lines(self, states):
        self.env.flush_all()
        self.env.cr.execute(
            """
            UPDATE prepay_batch_line SET state = 'cancelled', finished_at = now() AT TIME ZONE 'UTC'
             WHERE batch_id = %s AND state = ANY(%s)
            """,
            [self.id, list(states)],
        )
        self.env["prepay.batch.line"].invalidate_model()
        self.invalidate_recordset()

    def _withdraw(self):
        """Take back the wishes that no device has got: the one before stands again."""
        follow = KINDS[self.kind].follow
        self.env.flush_all()
        if follow == "command":
            self._withdraw_commands()
        elif follow == "parameter":
            self._withdraw_parameters()
        elif follow:
            self._end_lines(("sent",))

    def _withdraw_commands(self):
        # The command's own state stops a collector that is about to send it.
        self.env.cr.execute(
            """
            WITH open AS (
                SELECT c.id FROM prepay_meter_command c JOIN prepay_batch_line l ON l.command_id = c.id
                 WHERE l.batch_id = %s AND l.state = 'sent' AND c.state = 'queued' FOR UPDATE OF c),
            void AS (
                UPDATE prepay_meter_command c SET state = 'superseded', write_date = now() AT TIME ZONE 'UTC'
                  FROM open WHERE c.id = open.id RETURNING c.id, c.meter_id, c.epoch),
            back AS (
                UPDATE prepay_meter m
                   SET desired_relay = l.before_relay, desired_epoch = m.desired_epoch + 1
                  FROM void v JOIN prepay_batch_line l ON l.command_id = v.id AND l.batch_id = %s
                 WHERE m.id = v.meter_id AND m.desired_epoch = v.epoch)
            UPDATE prepay_batch_line l
               SET state = 'cancelled', result = 'withdrawn', finished_at = now() AT TIME ZONE 'UTC'
              FROM void v WHERE v.id = l.command_id AND l.batch_id = %s
            """,
            [self.id, self.id, self.id],
        )
        self.env.invalidate_all()

    def _withdraw_parameters(self):
        self.env.cr.execute(
            """
            SELECT l.id FROM prepay_batch_line l JOIN prepay_meter_parameter p ON p.id = l.parameter_id
             WHERE l.batch_id = %s AND l.state = 'sent' AND p.state = 'queued' AND p.epoch = l.parameter_epoch
               AND l.before_known FOR UPDATE OF p
            """,
            [self.id],
        )
        lines = self.env["prepay.batch.line"].browse(row[0] for row in self.env.cr.fetchall())
        name = KINDS[self.kind].parameter
        for group in lines.grouped(
            lambda line: (line.before_value, repr(line.before_document))
        ).values():
            self.env["prepay.meter.parameter"]._request(
                group.meter_id.with_context(tracking_disable=True),
                name,
                group[0].before_value or 0,
                group[0].before_document or None,
                self.env._("%s was cancelled", self.number),
            )
        lines.write(
            {"state": "cancelled", "result": "withdrawn", "finished_at": fields.Datetime.now()}
        )

    # progress

    def _counts(self):
        """{batch id: {state of line: number}} as it is this moment, ahead of what is written down."""
        ids = [key for key in self._origin.ids if key]
        if not ids:
            return {}
        lines = self.env["prepay.batch.line"]
        lines.flush_model()
        self.env.cr.execute(
            "SELECT batch_id, state, count(*) FROM prepay_batch_line WHERE batch_id = ANY(%s) GROUP BY 1, 2",
            [ids],
        )
        found = {}
        for batch, state, count in self.env.cr.fetchall():
            found.setdefault(batch, {})[state] = count
        running = self._origin.filtered(lambda batch: batch.state == "running")
        outcomes = lines._outcomes(running) if running else None
        if outcomes is not None:
            self.env.cr.execute(
                SQL("SELECT v.batch_id, v.state, count(*) FROM (%s) v GROUP BY 1, 2", outcomes)
            )
            for batch, state, count in self.env.cr.fetchall():
                found[batch][state] = found[batch].get(state, 0) + count
                found[batch]["sent"] -= count
        return found
