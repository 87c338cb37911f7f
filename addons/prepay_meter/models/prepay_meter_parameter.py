from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError

from ..big_integer import BigInteger
from ..plans import CHECKS, PROBLEMS, PlanError, write

KINDS = [
    ("guarantee", "Guaranteed supply"),
    ("release", "Meter's own control"),
    ("clock", "Clock"),
    ("alarm_1", "Alarm amount 1"),
    ("alarm_2", "Alarm amount 2"),
    ("overload", "Overload limit"),
    ("malicious", "Malicious load step"),
    ("time_control", "Time control"),
    ("tariff", "Tariff table"),
]
#: Controls that a kind needs; the others need the control of their own name.
CONTROLS = {"guarantee": ("keep_power", "keep_power_off")}
#: What the platform does from readings when the meter cannot.
PLATFORM = {"guarantee", "overload", "malicious", "time_control"}
#: Kinds that make no sense for water.
ELECTRICITY_ONLY = {"overload", "malicious", "tariff"}
MONEY = {"alarm_1", "alarm_2"}
POWER = {"overload", "malicious"}
PLANS = {"time_control", "tariff"}
MAX_VALUE = {"guarantee": 1, "release": 1, "clock": 0, "alarm_1": 99_999_999, "alarm_2": 99_999_999,
             "overload": 1_000_000, "malicious": 1_000_000}  # fmt: skip
#: Fields of the meter that say the same as a parameter.
MIRRORED = {"overload_w": "overload", "malicious_step_w": "malicious", "is_protected": "guarantee"}


