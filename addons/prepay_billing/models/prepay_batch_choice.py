from ast import literal_eval
from datetime import timedelta, timezone
from zoneinfo import ZoneInfo

import psycopg2
from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError
from odoo.fields import Domain
from odoo.tools import SQL

from ..batch_kinds import KINDS
from .prepay_batch_line import GRADE, GRADES, TABLES

#: Lines from which on the planner of the database is told about them.
MANY = 500
#: Hours (local) in which switching off is warned of.
NIGHT = (20, 8)


class PrepayBatch(models.Model):
    """The choice of the meters, and the preview of what would change for whom."""

    _inherit = "prepay.batch"  # pylint: disable=consider-merging-classes-inherited

    location_ids = fields.Many2many(
        "prepay.location", string="Places", check_company=True, help="With all places in them."
    )
    meter_ids = fields.Many2many("prepay.meter", string="Only These Meters", check_company=True)
    domain = fields.Char(string="Filter", default="[]")
    tiles = fields.Char(string="States Chosen", help="Only meters in these states.")
    tile_counts = fields.Json(compute="_compute_tile_counts")
    chosen_count = fields.Integer(string="Meters Chosen", compute="_compute_tile_counts")
    previewed_at = fields.Datetime(readonly=True, copy=False)
    warnings = fields.Text(compute="_compute_preview")
    skipped_text = fields.Text(string="Left Out", compute="_compute_preview")
    account_count = fields.Integer(string="Accounts", compute="_compute_preview")
    room_count = fields.Integer(string="Rooms", compute="_compute_preview")
    head_count = fields.Integer(string="Persons", compute="_compute_preview")
    needs_approval = fields.Boolean(compute="_compute_preview")
    target_text = fields.Char(string="New Value", compute="_compute_preview")

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

    @api.constrains("domain")
    def _check_domain(self):
        for batch in self:
            try:
                batch._choice()
            except (ValueError, SyntaxError, TypeError, KeyError):
                raise ValidationError(
                    self.env._("The filter of the meters cannot be read. Choose it anew.")
                ) from None

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
