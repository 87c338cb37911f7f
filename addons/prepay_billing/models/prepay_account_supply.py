import re
from datetime import datetime, timezone

from markupsafe import Markup
from odoo import api, fields, models

from ..engine import supply
from ..engine.supply_types import Evidence
from .prepay_account import _aware

LEVELS = [
    ("normal", "Normal"),
    ("alarm1", "Alarm 1"),
    ("alarm2", "Alarm 2"),
    ("arrears", "Arrears"),
    ("cut", "Used Up"),
]
_SEVERITY = {code: rank for rank, (code, _label) in enumerate(LEVELS)}


class PrepayAccount(models.Model):
    """Supply of an account: its level, what the policy decides, and why."""

    _inherit = "prepay.account"

    policy_id = fields.Many2one(
        "prepay.supply.policy",
        check_company=True,
        tracking=True,
        help="Empty: the policy of the company.",
    )
    is_protected = fields.Boolean(
        string="Guaranteed Supply", tracking=True, help="保电: never cut automatically."
    )
    protected_reason = fields.Char(tracking=True)
    decision_ids = fields.One2many(
        "prepay.supply.decision", "account_id", string="Decisions", readonly=True
    )
    level = fields.Selection(LEVELS, default="normal", readonly=True, copy=False, index=True)
    due_since = fields.Datetime(string="Used Up Since", readonly=True, copy=False)
    notice_at = fields.Datetime(string="Notice Delivered", readonly=True, copy=False)
    supply = fields.Selection(
        [("on", "On"), ("off", "Off"), ("switching", "Switching"), ("unknown", "Unknown")],
        compute="_compute_supply",
    )
    checks_html = fields.Html(string="Why", compute="_compute_checks_html", sanitize=False)

    @api.depends("supply_ids.meter_id.supply")
    def _compute_supply(self):
        for account in self:
            states = set(account.meter_ids.mapped("supply"))
            account.supply = next(
                (state for state in ("off", "switching", "unknown", "on") if state in states),
                "unknown",
            )

    def _compute_checks_html(self):
        for account in self:
            decisions = account._decide().values() if account.ids else ()
            account.checks_html = Markup("").join(
                self._render_checks([*supply.evidence_dict(decision)["checks"]])
                for decision in decisions
            )

    @api.model
    def _render_checks(self, checks):
        """A table of checks in the user's words."""
        labels = self._check_labels()
        rows = Markup("").join(
            Markup(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td class='text-muted'>{}</td></tr>"
            ).format(
                "✓" if check["passed"] else "✗",
                labels.get(check["code"], check["code"]),
                self._check_text(check["value"]),
                self._check_text(check["limit"]),
            )
            for check in checks
        )
        head = Markup("<tr><th></th><th>{}</th><th>{}</th><th>{}</th></tr>").format(
            self.env._("Check"), self.env._("Found"), self.env._("Needed for a cut")
        )
        return Markup(
            "<table class='table table-sm'><thead>{}</thead><tbody>{}</tbody></table>"
        ).format(head, rows)

    def _check_text(self, text):
        """A value or limit of a check in the user's words; free text, such as a reason, stays."""
        words = {
            "!= open": self.env._("not off"),
            "closed": self.env._("on"),
            "open": self.env._("off"),
            "unknown": self.env._("not known"),
            "not required": self.env._("not required"),
            "always": self.env._("at any hour"),
            "any": self.env._("any"),
            "yes": self.env._("yes"),
            "no": self.env._("no"),
            "weekday 1-5": self.env._("Monday to Friday"),
        }
        if text in words:
            return words[text]
        for sign, shown in (("<= ", "≤ "), (">= ", "≥ ")):
            if text.startswith(sign):
                return shown + text.removeprefix(sign)
        weekday = re.fullmatch(r"(\d{4}-\d\d-\d\d) weekday (\d)", text)
        if weekday:
            return self.env._(
                "%(date)s, day %(number)s of the week", date=weekday[1], number=weekday[2]
            )
        return re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*$", r"\1 \2", text)

    def _check_labels(self):
        return {
            "restore": self.env._("Money available again"),
            "due": self.env._("Balance used up"),
            "desired": self.env._("Not switched off already (wish)"),
            "relay": self.env._("Not switched off already (meter)"),
            "fresh": self.env._("Age of the newest reading"),
            "grace": self.env._("Grace over"),
            "window": self.env._("Inside the cut window"),
            "working_day": self.env._("Working day"),
            "notice": self.env._("Notice delivered"),
            "protected": self.env._("No guaranteed supply"),
            "payment": self.env._("No payment in flight"),
            "command": self.env._("No command in doubt"),
            "held": self.env._("No held reading"),
            "operations": self.env._("Relay operations today"),
            "clock": self.env._("Clock difference"),
        }

    def _payment_in_flight(self):
        """Accounts with a payment that may still arrive: they are not cut. Extended by payment addons."""
        return self.browse()

    def _decide(self, now=None):
        """What the policy says now, by meter of these accounts; nothing is changed.

        :param now: aware time, for previews
        :return: {meter: Decision}
        """
        now = now or datetime.now(timezone.utc)
        skew = self._clock_skew()
        available = self._available()
        in_flight = self._payment_in_flight()
        decisions = {}
        for account in self.filtered(lambda item: item.state == "open"):
            policy = account.policy_id or account.company_id.prepay_policy_id
            if not policy:
                continue  # no policy, no automatic cut
            engine_policy = policy._engine_policy()
            for item in account.supply_ids.filtered(lambda item: not item.end_at):
                evidence = account._evidence(
                    item, now, skew, available[account.id], account in in_flight
                )
                decisions[item.meter_id] = supply.decide(engine_policy, evidence)
        return decisions

    def _evidence(self, item, now, skew, available, in_flight):
        meter = item.meter_id
        zone = self.location_id._zone()
        midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        commands = (
            self.env["prepay.meter.command"]
            .sudo()
            .search(
                [
                    ("meter_id", "=", meter.id),
                    "|",
                    ("state", "in", ("queued", "sent")),
                    ("sent_at", ">=", midnight.astimezone(timezone.utc).replace(tzinfo=None)),
                ]
            )
        )
        own_cut = meter.desired_relay == "open" and meter.desired_cause == "arrears"
        desired = meter._live_desired()
        if own_cut and desired is None and available > 0:
            desired = "open"  # a cut that expired unproven may have moved the relay: close it
        protected = meter.is_protected or self.is_protected
        return Evidence(
            now=now,
            tz=zone,
            available=available,
            due_since=_aware(self.due_since),
            reading_at=_aware(item.rated_at),
            held_readings=meter.sudo().open_hold_count,
            payment_in_flight=in_flight,
            command_in_doubt=bool(
                commands.filtered(lambda command: command.state in ("queued", "sent"))
            ),
            protected=protected,
            protected_reason=(meter.protected_reason or self.protected_reason or "")
            if protected
            else "",
            notice_at=_aware(self.notice_at),
            relay=meter.relay_reported or None,
            desired=desired,
            cut_by_policy=own_cut,
            operations_today=len(commands.filtered("sent_at")),
            clock_skew=skew,
            holiday=False,
        )

    def _clock_skew(self):
        """This machine's clock minus the database's."""
        self.env.cr.execute("SELECT clock_timestamp()")
        return datetime.now(timezone.utc) - self.env.cr.fetchone()[0]

    def _evaluate_supply(self):
        """Bring levels up to date, tell crossings, and wish for cuts and restores.

        Called after each posting, so that paid means power, and by the scheduled run.

        :return: the decisions that led to a command
        """
        accounts = self.sudo().filtered(lambda item: item.state == "open")
        accounts._update_levels()
        made = self.env["prepay.supply.decision"].sudo()
        available = accounts._available()
        for meter, decision in accounts._decide().items():
            if decision.action is None:
                continue
            account = meter.account_id
            target = {"open": "open", "close": "closed"}[decision.action]
            cause = "arrears" if target == "open" else "restore"
            words = account.company_id._prepay_env()
            reason = words._("Available %(amount)s CNY", amount=f"{available[account.id]:.2f}")
            command = meter.sudo()._request_relay(target, cause, reason)
            made += made.create(
                {
                    "account_id": account.id,
                    "meter_id": meter.id,
                    "action": decision.action,
                    "available": float(available[account.id]),
                    "evidence": supply.evidence_dict(decision),
                    "command_id": command.id,
                }
            )
        return made

    def _update_levels(self):
        now = fields.Datetime.now()
        available = self._available()
        for account in self:
            policy = account.policy_id or account.company_id.prepay_policy_id
            if not policy:
                continue
            engine_policy = policy._engine_policy()
            amount = available[account.id]
            level = supply.level_of(engine_policy, amount).value
            vals = {}
            due = amount <= engine_policy.cut_at
            if due and not account.due_since:
                vals["due_since"] = now
            elif not due and account.due_since:
                vals.update(due_since=False, notice_at=False)
            if level != account.level:
                vals["level"] = level
            if not vals:
                continue
            before = account.level
            account.write(vals)
            if "level" in vals:
                account._level_changed(before, amount)

    def _level_changed(self, before, amount):
        """Tell a crossing once. Message addons extend this with SMS and WeChat."""
        self.ensure_one()
        env = self.company_id._prepay_env()
        labels = dict(self._fields["level"]._description_selection(env))
        self.message_post(
            body=env._(
                "Level: %(before)s → %(after)s, available %(amount)s CNY",
                before=labels[before or "normal"],
                after=labels[self.level],
                amount=f"{amount:.2f}",
            ),
            subtype_xmlid="mail.mt_note",
        )

    def _worse_than(self, before):
        """The level has fallen since ``before``."""
        self.ensure_one()
        return _SEVERITY[self.level] > _SEVERITY[before or "normal"]

    @api.model
    def _cron_rate_and_supply(self, batch=500):
        """Rate new readings, post what is due, then decide about supply (every minute)."""
        touched = self.env["prepay.charge.run"]._cron_charge()
        accounts = touched.account_id | self.search(
            [("state", "=", "open"), ("level", "!=", "normal")]
        )
        accounts |= self.search(
            [
                ("state", "=", "open"),
                (
                    "supply_ids",
                    "any",
                    [("end_at", "=", False), ("meter_id.desired_relay", "=", "open")],
                ),
            ]
        )
        for index in range(0, len(accounts), batch):
            accounts[index : index + batch]._evaluate_supply()
            if not self.env["ir.cron"]._commit_progress(
                batch, remaining=max(0, len(accounts) - index - batch)
            ):
                break
