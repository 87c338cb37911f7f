import io
import logging
import time
from ast import literal_eval
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import psycopg2
import xlsxwriter
from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.fields import Domain
from odoo.tools import SQL

from ..batch_kinds import KINDS, ReadNow
from .prepay_batch_line import GRADE, GRADES, TABLES

_logger = logging.getLogger(__name__)

#: Lines on their way at one gateway at a time: what waits can still be cancelled, and no cut runs out
#: before its turn.
WINDOW = 100
#: Lines from which on the planner of the database is told about them.
MANY = 500
#: Seconds for which one call of the scheduled action works, and between two looks.
SLICE, PAUSE = 30, 1.0
#: Seconds after which readings that did not come are asked for again: a collector may have restarted.
ASK_AGAIN = 30
#: Minutes after which a preview is made anew before the operation begins.
PREVIEW_MINUTES = 10
#: Hours (local) in which switching off is warned of.
NIGHT = (20, 8)
OPEN_STATES = ("queued", "running")


class PrepayBatch(models.Model):
    """One operation on many meters (批量操作): chosen, previewed, approved, run in the background.

    The lines are the meters. A scheduled action states their wishes in chunks, each in a transaction
    with the lines that it marks; what the collector then makes of them is read from the commands and
    parameters. So a server that dies anywhere repeats nothing and loses nothing.
    """

    _name = "prepay.batch"
    _description = "Batch Operation"
    _inherit = ["mail.thread"]
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
    location_ids = fields.Many2many(
        "prepay.location", string="Places", check_company=True, help="With all places in them."
    )
    meter_ids = fields.Many2many("prepay.meter", string="Only These Meters", check_company=True)
    domain = fields.Char(string="Filter", default="[]")
    tiles = fields.Char(string="States Chosen", help="Only meters in these states.")
    tile_counts = fields.Json(compute="_compute_tile_counts")
    chosen_count = fields.Integer(string="Meters Chosen", compute="_compute_tile_counts")
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
    previewed_at = fields.Datetime(readonly=True, copy=False)
    warnings = fields.Text(compute="_compute_preview")
    skipped_text = fields.Text(string="Left Out", compute="_compute_preview")
    account_count = fields.Integer(string="Accounts", compute="_compute_preview")
    room_count = fields.Integer(string="Rooms", compute="_compute_preview")
    head_count = fields.Integer(string="Persons", compute="_compute_preview")
    needs_approval = fields.Boolean(compute="_compute_preview")
    target_text = fields.Char(string="New Value", compute="_compute_preview")
    total_count = fields.Integer(string="Meters", compute="_compute_counts")
    skipped_count = fields.Integer(string="Left Out (Number)", compute="_compute_counts")
    waiting_count = fields.Integer(string="To Do", compute="_compute_counts")
    sent_count = fields.Integer(string="On Their Way", compute="_compute_counts")
    done_count = fields.Integer(string="Done", compute="_compute_counts")
    failed_count = fields.Integer(string="Failed", compute="_compute_counts")
    cancelled_count = fields.Integer(string="Not Done", compute="_compute_counts")
    progress = fields.Float(compute="_compute_counts")
    requested_id = fields.Many2one("res.users", string="Requested By", readonly=True, copy=False)
    approved_id = fields.Many2one("res.users", string="Approved By", readonly=True, copy=False)
    started_at = fields.Datetime(readonly=True, copy=False)
    finished_at = fields.Datetime(readonly=True, copy=False)
    asked_at = fields.Datetime(readonly=True, copy=False)
    cancel_requested = fields.Boolean(readonly=True, copy=False)
    undo_of_id = fields.Many2one(
        "prepay.batch", string="Undoes", readonly=True, copy=False, index="btree_not_null"
    )
    undo_ids = fields.One2many("prepay.batch", "undo_of_id", string="Undo Operations")
    undoable = fields.Boolean(compute="_compute_undoable")

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

    @api.depends("location_ids", "meter_ids", "domain", "company_id", "tiles", "state")
    def _compute_tile_counts(self):
        labels = dict(
            self.env["prepay.batch.line"]._fields["grade"]._description_selection(self.env)
        )
        for batch in self:
            if batch.state != "draft":
                batch.tile_counts, batch.chosen_count = [], 0
                continue
            try:
                counts = batch._grade_counts()
            except (UserError, ValueError, SyntaxError):
                counts = {}
            batch.tile_counts = [
                {"code": code, "label": labels[code], "count": counts.get(code, 0)}
                for code, _label in reversed(GRADES)
            ]
            chosen = batch._tile_codes() or {code for code, _label in GRADES}
            batch.chosen_count = sum(counts.get(code, 0) for code in chosen)

    @api.depends("line_ids.state", "state", "start_at", "guarantee_until", "kind", "tariff_id")
    def _compute_preview(self):
        for batch in self:
            facts = batch._facts()
            batch.account_count, batch.room_count, batch.head_count = facts[:3]
            batch.target_text = batch._target_text()
            before = batch.state in ("ready", "waiting", "queued")
            batch.needs_approval = batch.state == "ready" and batch._needs_approval()
            batch.warnings = "\n".join(batch._warnings(facts)) if before else False
            batch.skipped_text = batch._skipped_text()

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

    @api.depends("state", "done_count", "kind")
    def _compute_undoable(self):
        for batch in self:
            batch.undoable = bool(
                batch.state in ("done", "cancelled")
                and batch.done_count
                and not batch.undo_of_id
                and KINDS[batch.kind].undoable
            )

    @api.constrains("domain")
    def _check_domain(self):
        for batch in self:
            try:
                batch._choice()
            except (ValueError, SyntaxError, TypeError, KeyError):
                raise ValidationError(
                    self.env._("The filter of the meters cannot be read. Choose it anew.")
                ) from None

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

    def action_preview(self):
        """Show what would change for whom, without changing anything."""
        self.ensure_one()
        self._check_operator()
        if self.state not in ("draft", "ready"):
            raise UserError(self.env._("%s was started already.", self.number))
        self._check_values()
        self._plan()
        if not self.total_count and not self.skipped_count:
            raise UserError(
                self.env._("%s: no meter was chosen. Choose places, meters or states.", self.number)
            )
        self.sudo().write({"state": "ready", "previewed_at": fields.Datetime.now()})

    def action_back(self):
        """Choose anew."""
        self._check_operator()
        if self.undo_of_id:
            raise UserError(self.env._("%s undoes another one: its meters are fixed.", self.number))
        self.filtered(lambda batch: batch.state == "ready").state = "draft"

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
        if self.state != "waiting":
            raise UserError(self.env._("%s does not wait for an approval.", self.number))
        if self.requested_id == self.env.user:
            raise UserError(
                self.env._("%s was requested by you. Somebody else has to approve it.", self.number)
            )
        batch = self.sudo()
        batch.approved_id = self.env.user
        batch._queue()

    def action_refuse(self):
        """The second person does not agree."""
        self.ensure_one()
        self._check_approver()
        self._lock()
        if self.state != "waiting":
            raise UserError(self.env._("%s does not wait for an approval.", self.number))
        self.sudo()._end_lines(("planned", "queued"))
        self.sudo().write({"state": "cancelled", "finished_at": fields.Datetime.now()})

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

    def action_undo(self):
        """A new operation that brings back what was before, ready for a look and a confirmation."""
        self.ensure_one()
        self._check_operator()
        if not self.undoable:
            raise UserError(self.env._("%s cannot be undone.", self.number))
        undo = self.create(
            {
                "kind": self.kind,
                "company_id": self.company_id.id,
                "reason": self.env._("Undo of %s", self.number),
                "skip_offline": self.skip_offline,
                "undo_of_id": self.id,
            }
        )
        undo.action_preview()
        return undo._open()

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

    def action_export(self):
        """The result as a workbook."""
        self.ensure_one()
        return self.env["prepay.download"]._offer(f"{self.number}.xlsx", self._workbook())

    # choosing

    def _choice(self):
        """Condition on the meters: all narrowings together."""
        self.ensure_one()
        domain = Domain("company_id", "=", self.company_id.id)
        if self.meter_ids:
            domain &= Domain("id", "in", self.meter_ids._origin.ids)
        if self.location_ids:
            domain &= Domain("location_id", "child_of", self.location_ids._origin.ids)
        return domain & Domain(literal_eval(self.domain or "[]"))

    def _tile_codes(self):
        known = {code for code, _label in GRADES}
        return known & set((self.tiles or "").split(","))

    def _lost_since(self):
        hours = self.company_id.sudo().prepay_meter_lost_hours
        return fields.Datetime.now() - timedelta(hours=hours)

    def _chosen(self):
        """SQL of the chosen meters that the user may see, as a sub-select of ids."""
        return self.env["prepay.meter"]._search(self._choice()).subselect()

    def _grade_counts(self):
        self.env["prepay.meter"].flush_model()
        self.env["prepay.account"].flush_model()
        self.env["prepay.account.meter"].flush_model()
        self.env.cr.execute(
            SQL(
                "SELECT %(grade)s AS grade, count(*) FROM prepay_meter m %(tables)s"
                " WHERE m.id IN %(chosen)s GROUP BY 1",
                grade=SQL(GRADE, lost_since=self._lost_since()),
                tables=SQL(TABLES),
                chosen=self._chosen(),
            )
        )
        return dict(self.env.cr.fetchall())

    # preview

    def _plan(self):
        """The lines of this operation, anew: one statement inserts them, one judges them."""
        self.env.flush_all()
        self.env.cr.execute("DELETE FROM prepay_batch_line WHERE batch_id = %s", [self.id])
        if self.undo_of_id:
            self._insert_undo()
        else:
            self._insert_chosen()
        if self.env.cr.rowcount > MANY:
            self.env.cr.execute("ANALYZE prepay_batch_line")
        self._judge()
        self.env["prepay.batch.line"].invalidate_model()
        self.invalidate_recordset()

    def _insert_chosen(self):
        target = KINDS[self.kind].target(self)
        document = target.pop("target_document", None)
        tiles = self._tile_codes()
        columns = {name: SQL("%s", value) for name, value in target.items()}
        if document:
            columns["target_document"] = SQL("%s", psycopg2.extras.Json(document))
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO prepay_batch_line (batch_id, company_id, meter_id, state, tries, create_uid,
                                               write_uid, create_date, write_date%(names)s)
                SELECT %(batch)s, m.company_id, m.id, 'planned', 0, %(uid)s, %(uid)s, %(now)s, %(now)s%(values)s
                  FROM prepay_meter m %(tables)s
                  LEFT JOIN prepay_location l ON l.id = m.location_id
                 WHERE m.id IN %(chosen)s AND (%(all)s OR %(grade)s = ANY(%(tiles)s))
                 ORDER BY l.complete_name, m.number
                """,
                names=SQL("").join(SQL(", %s", SQL.identifier(name)) for name in columns),
                values=SQL("").join(SQL(", %s", value) for value in columns.values()),
                batch=self.id,
                uid=self.env.uid,
                now=fields.Datetime.now(),
                tables=SQL(TABLES),
                chosen=self._chosen(),
                all=not tiles,
                grade=SQL(GRADE, lost_since=self._lost_since()),
                tiles=list(tiles),
            )
        )

    def _insert_undo(self):
        self.env.cr.execute(
            """
            INSERT INTO prepay_batch_line (batch_id, company_id, meter_id, state, tries, source_id, target_relay,
                                           target_value, target_document, target_tariff_id, target_policy_id,
                                           create_uid, write_uid, create_date, write_date)
            SELECT %(batch)s, company_id, meter_id, 'planned', 0, id, before_relay, before_value,
                   before_document, before_tariff_id, before_policy_id, %(uid)s, %(uid)s, %(now)s, %(now)s
              FROM prepay_batch_line WHERE batch_id = %(source)s AND state = 'done' ORDER BY id
            """,
            {
                "batch": self.id,
                "source": self.undo_of_id.id,
                "uid": self.env.uid,
                "now": fields.Datetime.now(),
            },
        )

    def _judge(self, lines=None):
        self.env["prepay.batch.line"].sudo()._judge(self.sudo(), lines and lines.ids)
        self.invalidate_recordset()

    def _wish(self):
        """Value in base units and plan that this operation wishes for a parameter.

        :raises ValidationError: the plan cannot be read
        """
        parameter = KINDS[self.kind].parameter
        wizard = self.env["prepay.meter.parameter.wizard"].new(
            {
                "kind": parameter,
                "switch": "on" if self.kind == "guarantee_on" else "off",
                "amount": self.amount,
                "power_w": self.power_w,
                "plan_text": self.plan_text,
            }
        )
        value, document = wizard._wish()
        meters = self.env["prepay.meter"]
        checked = self.env["prepay.meter.parameter"]._check_wish(meters, parameter, value, document)
        return value, checked

    def _target_text(self):
        kind = KINDS[self.kind]
        if self.undo_of_id:
            return self.env._("as before %s", self.undo_of_id.number)
        if self.kind == "tariff":
            return self.tariff_id.name
        if self.kind == "policy":
            return self.policy_id.name or self.env._("as its place")
        if not kind.parameter or kind.parameter == "release":
            return False
        try:
            value, document = self._wish()
        except (UserError, ValidationError):
            return False
        return (
            self.env["prepay.meter.parameter"].new({"kind": kind.parameter})._text(value, document)
        )

    def _facts(self):
        """(accounts, rooms, persons, in debt, guaranteed until now, switched off) of the lines that change."""
        self.env["prepay.batch.line"].flush_model()
        self.env.cr.execute(
            """
            SELECT count(DISTINCT l.account_id), count(DISTINCT l.location_id), COALESCE(sum(l.heads), 0),
                   count(DISTINCT l.account_id) FILTER (WHERE a.level IN ('arrears', 'cut')),
                   count(*) FILTER (WHERE m.is_protected), count(*) FILTER (WHERE l.target_relay = 'open')
              FROM prepay_batch_line l JOIN prepay_meter m ON m.id = l.meter_id
              LEFT JOIN prepay_account a ON a.id = l.account_id
             WHERE l.batch_id = %s AND l.state <> 'skipped'
            """,
            [self._origin.id or 0],
        )
        return self.env.cr.fetchone()

    def _warnings(self, facts):
        """What a person should know before confirming, in plain sentences."""
        accounts, rooms, heads, in_debt, guaranteed, off = facts
        found = []
        if off:
            found.append(
                self.env._(
                    "%(rooms)s rooms with %(heads)s persons lose their supply.",
                    rooms=rooms,
                    heads=heads,
                )
            )
            moment = self.start_at or fields.Datetime.now()
            local = moment.replace(tzinfo=timezone.utc).astimezone(ZoneInfo(self._zone_name()))
            if local.hour >= NIGHT[0] or local.hour < NIGHT[1]:
                found.append(
                    self.env._(
                        "It is night then (%(time)s): %(heads)s persons would be without supply.",
                        time=local.strftime("%H:%M"),
                        heads=heads,
                    )
                )
        if in_debt and self.kind == "on":
            found.append(
                self.env._(
                    "%s accounts are in arrears. Their policy cuts them again, unless they pay or are guaranteed.",
                    in_debt,
                )
            )
        if in_debt and self.kind == "guarantee_on":
            found.append(
                self.env._("%s accounts are in arrears and go on using while guaranteed.", in_debt)
            )
        if guaranteed and self.kind in ("on", "guarantee_off"):
            found.append(self.env._("%s meters are guaranteed now.", guaranteed))
        if self.kind == "guarantee_on" and not self.guarantee_until and not self.undo_of_id:
            found.append(self.env._("The guarantee has no end. Enter until when, if there is one."))
        if self.kind == "release":
            found.append(
                self.env._("The relays follow the meters again; wishes of the platform end.")
            )
        if self.kind == "tariff" and not self.undo_of_id:
            found.append(
                self.env._(
                    "%s accounts pay by the new tariff. What is charged already does not change.",
                    accounts,
                )
            )
        if self._needs_approval():
            found.append(self.env._("A second person has to approve this."))
        return found

    def _skipped_text(self):
        labels = dict(
            self.env["prepay.batch.line"]._fields["skip"]._description_selection(self.env)
        )
        groups = self.env["prepay.batch.line"]._read_group(
            [("batch_id", "in", self._origin.ids), ("state", "=", "skipped")], ["skip"], ["__count"]
        )
        return "\n".join(f"{labels.get(skip, skip)}: {count}" for skip, count in groups)

    def _needs_approval(self):
        """Whether the policy of the company asks for a second person."""
        self.ensure_one()
        company = self.company_id.sudo()
        if self.kind == "tariff":
            count = self.waiting_count
            return count > company.prepay_batch_price_limit
        if self.kind in ("on", "off"):
            off = self.env["prepay.batch.line"].search_count(
                [
                    ("batch_id", "=", self.id),
                    ("state", "in", ("planned", "queued")),
                    ("target_relay", "=", "open"),
                ]
            )
            return off > company.prepay_batch_power_limit
        return False

    def _check_values(self):
        """Refuse what is incomplete, with the remedy."""
        kind = KINDS[self.kind]
        if kind.needs_reason and not (self.reason or "").strip():
            raise UserError(
                self.env._("%s: enter the reason. It stays in the journal.", self.number)
            )
        if self.start_at and self.start_at < fields.Datetime.now() - timedelta(minutes=1):
            raise UserError(
                self.env._(
                    "%s: the time to begin is past. Empty it, or enter a later one.", self.number
                )
            )
        if self.undo_of_id:
            return
        if self.kind == "tariff":
            self._check_tariff()
        begin = self.start_at or fields.Datetime.now()
        if self.kind == "guarantee_on" and self.guarantee_until and self.guarantee_until <= begin:
            raise UserError(
                self.env._("%s: the guarantee would end before it begins.", self.number)
            )
        if kind.parameter:
            self._wish()

    def _check_tariff(self):
        if not self.tariff_id:
            raise UserError(self.env._("%s: choose the new tariff.", self.number))
        from_at = self.valid_from or self.start_at or fields.Datetime.now()
        valid = self.tariff_id.version_ids.filtered(
            lambda version: version.state == "approved" and version.valid_from <= from_at
        )
        if not valid:
            raise UserError(
                self.env._(
                    "Tariff %s has no approved price at that time. Approve a price, or choose a later time.",
                    self.tariff_id.name,
                )
            )

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

    def _lock(self):
        """Two people who press at once: one waits and then finds the new state."""
        self.flush_recordset()
        self.env.cr.execute("SELECT id FROM prepay_batch WHERE id = ANY(%s) FOR UPDATE", [self.ids])
        self.invalidate_recordset()

    def _workbook(self):
        """Bytes of the workbook with one row for each meter."""
        stream = io.BytesIO()
        book = xlsxwriter.Workbook(stream, {"in_memory": True, "strings_to_formulas": False})
        bold = book.add_format({"bold": True})
        sheet = book.add_worksheet(self.number)
        lines = self.env["prepay.batch.line"]
        names = ["location_id", "account_id", "partner_id", "meter_id", "before_text", "target_text",
                 "state", "skip", "result", "detail", "tries", "sent_at", "finished_at"]  # fmt: skip
        labels = lines.fields_get(names, ["string", "selection"])
        kinds = dict(self._fields["kind"]._description_selection(self.env))
        title = [self.number, kinds[self.kind], self.reason, self.requested_id.name]
        sheet.write_row(0, 0, [text or "" for text in title], bold)
        sheet.write_row(2, 0, [labels[name]["string"] for name in names], bold)
        zone = ZoneInfo(self._zone_name())
        for row, line in enumerate(lines.search([("batch_id", "=", self.id)], order="id"), 3):
            sheet.write_row(row, 0, [_cell(line[name], labels[name], zone) for name in names])
        sheet.autofilter(2, 0, max(2, 2 + len(self.line_ids)), len(names) - 1)
        sheet.freeze_panes(3, 0)
        sheet.set_column(0, len(names) - 1, 18)
        book.close()
        return stream.getvalue()


def _cell(value, label, zone):
    """What stands in a cell: names, labels and local times."""
    if isinstance(value, models.BaseModel):
        return value.display_name or ""
    if isinstance(value, datetime):
        return value.replace(tzinfo=timezone.utc).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    if label.get("selection"):
        return dict(label["selection"]).get(value, "")
    return "" if value is False or value is None else value