class PrepayMeterParameter(models.Model):
    """One setting of one meter: what is wished and what the meter last reported, side by side.

    The ERP writes the wish with :meth:`_request`; from then on the collector changes the row by SQL:
    queued → sent (committed before the device is written) → in sync, when the meter shows the wished
    value. A row in state *sent* after a crash is in doubt: the meter is read before it is written
    again. Every wish has the next epoch, and nothing is ever written for an older one.
    """

    _name = "prepay.meter.parameter"
    _description = "Meter Parameter"
    _order = "location_id, meter_id, kind"
    _rec_name = "kind"

    meter_id = fields.Many2one(
        "prepay.meter", required=True, index=True, ondelete="cascade", readonly=True
    )
    gateway_id = fields.Many2one(related="meter_id.gateway_id")
    location_id = fields.Many2one(related="meter_id.location_id", store=True, index=True)
    company_id = fields.Many2one(related="meter_id.company_id", store=True, index=True)
    kind = fields.Selection(KINDS, required=True, readonly=True, string="Parameter")
    desired = BigInteger(
        string="Wished Value",
        readonly=True,
        aggregator=None,
        help="In base units: W, CNY fen, 1 for on.",
    )
    desired_document = fields.Json(string="Wished Plan", readonly=True)
    desired_text = fields.Char(string="Wished", compute="_compute_texts")
    desired_at = fields.Datetime(string="Wished At", readonly=True)
    desired_by_id = fields.Many2one("res.users", string="Wished By", readonly=True)
    reason = fields.Char(readonly=True)
    epoch = fields.Integer(required=True, default=1, readonly=True, aggregator=None)
    reported = BigInteger(
        string="Reported Value",
        readonly=True,
        aggregator=None,
        help="In base units: W, CNY fen, 1 for on; the clock's drift in seconds.",
    )
    reported_document = fields.Json(string="Reported Plan", readonly=True)
    reported_text = fields.Char(string="Reported", compute="_compute_texts")
    reported_at = fields.Datetime(readonly=True)
    state = fields.Selection(
        [
            ("queued", "Queued"),
            ("sent", "Sent, not confirmed"),
            ("synced", "In sync"),
            ("unproven", "Done, not provable"),
            ("failed", "The meter shows another value"),
            ("refused", "Refused by the meter"),
            ("platform", "Done by the platform"),
            ("impossible", "Not possible"),
        ],
        required=True,
        default="queued",
        readonly=True,
        index=True,
    )
    attempts = fields.Integer(
        readonly=True, default=0, help="How often the value was written to the meter."
    )
    not_before = fields.Datetime(string="Next Try", readonly=True)
    sent_at = fields.Datetime(string="Last Sent", readonly=True)
    detail = fields.Char(string="Last Result", readonly=True)

    _meter_kind_unique = models.Constraint(
        "UNIQUE (meter_id, kind)", "A meter has each parameter once."
    )
    _open_idx = models.Index("(meter_id) WHERE state IN ('queued', 'sent')")
    _check_idx = models.Index("(not_before) WHERE state NOT IN ('queued', 'sent')")

    @api.depends("kind", "desired", "desired_document", "reported", "reported_document")
    def _compute_texts(self):
        for row in self:
            row.desired_text = row._text(row.desired, row.desired_document)
            row.reported_text = (
                row._text(row.reported, row.reported_document, reported=True)
                if row.reported_at
                else False
            )

    @api.depends("meter_id", "kind")
    def _compute_display_name(self):
        labels = dict(self._fields["kind"]._description_selection(self.env))
        for row in self:
            row.display_name = f"{row.meter_id.number}: {labels.get(row.kind, '')}"

    def action_open_wizard(self):
        """Open the dialogue that sets parameters, for the meters of these rows."""
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_meter.prepay_meter_parameter_wizard_action"
        )
        kinds = set(self.mapped("kind"))
        action["context"] = {
            "default_meter_ids": self.meter_id.ids,
            **({"default_kind": self[0].kind} if len(kinds) == 1 else {}),
        }
        return action

    def action_retry(self):
        """Try again now what failed or was refused."""
        self.check_access("read")
        if not self.env.user.has_group("prepay_meter.group_operator"):
            raise UserError(self.env._("Only operators may set parameters."))
        again = self.sudo().filtered(
            lambda row: row.state in ("queued", "failed", "refused", "unproven")
        )
        again.write({"state": "queued", "attempts": 0, "not_before": False, "detail": False})
        again._notify()

    @api.model
    def _text(self, value, document, reported=False):
        """A value as people read it."""
        kind = self.kind
        if kind in PLANS:
            if not document:
                return self.env._("none")
            return write(kind, document, chinese=(self.env.lang or "").startswith("zh"))
        if kind == "clock":
            if not reported:
                return self.env._("now")
            return self.env._("%+d s", value or 0)
        if kind in MONEY:
            return self.env._("CNY %s", f"{(value or 0) / 100:.2f}")
        if kind in POWER:
            return self.env._("%s W", value) if value else self.env._("no limit")
        return self.env._("on") if value else self.env._("off")

    @api.model
    def _request(self, meters, kind, value=0, document=None, reason=""):
        """State the wish that these meters have ``value`` (or the plan ``document``).

        The newest wish replaces older ones; the collectors are woken at commit. A meter that cannot do
        it gets the state *done by the platform* or *not possible* at once.

        :param str kind: a key of :data:`KINDS`
        :param int value: in base units: W, CNY fen; 1 or 0 for on and off
        :param list document: a plan, see ``plans.py``
        :param str reason: plain words for the journal
        :return: the parameters
        """
        document = self._check_wish(meters, kind, value, document)
        rows = self.sudo().search([("kind", "=", kind), ("meter_id", "in", meters.ids)])
        known = {row.meter_id: row for row in rows}
        new = []
        for meter in meters.sudo():
            state = self._first_state(meter, kind)
            vals = {
                "desired": value,
                "desired_document": document or False,
                "desired_at": fields.Datetime.now(),
                "desired_by_id": self.env.uid,
                "reason": reason,
                "state": state,
                "attempts": 0,
                # What is only watched is read soon, so that both values stand side by side.
                "not_before": False if state == "queued" else self._look_at(meter, kind),
                "sent_at": False,
                "detail": False,
            }
            row = known.get(meter)
            if row:
                row.write({**vals, "epoch": row.epoch + 1})
            else:
                new.append({"meter_id": meter.id, "kind": kind, **vals})
        made = {row.meter_id: row for row in self.sudo().create(new)}
        rows = self.sudo().union(*[known.get(meter) or made[meter] for meter in meters.sudo()])
        self._mirror(meters, kind, value, reason)
        rows._notify()
        return rows

    def _mirror(self, meters, kind, value, reason):
        """Tell the meter what the platform itself needs of the wish."""
        meters = meters.sudo().with_context(prepay_parameter_known=True)
        if kind == "overload":
            meters.filtered(lambda meter: meter.overload_w != value).overload_w = value
        elif kind == "malicious":
            meters.filtered(lambda meter: meter.malicious_step_w != value).malicious_step_w = value
        elif kind == "guarantee":
            meters.filtered(lambda meter: meter.is_protected != bool(value)).write(
                {"is_protected": bool(value), "protected_reason": reason if value else False}
            )
        elif kind == "release":
            # The relay is the meter's own now: no wish of the platform holds, no older one runs.
            for meter in meters:
                meter.write(
                    {
                        "desired_relay": False,
                        "desired_cause": False,
                        "desired_epoch": meter.desired_epoch + 1,
                    }
                )

    @api.model
    def _check_wish(self, meters, kind, value, document):
        labels = dict(self._fields["kind"]._description_selection(self.env))
        if kind not in labels:
            raise ValidationError(self.env._("There is no parameter “%s”.", kind))
        water = meters.filtered(lambda meter: meter.medium == "water")
        if water and kind in ELECTRICITY_ONLY:
            raise UserError(
                self.env._(
                    "%(kind)s is for electricity, and these are water meters: %(meters)s. Leave them out.",
                    kind=labels[kind],
                    meters=", ".join(water.mapped("number")),
                )
            )
        if kind in PLANS:
            try:
                return CHECKS[kind](document)
            except PlanError as error:
                raise ValidationError(self._plan_problem(labels[kind], error)) from None
        if not 0 <= value <= MAX_VALUE[kind]:
            raise ValidationError(
                self.env._(
                    "%(kind)s: %(value)s is not between 0 and %(limit)s.",
                    kind=labels[kind],
                    value=value,
                    limit=MAX_VALUE[kind],
                )
            )
        return None

    @api.model
    def _plan_problem(self, label, error):
        """A plan error in the user's language, with the remedy."""
        texts = {
            "shape": self.env._("“%s” is no plan.", error.value),
            "empty": self.env._("The plan is empty. Enter at least one time."),
            "time": self.env._("“%s” is not a time of day. Write it as 05:50.", error.value),
            "day": self.env._(
                "“%s” is not a day. Write mon to sun, workday, restday or every.", error.value
            ),
            "day_twice": self.env._("%s is named twice. Name each day once.", error.value),
            "state": self.env._("“%s” is neither on nor off.", error.value),
            "rate": self.env._(
                "“%s” is not a rate. Write sharp, peak, flat, valley or deep.", error.value
            ),
            "order": self.env._("The times must rise: %s.", error.value),
            "too_many": self.env._("At most %s times a day are possible.", error.value),
            "first": self.env._("The first slot must begin at 00:00."),
            "neighbours": self.env._(
                "The slot at %s has the same rate as the one before. Leave it out.", error.value
            ),
            "one_state": self.env._(
                "The plan needs both a time to switch on and a time to switch off."
            ),
        }
        assert texts.keys() == PROBLEMS.keys()
        return f"{label}: {texts[error.problem]}"

    @api.model
    def _capability(self, profile, kind):
        """What a meter type can do of a kind: "write", "read" or "" (nothing)."""
        names = CONTROLS.get(kind, (kind,))
        controls = profile.control_ids.filtered(lambda control: control.action in names)
        if len(controls) < len(names):
            return ""
        return "write" if all(control.writable for control in controls) else "read"

    @api.model
    def _first_state(self, meter, kind):
        if self._capability(meter.profile_id, kind) == "write":
            return "queued"
        return "platform" if kind in PLATFORM else "impossible"

    @api.model
    def _look_at(self, meter, kind):
        """When to read a value that is not written: now, or never when it cannot be read."""
        if kind == "release" or self._capability(meter.profile_id, kind) != "read":
            return False
        return fields.Datetime.now()

    @api.model
    def _judge_again(self, meters):
        """The meter types changed: say anew who does what, and send what can be sent now."""
        # A release is done once; to send it again because a type was edited would be a new wish.
        rows = self.sudo().search([("meter_id", "in", meters.ids), ("kind", "!=", "release")])
        for row in rows:
            state = self._first_state(row.meter_id, row.kind)
            if state != "queued" or row.state not in ("queued", "sent", "synced"):
                row.write(
                    {
                        "state": state,
                        "epoch": row.epoch + 1,
                        "attempts": 0,
                        "not_before": False
                        if state == "queued"
                        else self._look_at(row.meter_id, row.kind),
                        "detail": False,
                    }
                )
            else:
                # Another type or another device: read before believing the old report.
                row.write({"state": "sent", "epoch": row.epoch + 1, "not_before": False})
        rows._notify()

    @api.model
    def _follow(self, meters, vals):
        """Somebody wrote a setting on the meters themselves: make it a wish like any other."""
        if self.env.context.get("prepay_parameter_known"):
            return
        for name, kind in MIRRORED.items():
            if name not in vals:
                continue
            value = int(vals[name] or 0)
            wished = meters
            if not value:  # zero is a wish only where something else was wished before
                rows = self.sudo().search([("kind", "=", kind), ("meter_id", "in", meters.ids)])
                wished = rows.filtered("desired").meter_id
            if wished:
                reason = vals.get("protected_reason") if kind == "guarantee" else False
                self._request(wished, kind, value, reason=reason or self.env._("Set on the meter"))

    @api.model
    def _void_release(self, meters):
        """A relay command is newer than a release that was not carried out yet."""
        rows = self.sudo().search(
            [
                ("kind", "=", "release"),
                ("meter_id", "in", meters.ids),
                ("state", "in", ("queued", "sent")),
            ]
        )
        for row in rows:
            row.write(
                {
                    "state": "failed",
                    "epoch": row.epoch + 1,
                    "detail": self.env._("Replaced by a newer relay command."),
                }
            )

    def _notify(self):
        """Tell the collectors, at commit, that there is something to set."""
        gateways = self.meter_id.gateway_id
        if gateways:
            self.env.flush_all()
            self.env.cr.execute(
                "SELECT pg_notify('prepay_setting', %s)", [",".join(map(str, gateways.ids))]
            )

    @api.model
    def _cron_watch_clocks(self):
        """Every meter whose clock can be set or read has a clock parameter: it is compared daily.

        The reads are spread over six hours; from then on each row is looked at once a day by itself.
        """
        self.env.flush_all()
        self.env.cr.execute(
            """
            INSERT INTO prepay_meter_parameter (meter_id, location_id, company_id, kind, desired, epoch, state,
                                                desired_at, reason, attempts, not_before,
                                                create_uid, write_uid, create_date, write_date)
            SELECT m.id, m.location_id, m.company_id, 'clock', 0, 1,
                   CASE WHEN c.writable THEN 'synced' ELSE 'impossible' END,
                   now() AT TIME ZONE 'UTC', %(reason)s, 0,
                   now() AT TIME ZONE 'UTC' + random() * interval '6 hours',
                   %(uid)s, %(uid)s, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC'
              FROM prepay_meter m
              JOIN prepay_meter_control c ON c.profile_id = m.profile_id AND c.action = 'clock'
             WHERE m.active AND m.gateway_id IS NOT NULL
            ON CONFLICT (meter_id, kind) DO NOTHING
            """,
            {"reason": self.env._("Daily comparison of the clock"), "uid": self.env.uid},
        )
        self.env.invalidate_all()
