import re
from random import SystemRandom

from markupsafe import Markup
from odoo import api, fields, models
from odoo.tools import SQL, split_every

from ..charging import without_collection
from ..engine import supply
from ..engine.supply_batch import Restore, stagger

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

    _inherit = "prepay.account"  # pylint: disable=consider-merging-classes-inherited

    policy_id = fields.Many2one(
        "prepay.supply.policy",
        check_company=True,
        tracking=True,
        help="Empty: the policy of the room, its type, the places above it or the company.",
    )
    effective_policy_id = fields.Many2one(
        "prepay.supply.policy",
        string="Policy in Force",
        compute="_compute_effective_policy_id",
    )
    is_protected = fields.Boolean(
        string="Guaranteed Supply", tracking=True, help="保电: never cut automatically."
    )
    protected_reason = fields.Char(tracking=True)
    no_cut_until = fields.Datetime(tracking=True, help="Until then the supply is not cut.")
    no_cut_reason = fields.Char(string="Reason for No Cut", tracking=True)
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

    @api.depends("policy_id", "location_id.policy_id", "location_id.room_type_id")
    def _compute_effective_policy_id(self):
        policies = self._policies() if self.ids else {}
        for account in self:
            account.effective_policy_id = policies.get(account._origin.id)

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
            decisions = account.sudo()._decide() if account.ids else {}
            account.checks_html = Markup("").join(
                Markup("<p><b>{}</b></p><ul>{}</ul>{}").format(
                    meter.number,
                    Markup("").join(
                        Markup("<li>{}</li>").format(reason)
                        for reason in self._decision_reasons(decision)
                    ),
                    self._render_checks(supply.evidence_dict(decision)["checks"]),
                )
                for meter, decision in decisions.items()
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
            "night": self.env._("Not at night"),
            "holiday_eve": self.env._("Not before a holiday"),
            "weather": self.env._("No heat, cold or storm"),
            "limited": self.env._("Not limited already"),
        }

    @api.model
    def _decision_reasons(self, decision):
        """Why a decision is as it is, in sentences for the operator."""
        if decision.action:
            return [
                {
                    "open": self.env._("Every check passes: the supply is cut."),
                    "limit": self.env._("Every check passes: the power is limited, not cut."),
                    "close": self.env._("Money is available again: the supply returns."),
                    "release": self.env._("Money is available again: the limit ends."),
                }[decision.action]
            ]
        checks = {check.code: check for check in decision.checks}
        if not checks["due"].passed:
            return [self._blocked_reason(checks["due"])]
        return [self._blocked_reason(checks[code]) for code in decision.blocked_by]

    @api.model
    def _blocked_reason(self, check):
        value, limit = self._check_text(check.value), self._check_text(check.limit)
        named = {"value": value, "limit": limit.lstrip("≤≥ ")}
        no_reason = check.value == "yes"
        texts = {
            "due": self.env._(
                "Not due: CNY %(value)s are available; a cut is due at %(limit)s.", **named
            ),
            "desired": self.env._("It is switched off already."),
            "relay": self.env._("The meter reports that it is switched off already."),
            "fresh": self.env._(
                "The newest reading is too old or unknown: %(value)s, at most %(limit)s.", **named
            ),
            "grace": self.env._("The grace is not over: %(value)s of %(limit)s.", **named),
            "window": self.env._(
                "Outside the hours for cuts: %(value)s, allowed %(limit)s.", **named
            ),
            "night": self.env._("No cuts at night: %(value)s, allowed %(limit)s.", **named),
            "working_day": self.env._("No cuts on days off: %(value)s.", **named),
            "holiday_eve": self.env._(
                "No cuts before a holiday: whoever is cut now waits until after it."
            ),
            "weather": self.env._("No cuts: %(value)s.", **named),
            "notice": self.env._(
                "The final notice was not delivered long enough ago: %(value)s, at least %(limit)s.",
                **named,
            ),
            "protected": self.env._("Guaranteed supply.")
            if no_reason
            else self.env._("Guaranteed supply: %(value)s.", **named),
            "payment": self.env._("A payment is on its way."),
            "command": self.env._("An earlier command has no certain outcome yet."),
            "held": self.env._("%(value)s doubtful readings wait for a person.", **named),
            "operations": self.env._(
                "The relay has moved %(value)s times today; at most %(limit)s before a cut.",
                **named,
            ),
            "clock": self.env._("The clock cannot be trusted: difference %(value)s.", **named),
            "limited": self.env._("The power is limited already."),
        }
        return texts.get(check.code, check.code)

    def _tenant_reasons(self):
        """Plain sentences for the tenant: what the supply is, why, and what brings it back.

        For the portal; says nothing of other tenants, of staff or of technical doubts.
        """
        self.ensure_one()
        account = self.sudo()
        available = f"{account._available()[account.id]:.2f}"
        off = account.meter_ids.filtered(lambda meter: meter.supply == "off")
        own = off.filtered(lambda meter: meter.desired_cause == "arrears")
        limited = account.meter_ids.filtered("essential_on")
        policy = account.effective_policy_id
        lines = []
        if own:
            lines.append(
                self.env._(
                    "The supply is off because the balance is used up: CNY %s. It returns by "
                    "itself as soon as you have paid.",
                    available,
                )
            )
        elif off:
            lines.append(
                self.env._("The supply was switched off by the operator. Please ask there.")
            )
        elif limited:
            lines.append(
                self.env._(
                    "The balance is used up, so the power is limited to %s W. Pay, and the limit ends.",
                    limited[0].overload_w,
                )
            )
        elif account.level in ("arrears", "cut"):
            lines.append(self.env._("The balance is used up: CNY %s. Please pay soon.", available))
            if account._is_guaranteed():
                lines.append(self.env._("Your supply is guaranteed and is not cut."))
            elif policy and account.level == "cut":
                lines.append(account._cut_outlook(policy))
        elif account.level in ("alarm1", "alarm2"):
            lines.append(self.env._("The balance is low: CNY %s.", available))
        else:
            lines.append(self.env._("The balance is enough: CNY %s.", available))
        if account.days_left_text and account.level in ("normal", "alarm1", "alarm2"):
            lines.append(self.env._("Expected to last: %s.", account.days_left_text))
        return lines

    def _is_guaranteed(self):
        self.ensure_one()
        now = fields.Datetime.now()
        return bool(
            self.is_protected
            or self.partner_id.prepay_protected
            or any(self.meter_ids.mapped("is_protected"))
            or (self.no_cut_until and self.no_cut_until > now)
        )

    def _cut_outlook(self, policy):
        """When a cut may come, as far as the policy says it beforehand."""
        if policy.any_time:
            return self.env._("Without a payment the supply may be switched off.")
        hours = {
            "start": policy._clock_text(policy.window_start),
            "end": policy._clock_text(policy.window_end),
        }
        if policy.working_days_only:
            return self.env._(
                "Without a payment the supply may be switched off between %(start)s and %(end)s "
                "on working days.",
                **hours,
            )
        return self.env._(
            "Without a payment the supply may be switched off between %(start)s and %(end)s.",
            **hours,
        )

    @without_collection()
    def _evaluate_supply(self):
        """Bring levels up to date, tell crossings, and wish for cuts and restores.

        Called after each posting, so that paid means power, and by the scheduled run.

        :return: the decisions that led to a command
        """
        made = self.env["prepay.supply.decision"].sudo()
        accounts = self.sudo()
        if not accounts.ids:
            return made
        policies = accounts._engine_policies()
        money = accounts._supply_money(policies)
        accounts._update_levels(policies, money)
        decisions = accounts._decide(acting=True, money=money, policies=policies)
        back = {
            meter: decision
            for meter, decision in decisions.items()
            if decision.action in ("close", "release")
        }
        cuts = {
            meter: decision
            for meter, decision in decisions.items()
            if decision.action in ("open", "limit")
        }
        for meter, delay in accounts._restore_delays(back).items():
            made += made._carry_out(meter, back[meter], money, delay=delay)
        for meter, batch in self.env["prepay.supply.batch"].sudo()._admit(cuts).items():
            made += made._carry_out(meter, cuts[meter], money, batch=batch, policies=policies)
        return made

    @api.model
    def _restore_delays(self, meters):
        """Seconds after which each of these meters comes back (S-08)."""
        meters = self.env["prepay.meter"].sudo().union(*meters)
        sizes = dict(
            self.env["prepay.meter"]
            .sudo()
            ._read_group([("gateway_id", "in", meters.gateway_id.ids)], ["gateway_id"], ["__count"])
        )
        restores = [Restore(meter, meter.gateway_id, meter.account_id.id) for meter in meters]
        return stagger(restores, sizes, SystemRandom())

    def _update_levels(self, policies=None, money=None):
        """Levels, since when a cut is due and lapsed notices; set-based.

        :param policies: see ``_engine_policies``
        :param money: see ``_supply_money``
        """
        policies = self._engine_policies() if policies is None else policies
        money = self._supply_money(policies) if money is None else money
        now = fields.Datetime.now()
        self.env.cr.execute(
            "SELECT id, level, due_since, notice_at FROM prepay_account "
            "WHERE state = 'open' AND id = ANY(%s)",
            [list(policies)],
        )
        rows, crossed = [], []
        for account_id, before, due_since, notice_at in self.env.cr.fetchall():
            policy, known = policies[account_id], money[account_id]
            level = supply.level_of(
                policy,
                known.available,
                overdraft=known.overdraft,
                days_left=known.days_left,
                last_topup=known.last_topup,
            ).value
            since = (due_since or now) if known.available <= policy.cut_at else None
            notice = notice_at if since else None
            if (level, since, notice) != (before or "normal", due_since, notice_at):
                rows.append(
                    SQL("(%s, %s, %s::timestamp, %s::timestamp)", account_id, level, since, notice)
                )
            if level != (before or "normal"):
                crossed.append((account_id, before))
        for part in split_every(5000, rows, list):
            self.env.cr.execute(
                SQL(
                    """
                    UPDATE prepay_account a
                       SET level = v.level, due_since = v.since, notice_at = v.notice,
                           write_uid = %s, write_date = %s
                      FROM (VALUES %s) AS v(id, level, since, notice) WHERE a.id = v.id
                    """,
                    self.env.uid,
                    now,
                    SQL(", ").join(part),
                )
            )
        if rows:
            self.env["prepay.account"].invalidate_model(["level", "due_since", "notice_at"])
        changed = self.browse([account_id for account_id, _before in crossed])
        changed._update_forecast()
        changed._log_levels(dict(crossed), money)
        for account, (_id, before) in zip(changed, crossed):
            account._level_changed(before, money[account.id].available)

    def _log_levels(self, before, money):
        """A note on each account whose level changed, in the language of its company."""
        for company, accounts in self.grouped("company_id").items():
            env = company._prepay_env()
            labels = dict(self._fields["level"]._description_selection(env))
            accounts._message_log_batch(
                {
                    account.id: env._(
                        "Level: %(before)s → %(after)s, available %(amount)s CNY",
                        before=labels[before[account.id] or "normal"],
                        after=labels[account.level],
                        amount=f"{money[account.id].available:.2f}",
                    )
                    for account in accounts
                }
            )

    def _level_changed(self, before, amount):
        """A crossing, once. Message addons extend this with SMS and WeChat."""

    def _worse_than(self, before):
        """The level has fallen since ``before``."""
        self.ensure_one()
        return _SEVERITY[self.level] > _SEVERITY[before or "normal"]

    @api.model
    def _cron_rate_and_supply(self, batch=20000):
        """Rate new readings, post what is due, then decide about supply (every minute)."""
        self.env["prepay.supply.batch"].sudo()._lapse()
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
                    [
                        ("end_at", "=", False),
                        "|",
                        ("meter_id.desired_relay", "=", "open"),
                        ("meter_id.essential_on", "=", True),
                    ],
                ),
            ]
        )
        for index in range(0, len(accounts), batch):
            accounts[index : index + batch]._evaluate_supply()
            if not self.env["ir.cron"]._commit_progress(
                batch, remaining=max(0, len(accounts) - index - batch)
            ):
                break
