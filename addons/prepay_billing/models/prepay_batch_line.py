from odoo import api, fields, models
from odoo.tools import SQL

from odoo.addons.prepay_meter.big_integer import BigInteger
from odoo.addons.prepay_meter.models.prepay_meter_state import RELAY_STATES

from ..batch_kinds import KINDS, skip_case
from ..charging import as_array

#: What a meter is at a glance, the most urgent first.
GRADES = [
    ("lost", "Lost"),
    ("not_opened", "Not Opened"),
    ("cut", "Used Up"),
    ("arrears", "Arrears"),
    ("alarm2", "Alarm 2"),
    ("alarm1", "Alarm 1"),
    ("opened", "Opened"),
]
GRADE = """
CASE WHEN m.gateway_id IS NOT NULL AND (st.last_seen IS NULL OR st.last_seen < %(lost_since)s) THEN 'lost'
     WHEN s.id IS NULL THEN 'not_opened'
     WHEN a.level IN ('cut', 'arrears', 'alarm2', 'alarm1') THEN a.level
     ELSE 'opened' END
"""
#: A meter with all that an operation looks at.
TABLES = """
  JOIN prepay_meter_state st ON st.id = m.state_id
  LEFT JOIN prepay_account_meter s ON s.meter_id = m.id AND s.end_at IS NULL
  LEFT JOIN prepay_account a ON a.id = s.account_id
"""
#: Seconds after which a line that got no answer is given up; its wish stands on.
PATIENCE = {"reading": 600, "command": 1800, "parameter": 1800, "resend": 1800}
#: What became of the lines that are on their way: (id, batch_id, state, result, detail); others are not in it.
_OUTCOMES = {
    "command": """
        SELECT l.id, l.batch_id,
               CASE WHEN c.state IN ('confirmed', 'unproven') THEN 'done' ELSE 'failed' END AS state,
               CASE WHEN c.state IN ('queued', 'sent') THEN 'timeout' ELSE c.state END AS result, c.detail
          FROM prepay_batch_line l JOIN prepay_meter_command c ON c.id = l.command_id
         WHERE l.batch_id = ANY(%(batches)s) AND l.state = 'sent'
           AND (c.state NOT IN ('queued', 'sent') OR l.sent_at < %(since)s)
    """,
    "parameter": """
        SELECT l.id, l.batch_id,
               CASE WHEN p.epoch = l.parameter_epoch AND p.state IN ('synced', 'unproven', 'platform')
                    THEN 'done' ELSE 'failed' END AS state,
               CASE WHEN p.epoch <> l.parameter_epoch THEN 'superseded'
                    WHEN p.state = 'synced' THEN 'confirmed' WHEN p.state = 'failed' THEN 'differs'
                    WHEN p.state IN ('queued', 'sent') THEN 'timeout' ELSE p.state END AS result, p.detail
          FROM prepay_batch_line l JOIN prepay_meter_parameter p ON p.id = l.parameter_id
         WHERE l.batch_id = ANY(%(batches)s) AND l.state = 'sent'
           AND (p.state NOT IN ('queued', 'sent') OR p.epoch <> l.parameter_epoch OR l.sent_at < %(since)s)
    """,
    "reading": """
        SELECT l.id, l.batch_id, CASE WHEN st.last_read_at >= l.sent_at THEN 'done' ELSE 'failed' END AS state,
               CASE WHEN st.last_read_at >= l.sent_at THEN 'confirmed'
                    WHEN st.missed_polls > l.mark THEN 'no_answer' ELSE 'timeout' END AS result,
               CASE WHEN st.last_read_at >= l.sent_at
                    THEN round(st.last_value / 1000.0, 2)::text || CASE m.medium WHEN 'water' THEN ' m³'
                         ELSE ' kWh' END
                    ELSE st.last_error END AS detail
          FROM prepay_batch_line l JOIN prepay_meter m ON m.id = l.meter_id
          JOIN prepay_meter_state st ON st.id = m.state_id
         WHERE l.batch_id = ANY(%(batches)s) AND l.state = 'sent'
           AND (st.last_read_at >= l.sent_at OR st.missed_polls > l.mark OR l.sent_at < %(since)s)
    """,
    "resend": """
        SELECT l.id, l.batch_id, CASE WHEN q.open OR q.bad THEN 'failed' ELSE 'done' END AS state,
               CASE WHEN q.open THEN 'timeout' WHEN q.bad THEN 'refused' ELSE 'confirmed' END AS result,
               q.detail
          FROM prepay_batch_line l
         CROSS JOIN LATERAL (
               SELECT COALESCE(bool_or(p.state IN ('queued', 'sent')), false) AS open,
                      COALESCE(bool_or(p.state IN ('failed', 'refused')), false) AS bad,
                      max(p.detail) FILTER (WHERE p.state IN ('failed', 'refused')) AS detail
                 FROM prepay_meter_parameter p WHERE p.meter_id = l.meter_id) q
         WHERE l.batch_id = ANY(%(batches)s) AND l.state = 'sent'
           AND (NOT q.open OR l.sent_at < %(since)s)
    """,
}


