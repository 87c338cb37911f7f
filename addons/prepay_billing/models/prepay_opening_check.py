from markupsafe import Markup
from odoo import api, fields, models


class Trouble(str):
    """What stands against an opening; ``meter`` when it is about one meter."""

    __slots__ = ("meter",)

    def __new__(cls, text, meter=None):
        self = super().__new__(cls, text)
        self.meter = meter
        return self


class PrepayOpening(models.Model):
    """The check list of an opening: what stands against it, before anything is done."""

    _inherit = "prepay.opening"  # pylint: disable=consider-merging-classes-inherited

    ready = fields.Boolean(compute="_compute_checks")
    checks_html = fields.Html(string="Check List", compute="_compute_checks", sanitize=False)

    @api.depends(
        "location_id", "partner_id", "tenant_name", "layout", "join_account_id", "amount",
        "water_amount", "method", "received", "overdraft_limit", "heads", "state",
        "line_ids.meter_id", "line_ids.tariff_id", "line_ids.register", "line_ids.read_at",
        "line_ids.source", "line_ids.photo", "line_ids.reading_reason", "line_ids.carried",
        "line_ids.preset", "line_ids.alarm_1", "line_ids.alarm_2",
    )  # fmt: skip
    def _compute_checks(self):
        for opening in self:
            if opening.state not in ("draft", "queued"):
                opening.ready, opening.checks_html = False, False
                continue
            checks = opening._checks()
            opening.ready = not any(problems for _code, _label, problems in checks)
            opening.checks_html = Markup("<ul class='list-unstyled mb-0'>{}</ul>").format(
                Markup("").join(
                    opening._render_check(code, label, problems) for code, label, problems in checks
                )
            )

    def _render_check(self, code, label, problems):
        """One line of the check list; what cannot be judged yet is neither right nor wrong."""
        color, mark = ("danger", "✗") if problems else ("success", "✓")
        if not problems and not self.line_ids and code in ("meters", "tariffs", "readings"):
            color, mark = "muted", "○"
        return Markup("<li><span class='text-{}'>{}</span> {}{}</li>").format(
            color,
            mark,
            label,
            Markup("").join(
                Markup("<div class='text-danger ms-4'>{}</div>").format(item) for item in problems
            ),
        )

    def _problems(self):
        """What stands against opening, in plain words; empty when nothing does."""
        return [problem for _code, _label, problems in self._checks() for problem in problems]

    def _checks(self):
        """The check list: tuples of a code, what was looked at, and what is wrong with it."""
        self.ensure_one()
        return [
            ("room", self.env._("Room"), self._check_room()),
            ("tenant", self.env._("Tenant"), self._check_tenant()),
            ("meters", self.env._("Meters"), self._check_meters()),
            ("tariffs", self.env._("Prices"), self._check_tariffs()),
            ("readings", self.env._("Opening readings"), self._check_readings()),
            ("money", self.env._("Money"), self._check_money()),
        ]

    def _check_room(self):
        if not self.location_id:
            return [self.env._("Choose the room.")]
        if self.location_id.kind not in ("room", "public"):
            return [
                self.env._(
                    "%s is no room. Choose a room or a public area.", self.location_id.display_name
                )
            ]
        if self.layout != "join":
            return []
        account = self.join_account_id
        if not account:
            return [
                self.env._(
                    "%s has no open account to add the meters to. Open a new balance.",
                    self.location_id.name,
                )
            ]
        if account.state != "open" or account.location_id != self.location_id:
            return [
                self.env._(
                    "Account %s is not an open account of this room. Choose another one.",
                    account.display_name,
                )
            ]
        return []

    def _check_tenant(self):
        if self.partner_id or self.tenant_name and self.tenant_name.strip():
            return []
        return [self.env._("Choose the tenant, or enter the name of a new one.")]

    def _check_meters(self):
        if not self.line_ids:
            if not self.location_id:
                return []
            return [
                self.env._(
                    "%s has no free meter. Assign a meter to the room, or close its account first.",
                    self.location_id.name,
                )
            ]
        seen = set()
        return self._each_line(lambda line: line._meter_trouble(seen))

    def _check_tariffs(self):
        return self._each_line(lambda line: line.meter_id and line._tariff_trouble())

    def _check_readings(self):
        return self._each_line(lambda line: line.meter_id and line._reading_trouble())

    def _each_line(self, look):
        found = ((look(line), line.meter_id) for line in self.line_ids)
        return [Trouble(text, meter) for text, meter in found if text]

    def _check_money(self):
        problems = []
        company = self.company_id
        if self.heads < 1:
            problems.append(self.env._("Enter at least one person."))
        if self.amount:
            if not self._may_sell():
                problems.append(
                    self.env._(
                        "Only cashiers take money. Open without a payment; it is sold at the counter."
                    )
                )
            limit = company.prepay_max_topup
            if limit and self.amount > limit:
                problems.append(
                    self.env._(
                        "First payment %(amount)s is above the largest sale of %(limit)s. Take less, or "
                        "change the limit in the settings.",
                        amount=f"{self.amount:.2f}",
                        limit=f"{limit:.2f}",
                    )
                )
        if self.received and self.received < self.amount:
            problems.append(self.env._("The cash received is less than the first payment."))
        if self.layout == "medium" and self.water_amount > self.amount:
            problems.append(
                self.env._("The part for water is larger than the first payment. Correct it.")
            )
        for line in self.line_ids:
            if line.alarm_2 > line.alarm_1:
                problems.append(
                    self.env._(
                        "Meter %(meter)s: alarm 2 (%(second)s) is above alarm 1 (%(first)s). Alarm 1 "
                        "comes first and is the larger one.",
                        meter=line.meter_id.number,
                        first=f"{line.alarm_1:.2f}",
                        second=f"{line.alarm_2:.2f}",
                    )
                )
        limit, given = company.prepay_four_eyes_limit, self._approval_amount()
        if self._awaits_approval() and not self._may_give():
            problems.append(
                self.env._(
                    "%(amount)s carried in and overdraft is above %(limit)s. Save it; an accountant "
                    "who did not enter it opens it.",
                    amount=f"{given:.2f}",
                    limit=f"{limit:.2f}",
                )
            )
        return problems

    def _may_sell(self):
        return self.env.su or self.env.user.has_group("prepay_billing.group_cashier")

    @api.model
    def _approval_fields(self):
        return {"state", "line_ids", "overdraft_limit"}

    def _awaits_approval(self):
        given, limit = self._approval_amount(), self.company_id.prepay_four_eyes_limit
        return self.state == "draft" and given > limit

    def _approval_requester(self):
        return self.create_uid

    def _approval_amount(self):
        return self.carried + self.overdraft_limit

    def _may_give(self):
        """Money that nobody pays in needs two people above the limit."""
        if self.env.su:
            return True
        return (
            self.env.user.has_group("prepay_billing.group_accountant")
            and self.create_uid
            and self.create_uid != self.env.user
        )