class PrepayBatchLine(models.Model):
    """One meter of a batch operation: what changes, whether it is left out, and what became of it.

    *Sent* means that the wish was committed in the same transaction that marked the line, with the
    command or parameter that carries it; what happens then is read from there.
    """

    _name = "prepay.batch.line"
    _description = "Meter of a Batch Operation"
    _order = "batch_id desc, id"
    _rec_name = "meter_id"

    batch_id = fields.Many2one(
        "prepay.batch", required=True, index=True, ondelete="cascade", readonly=True
    )
    kind = fields.Selection(related="batch_id.kind")
    company_id = fields.Many2one("res.company", required=True, readonly=True)
    meter_id = fields.Many2one(
        "prepay.meter", required=True, index=True, ondelete="cascade", readonly=True
    )
    location_id = fields.Many2one("prepay.location", string="Room", readonly=True)
    gateway_id = fields.Many2one("prepay.gateway", readonly=True)
    supply_id = fields.Many2one("prepay.account.meter", readonly=True, ondelete="set null")
    account_id = fields.Many2one("prepay.account", readonly=True, ondelete="set null")
    partner_id = fields.Many2one("res.partner", string="Tenant", readonly=True, ondelete="set null")
    heads = fields.Integer(string="Persons", readonly=True)
    grade = fields.Selection(GRADES, string="Was", readonly=True)
    source_id = fields.Many2one("prepay.batch.line", readonly=True, ondelete="set null")
    before_known = fields.Boolean(readonly=True)
    before_relay = fields.Selection(RELAY_STATES, readonly=True)
    before_value = BigInteger(readonly=True, aggregator=None)
    before_document = fields.Json(readonly=True)
    before_tariff_id = fields.Many2one("prepay.tariff", readonly=True)
    before_policy_id = fields.Many2one("prepay.supply.policy", readonly=True)
    target_relay = fields.Selection(RELAY_STATES, readonly=True)
    target_value = BigInteger(readonly=True, aggregator=None)
    target_document = fields.Json(readonly=True)
    target_tariff_id = fields.Many2one("prepay.tariff", readonly=True)
    target_policy_id = fields.Many2one("prepay.supply.policy", readonly=True)
    before_text = fields.Char(string="Present Value", compute="_compute_texts")
    target_text = fields.Char(string="New Value", compute="_compute_texts")
    state = fields.Selection(
        [
            ("planned", "Planned"),
            ("skipped", "Left Out"),
            ("queued", "Queued"),
            ("sent", "On Its Way"),
            ("done", "Done"),
            ("failed", "Failed"),
            ("cancelled", "Cancelled"),
        ],
        required=True,
        default="planned",
        readonly=True,
    )
    skip = fields.Selection(
        [
            ("no_gateway", "No gateway reaches it"),
            ("offline", "Does not answer"),
            ("passive", "Sends by itself, cannot be asked"),
            ("incapable", "Its type cannot do it"),
            ("medium", "Of the other kind (electricity or water)"),
            ("protected", "Guaranteed supply"),
            ("not_opened", "Not opened: no account"),
            ("opened", "Opened already"),
            ("no_preset", "No opening is preset"),
            ("same", "Is so already"),
            ("nothing_failed", "No setting has failed"),
            ("newer", "Changed again since"),
            ("no_former", "What was before is not known"),
        ],
        string="Why Left Out",
        readonly=True,
    )
    result = fields.Selection(
        [
            ("confirmed", "Confirmed by the meter"),
            ("unproven", "Done, not provable"),
            ("platform", "Done by the platform"),
            ("recorded", "Recorded"),
            ("removed", "Taken back"),
            ("refused", "Refused by the meter"),
            ("differs", "The meter shows another value"),
            ("impossible", "Not possible"),
            ("no_answer", "No answer"),
            ("timeout", "No answer in time"),
            ("expired", "Expired"),
            ("superseded", "Replaced by a newer wish"),
            ("withdrawn", "Withdrawn before it was sent"),
            ("error", "Could not be started"),
        ],
        readonly=True,
    )
    detail = fields.Char(string="Details", readonly=True)
    tries = fields.Integer(readonly=True, default=0, aggregator=None)
    sent_at = fields.Datetime(string="Started", readonly=True)
    finished_at = fields.Datetime(readonly=True)
    command_id = fields.Many2one("prepay.meter.command", readonly=True, ondelete="set null")
    parameter_id = fields.Many2one("prepay.meter.parameter", readonly=True, ondelete="set null")
    parameter_epoch = fields.Integer(readonly=True, aggregator=None)
    change_id = fields.Many2one("prepay.tariff.change", readonly=True, ondelete="set null")
    mark = fields.Integer(readonly=True, aggregator=None, help="Missed polls when it was asked.")

    _meter_unique = models.Constraint(
        "UNIQUE (batch_id, meter_id)", "A batch operation has each meter once."
    )
    _state_idx = models.Index("(batch_id, state)")
    _command_idx = models.Index("(command_id) WHERE command_id IS NOT NULL")
    _parameter_idx = models.Index("(parameter_id) WHERE parameter_id IS NOT NULL")
    _source_idx = models.Index("(source_id) WHERE source_id IS NOT NULL")
    _change_idx = models.Index("(change_id) WHERE change_id IS NOT NULL")

    @api.depends("kind")
    @api.depends_context("lang")
    def _compute_texts(self):
        relays = dict(self._fields["target_relay"]._description_selection(self.env))
        parameters = {}
        for line in self:
            name = KINDS[line.kind].parameter if line.kind in KINDS else ""
            line.before_text = line.target_text = False
            if line.target_relay or line.before_relay:
                line.before_text = relays.get(line.before_relay) or self.env._("unknown")
                line.target_text = relays.get(line.target_relay)
            elif line.kind == "tariff":
                line.before_text = line.before_tariff_id.name
                line.target_text = line.target_tariff_id.name
            elif line.kind == "policy":
                inherited = self.env._("as its place")
                line.before_text = line.before_policy_id.name or inherited
                line.target_text = line.target_policy_id.name or inherited
            elif name:
                shown = parameters.setdefault(
                    name, self.env["prepay.meter.parameter"].new({"kind": name})
                )
                line.target_text = shown._text(line.target_value, line.target_document)
                if line.before_known:
                    line.before_text = shown._text(line.before_value, line.before_document)

    # planning

    @api.model
    def _judge(self, batch, ids=None):
        """What these lines of a batch change now, whom they touch and which are left out; one statement.

        :param ids: of the lines; None: of all that are not started
        """
        kind = KINDS[batch.kind]
        now = fields.Datetime.now()
        values = {"skip_offline": batch.skip_offline, "now": now}
        self.env.flush_all()
        self.env.cr.execute(
            SQL(
                """
                UPDATE prepay_batch_line l
                   SET location_id = v.location_id, gateway_id = v.gateway_id, supply_id = v.supply_id,
                       account_id = v.account_id, partner_id = v.partner_id, heads = v.heads,
                       grade = v.grade, before_relay = v.before_relay, before_value = v.before_value,
                       before_document = v.before_document, before_known = v.before_known,
                       before_tariff_id = v.tariff_id, before_policy_id = v.policy_id, skip = v.skip,
                       state = CASE WHEN v.skip IS NOT NULL THEN 'skipped'
                                    WHEN l.state = 'skipped' THEN 'planned' ELSE l.state END
                  FROM (SELECT l.id, m.location_id, m.gateway_id, s.id AS supply_id, a.id AS account_id,
                               a.partner_id, COALESCE(s.heads, 0) AS heads, %(grade)s AS grade,
                               CASE WHEN l.target_relay IS NOT NULL
                                    THEN COALESCE(m.desired_relay, st.relay_reported) END AS before_relay,
                               p.desired AS before_value, p.desired_document AS before_document,
                               p.id IS NOT NULL AS before_known, s.tariff_id, a.policy_id,
                               %(skip)s AS skip
                          FROM prepay_batch_line l
                          JOIN prepay_meter m ON m.id = l.meter_id
                          %(tables)s
                          LEFT JOIN res_partner r ON r.id = a.partner_id
                          LEFT JOIN prepay_meter_parameter p ON p.meter_id = m.id AND p.kind = %(parameter)s
                          LEFT JOIN prepay_batch_line o ON o.id = l.source_id
                         WHERE l.batch_id = %(batch)s AND l.state IN ('planned', 'skipped', 'queued')
                           AND (%(ids)s::int[] IS NULL OR l.id = ANY(%(ids)s::int[]))) v
                 WHERE l.id = v.id
                """,
                grade=SQL(GRADE, lost_since=batch._lost_since()),
                skip=skip_case(kind, values, bool(batch.undo_of_id)),
                tables=SQL(TABLES),
                parameter=kind.parameter,
                batch=batch.id,
                ids=ids,
            )
        )
        self.invalidate_model()

    # running

    def _mark_sent(self, **links):
        """Their wishes are stated, in this transaction.

        :param links: columns with one value for each line
        """
        columns = [SQL.identifier(name) for name in links]
        self._write_rows(
            SQL(
                "state = 'sent', result = NULL, detail = NULL, finished_at = NULL, tries = l.tries + 1,"
                " sent_at = date_trunc('second', now() AT TIME ZONE 'UTC'),"
                " mark = (SELECT st.missed_polls FROM prepay_meter m JOIN prepay_meter_state st"
                " ON st.id = m.state_id WHERE m.id = l.meter_id)%s",
                SQL("").join(SQL(", %s = v.%s", column, column) for column in columns),
            ),
            links,
        )

    def _mark_recorded(self, changes, follow_changes=False):
        """Done with the request itself.

        :param changes: {line: id of a tariff change, or None}
        """
        found = [changes.get(line) for line in self]
        self._write_rows(
            SQL(
                "state = 'done', result = %s, detail = %s, tries = l.tries + 1,"
                " sent_at = now() AT TIME ZONE 'UTC', finished_at = now() AT TIME ZONE 'UTC',"
                " change_id = v.change_id",
                SQL("CASE WHEN v.change_id IS NULL THEN 'removed' ELSE 'recorded' END")
                if follow_changes
                else SQL("'recorded'"),
                SQL(
                    "(SELECT to_char(c.from_at AT TIME ZONE 'UTC' AT TIME ZONE %s,"
                    " 'YYYY-MM-DD HH24:MI:SS') FROM prepay_tariff_change c WHERE c.id = v.change_id)",
                    self.batch_id[:1]._zone_name(),
                ),
            ),
            {"change_id": found},
        )

    def _write_rows(self, assignments, links):
        names = [*links]
        self.env.flush_all()
        self.env.cr.execute(
            SQL(
                "UPDATE prepay_batch_line l SET %s FROM unnest(%s) AS v(%s) WHERE l.id = v.id",
                assignments,
                SQL(", ").join(
                    SQL("%s::int[]", as_array(values)) for values in [self.ids, *links.values()]
                ),
                SQL(", ").join(SQL.identifier(name) for name in ["id", *names]),
            )
        )
        self.invalidate_recordset()

    def _fail(self, text):
        """These could not be started."""
        self.write(
            {
                "state": "failed",
                "result": "error",
                "detail": text[:500],
                "finished_at": fields.Datetime.now(),
            }
        )

    @api.model
    def _outcomes(self, batches):
        """SQL of what became of the lines on their way: (id, batch_id, state, result, detail)."""
        now = fields.Datetime.now()
        parts = []
        for follow, group in batches.grouped(lambda batch: KINDS[batch.kind].follow).items():
            if follow:
                since = fields.Datetime.subtract(now, seconds=PATIENCE[follow])
                parts.append(SQL(_OUTCOMES[follow], batches=group.ids, since=since))
        return SQL(" UNION ALL ").join(parts) if parts else None

    @api.model
    def _settle(self, batches):
        """Write down what became of the lines on their way; the number of them."""
        outcomes = self._outcomes(batches)
        if outcomes is None:
            return 0
        self.env.flush_all()
        self.env.cr.execute(
            SQL(
                "UPDATE prepay_batch_line l SET state = v.state, result = v.result, detail = v.detail,"
                " finished_at = now() AT TIME ZONE 'UTC' FROM (%s) v WHERE l.id = v.id",
                outcomes,
            )
        )
        self.invalidate_model()
        return self.env.cr.rowcount

    def action_open_meter(self):
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": "prepay.meter",
            "res_id": self.meter_id.id,
            "view_mode": "form",
            "views": [(False, "form")],
        }
