from decimal import Decimal

from markupsafe import Markup
from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import SQL

#: Causes for which a relay that is off is not switched on by an opening: people or safety said so.
HELD_OFF = ("operator", "safety", "test", "overload", "schedule")
MONEY = ("amount", "water_amount", "received", "overdraft_limit")


def two_decimals(record, vals, names):
    """Refuse parts of a fen before they are rounded away.

    :raises UserError: names the field and the value
    """
    for name in names:
        value = vals.get(name)
        if value and abs(value - round(value, 2)) > 1e-9:
            raise UserError(
                record.env._(
                    "%(field)s: %(value)s has more than two decimals. Enter yuan with at most two "
                    "decimals.",
                    field=record._fields[name]._description_string(record.env),
                    value=value,
                )
            )


class Trouble(str):
    """What stands against an opening; ``meter`` when it is about one meter."""

    __slots__ = ("meter",)

    def __new__(cls, text, meter=None):
        self = super().__new__(cls, text)
        self.meter = meter
        return self


def exact(amount):
    """A Monetary as Decimal, CNY."""
    return Decimal(f"{amount or 0:.2f}")


class PrepayOpening(models.Model):
    """Opening of an account (开户): room, meters, tenant, prices, readings and first money on one page.

    Until it is opened it is a preset that commits nobody. Opening does everything in one transaction
    or nothing; what a meter has to do is only wished for.
    """

    _name = "prepay.opening"
    _description = "Account Opening"
    _inherit = ["prepay.approval.document", "prepay.receipt.document"]
    _order = "id desc"
    _rec_name = "number"
    _rec_names_search = ["number", "partner_id.name", "tenant_name", "tenant_phone", "location_id"]
    _check_company_auto = True

    number = fields.Char(
        readonly=True, copy=False, index="trigram", default=lambda self: self.env._("New")
    )
    state = fields.Selection(
        [
            ("draft", "Preset"),
            ("queued", "Being Opened"),
            ("done", "Opened"),
            ("undone", "Undone"),
        ],
        default="draft",
        required=True,
        readonly=True,
        copy=False,
        index=True,
        tracking=True,
    )
    location_id = fields.Many2one(
        "prepay.location",
        string="Room",
        required=True,
        index=True,
        ondelete="restrict",
        domain=[("kind", "in", ("room", "public"))],
        tracking=True,
    )
    building_id = fields.Many2one(related="location_id.building_id", store=True, index=True)
    company_id = fields.Many2one(related="location_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="company_id.currency_id")
    partner_id = fields.Many2one(
        "res.partner",
        string="Tenant",
        index=True,
        ondelete="restrict",
        check_company=True,
        tracking=True,
    )
    tenant_name = fields.Char(string="New Tenant")
    tenant_phone = fields.Char(string="Phone")
    tenant = fields.Char(string="Tenant's Name", compute="_compute_tenant")
    line_ids = fields.One2many("prepay.opening.meter", "opening_id", string="Meters", copy=True)
    layout = fields.Selection(
        [
            ("one", "One balance for all meters"),
            ("medium", "One balance for electricity, one for water"),
            ("join", "Add to the room's present account"),
        ],
        string="Account for",
        default="one",
        required=True,
    )
    has_both = fields.Boolean(compute="_compute_room")
    can_join = fields.Boolean(compute="_compute_room")
    join_account_id = fields.Many2one(
        "prepay.account",
        string="Present Account",
        check_company=True,
        ondelete="restrict",
        domain="[('location_id', '=', location_id), ('state', '=', 'open')]",
    )
    policy_id = fields.Many2one("prepay.supply.policy", check_company=True, ondelete="restrict")
    heads = fields.Integer(string="Persons", default=1)
    overdraft_limit = fields.Monetary(help="So much may be used beyond the balance.")
    carried = fields.Monetary(string="Carried In", compute="_compute_money", store=True)
    preset = fields.Monetary(string="Preset Taken Off", compute="_compute_money", store=True)
    amount = fields.Monetary(string="First Payment", copy=False, tracking=True)
    water_amount = fields.Monetary(
        string="Of Which for Water", copy=False, help="Goes to the balance for water."
    )
    method = fields.Selection(
        selection=lambda self: (
            self.env["prepay.topup"]._fields["method"]._description_selection(self.env)
        ),
        default="cash",
        required=True,
    )
    payer_code = fields.Char(
        string="Payer's Code", copy=False, help="Scanned from the payer's phone."
    )
    received = fields.Monetary(copy=False, help="Cash handed over.")
    change = fields.Monetary(compute="_compute_change")
    balance_start = fields.Monetary(
        string="Balance After Opening", compute="_compute_money", store=True
    )
    note = fields.Char()
    print_receipt = fields.Boolean(string="Print the Receipt", default=True)
    account_id = fields.Many2one(
        "prepay.account", readonly=True, copy=False, index=True, ondelete="restrict"
    )
    account_ids = fields.Many2many(
        "prepay.account", string="Accounts", compute="_compute_account_ids"
    )
    topup_ids = fields.Many2many(
        "prepay.topup",
        readonly=True,
        copy=False,
        string="Top-ups",
        groups="prepay_billing.group_cashier,prepay_billing.group_accountant,"
        "prepay_meter.group_auditor,prepay_meter.group_admin",
    )
    opened_at = fields.Datetime(string="Opened On", readonly=True, copy=False, index=True)
    opened_by_id = fields.Many2one("res.users", readonly=True, copy=False)
    undone_at = fields.Datetime(string="Undone On", readonly=True, copy=False)
    undone_by_id = fields.Many2one("res.users", readonly=True, copy=False)
    undo_reason = fields.Char(string="Reason for Undoing", readonly=True, copy=False)
    batch_id = fields.Many2one(
        "prepay.opening.batch", readonly=True, copy=False, index="btree_not_null"
    )
    problem = fields.Char(
        readonly=True, copy=False, help="Why it could not be opened at the last attempt."
    )
    ready = fields.Boolean(compute="_compute_checks")
    checks_html = fields.Html(string="Check List", compute="_compute_checks", sanitize=False)
    parameter_ids = fields.Many2many(
        "prepay.meter.parameter", string="Parameters", compute="_compute_parameter_ids"
    )

    _money_positive = models.Constraint(
        "CHECK (COALESCE(amount, 0) >= 0 AND COALESCE(water_amount, 0) >= 0 "
        "AND COALESCE(received, 0) >= 0 AND COALESCE(overdraft_limit, 0) >= 0)",
        "Money of an opening is zero or more. Enter it without a sign.",
    )
    _heads_positive = models.Constraint("CHECK (heads >= 1)", "At least one person uses a meter.")

    # computes

    @api.depends("partner_id.name", "tenant_name")
    def _compute_tenant(self):
        for opening in self:
            opening.tenant = opening.partner_id.name or opening.tenant_name

    @api.depends("line_ids.medium", "location_id")
    def _compute_room(self):
        for opening in self:
            opening.has_both = len(set(opening.line_ids.mapped("medium"))) > 1
            opening.can_join = bool(opening._present_accounts())

    @api.depends("amount", "received")
    def _compute_change(self):
        for opening in self:
            opening.change = opening.received - opening.amount if opening.received else 0

    @api.depends("line_ids.carried", "line_ids.preset", "amount")
    def _compute_money(self):
        for opening in self:
            opening.carried = sum(opening.line_ids.mapped("carried"))
            opening.preset = sum(opening.line_ids.mapped("preset"))
            opening.balance_start = opening.amount + opening.carried - opening.preset

    @api.depends("line_ids.supply_id.account_id", "account_id")
    def _compute_account_ids(self):
        for opening in self:
            opening.account_ids = opening.account_id | opening.line_ids.supply_id.account_id

    @api.depends("line_ids.meter_id")
    def _compute_parameter_ids(self):
        rows = self.env["prepay.meter.parameter"].search(
            [
                ("meter_id", "in", self.line_ids.meter_id.ids),
                ("kind", "in", ("alarm_1", "alarm_2", "overload")),
            ]
        )
        for opening in self:
            meters = opening.line_ids.meter_id
            opening.parameter_ids = rows.filtered(lambda row, meters=meters: row.meter_id in meters)

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

    @api.onchange("location_id")
    def _onchange_location_id(self):
        """The free meters of the room, with their readings and the usual prices."""
        self.line_ids = [fields.Command.clear()] + [
            fields.Command.create(vals) for vals in self._lines_for(self.location_id)
        ]
        present = self._present_accounts()
        self.join_account_id = present[:1]
        if present:
            self.layout = "join"
            self.partner_id = self.partner_id or present[0].partner_id
        elif self.layout == "join":
            self.layout = "one"

    @api.onchange("partner_id")
    def _onchange_partner_id(self):
        if self.partner_id:
            self.tenant_name, self.tenant_phone = False, self.partner_id.phone

    @api.onchange("tenant_name", "tenant_phone")
    def _onchange_tenant(self):
        if not self.partner_id and self.tenant_name and self.tenant_phone:
            self.partner_id = self._find_tenant(self.tenant_name, self.tenant_phone)

    # storage

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            two_decimals(self, vals, MONEY)
        openings = super().create(vals_list)
        for opening, vals in zip(openings, vals_list):
            opening.number = f"KH{opening.id:06d}"
            if "line_ids" not in vals:
                opening.line_ids = [
                    fields.Command.create(item) for item in opening._lines_for(opening.location_id)
                ]
        asking = openings.filtered(lambda item: item._awaits_approval() and not item.activity_ids)
        asking._ask_approval()
        return openings

    def write(self, vals):
        two_decimals(self, vals, MONEY)
        if not self._terms().isdisjoint(vals):
            for opening in self:
                if opening.state != "draft":
                    raise UserError(
                        self.env._(
                            "%s has been opened and cannot change. Undo it and open again.",
                            opening.number,
                        )
                    )
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_except_opened(self):
        for opening in self:
            if opening.state != "draft":
                raise UserError(
                    self.env._(
                        "%s has been opened and cannot be deleted. Undo it instead.",
                        opening.number,
                    )
                )

    def _terms(self):
        """What is fixed once the account is opened."""
        return {
            "location_id", "partner_id", "tenant_name", "tenant_phone", "line_ids", "layout",
            "join_account_id", "policy_id", "heads", "overdraft_limit", "amount", "water_amount",
            "method", "received", "payer_code",
        }  # fmt: skip

    # defaults

    @api.model
    def _lines_for(self, room):
        """Values of a line for each meter of a room that belongs to no account."""
        return [self._line_for(meter) for meter in self._free_meters(room)]

    @api.model
    def _free_meters(self, room):
        meters = self.env["prepay.meter"].sudo().search([("location_id", "=", room.id)])
        return meters.filtered(lambda meter: not meter.account_id)

    @api.model
    def _line_for(self, meter):
        """What is usual for a meter: its newest reading, price, limits."""
        policy = self._usual_policy(meter.location_id)
        return {
            "meter_id": meter.id,
            "tariff_id": self._usual_tariff(meter).id,
            "register": (meter.last_value or 0) / 1000,
            "read_at": meter.last_read_at,
            "source": "meter",
            "overload_w": meter.overload_w,
            "alarm_1": policy.alarm1,
            "alarm_2": policy.alarm2,
        }

    @api.model
    def _usual_policy(self, room):
        """The policy that an account of the room will have: of the room, its type, the nearest place
        above, the company."""
        room = room.sudo()
        path = [int(item) for item in (room.parent_path or "").split("/") if item]
        above = self.env["prepay.location"].sudo().browse(reversed(path))
        policies = (room.policy_id, room.room_type_id.policy_id, *above.mapped("policy_id"))
        return next(filter(None, policies), room.company_id.prepay_policy_id)

    @api.model
    def _usual_tariff(self, meter):
        """The tariff last used at the meter; else the most frequent one of its building; else the only
        one of the company."""
        supplies = self.env["prepay.account.meter"].sudo()
        tariffs = self.env["prepay.tariff"].sudo()
        mine = ("meter_id.medium", "=", meter.medium), ("tariff_id.active", "=", True)
        last = supplies.search([("meter_id", "=", meter.id), *mine], order="id desc", limit=1)
        if last:
            return last.tariff_id
        groups = supplies._read_group(
            [
                ("meter_id.location_id", "child_of", meter.location_id.building_id.ids),
                ("end_at", "=", False),
                *mine,
            ],
            ["tariff_id"],
            ["__count"],
            order="__count desc",
            limit=1,
        )
        if groups:
            return groups[0][0]
        only = tariffs.search(
            [("medium", "=", meter.medium), ("company_id", "=", meter.company_id.id)], limit=2
        )
        return only if len(only) == 1 else tariffs

    @api.model
    def _find_tenant(self, name, phone):
        """The one contact with this name and phone; the HR addon knows employees beside.

        :param str name: as typed; blanks around it do not count
        :param str phone: empty: only a name that is there once is taken
        :return: a contact, or none
        """
        name = (name or "").strip()
        domain = [("name", "=ilike", name)]
        if phone:
            domain.append(("phone", "=", phone.strip()))
        elif not name:
            return self.env["res.partner"]
        found = self.env["res.partner"].search(domain, limit=2)
        return found if phone and len(found) == 1 else self.env["res.partner"]

    def _present_accounts(self):
        """Open accounts of the room that the lines may be added to."""
        self.ensure_one()
        return self.location_id.sudo().account_ids.filtered(lambda item: item.state == "open")

    # checks

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

    # buttons

    def action_open(self):
        """Open the account, and print the receipt when that is wished."""
        self.ensure_one()
        self._open()
        if self.print_receipt:
            return self.action_print_receipt()
        return None

    def action_open_many(self):
        """Open these presets one by one (一键开户); what cannot be opened stays with its reason."""
        return self._start_batch()._show()

    def action_check(self):
        """Say for each preset what is missing, without opening anything."""
        self._check_opener()
        for opening in self.filtered(lambda item: item.state == "draft"):
            opening._refresh_readings()
            opening.problem = "\n".join(opening._problems()) or False

    def action_read_now(self):
        """Ask all meters that a gateway reaches for a reading."""
        reached = self.line_ids.filtered(lambda line: line.meter_id.gateway_id)
        return (reached or self.line_ids).action_read_now()

    def action_take_readings(self):
        """Take over the newest readings."""
        self.filtered(lambda item: item.state == "draft")._refresh_readings()

    def action_undo(self):
        """Ask for the reason."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_billing.prepay_opening_undo_wizard_action"
        )
        action["context"] = {"default_opening_id": self.id}
        return action

    def action_show_account(self):
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": "prepay.account",
            "res_id": self.account_id.id,
            "views": [(False, "form")],
        }

    # business

    def _check_opener(self):
        groups = (
            "prepay_meter.group_operator",
            "prepay_billing.group_cashier",
            "prepay_billing.group_accountant",
        )
        if not (self.env.su or any(map(self.env.user.has_group, groups))):
            raise AccessError(
                self.env._("Only operators, cashiers and accountants may open accounts.")
            )
        self.check_access("write")

    def _refresh_readings(self):
        """The newest reading of each meter that is not read by hand."""
        for line in self.line_ids.filtered(lambda item: item.source == "meter"):
            line._take_reading()

    def _lock(self):
        """Two people who press at once: one waits and then finds the new state."""
        self.flush_recordset()
        self.env.cr.execute(
            SQL("SELECT id FROM prepay_opening WHERE id = ANY(%s) ORDER BY id FOR UPDATE", self.ids)
        )
        self.invalidate_recordset(["state"])

    def _open(self):
        """Everything of the opening in this transaction, or an error that says what is missing.

        :raises UserError: opened already, or something of the check list is wrong
        """
        self.ensure_one()
        self._check_opener()
        self._lock()
        if self.state not in ("draft", "queued"):
            raise UserError(
                self.env._(
                    "%(number)s for %(room)s has been opened already.",
                    number=self.number,
                    room=self.location_id.name,
                )
            )
        self.state = "draft"  # of a queued one too: its terms are completed now
        self._refresh_readings()
        problems = self._problems()
        if problems:
            raise UserError("\n".join(problems))
        tenant = self._take_tenant()
        self._make_accounts(tenant)
        self.line_ids.sudo()._store_readings()
        self._post_carried()
        self._take_payments()
        self.line_ids._set_parameters()
        self._switch_on()
        self.write(
            {
                "state": "done",
                "opened_at": fields.Datetime.now(),
                "opened_by_id": self.env.uid,
                "problem": False,
            }
        )
        self._issue_receipt()

    def _take_tenant(self):
        """The tenant; a new contact when nobody is known by that name and phone."""
        tenant = self.partner_id or self._find_tenant(self.tenant_name, self.tenant_phone)
        if not tenant:
            tenant = (
                self.env["res.partner"]
                .sudo()
                .create(
                    {
                        "name": self.tenant_name.strip(),
                        "phone": (self.tenant_phone or "").strip() or False,
                        "lang": self.company_id.partner_id.lang,
                    }
                )
                .sudo(False)
            )
        if not self.partner_id:
            self.partner_id = tenant
        return tenant

    def _make_accounts(self, tenant):
        """Accounts with their meters, or the meters on the present account."""
        groups = {}
        for line in self.line_ids:
            medium = line.medium if self.layout == "medium" else False
            groups.setdefault(medium, self.env["prepay.opening.meter"])
            groups[medium] |= line
        accounts = self.env["prepay.account"].sudo()
        for medium in sorted(groups, key=str):
            lines = groups[medium]
            if self.layout == "join":
                account = self.join_account_id.sudo()
                account.write({"supply_ids": [(0, 0, line._supply_values()) for line in lines]})
            else:
                account = accounts.create(
                    {
                        "partner_id": tenant.id,
                        "location_id": self.location_id.id,
                        "medium": medium,
                        "policy_id": self.policy_id.id,
                        "overdraft_limit": self.overdraft_limit,
                        "supply_ids": [(0, 0, line._supply_values()) for line in lines],
                    }
                )
            for line in lines:
                line.supply_id = account.supply_ids.filtered(
                    lambda item, line=line: item.meter_id == line.meter_id and not item.end_at
                )
            if not self.account_id:
                self.account_id = account

    def _post_carried(self):
        """Money of the replaced meters, less what was preset in them."""
        words = self.company_id._prepay_env()
        postings = []
        for line in self.line_ids:
            for kind, amount, reason in (
                (
                    "opening",
                    exact(line.carried),
                    words._("Carried in with meter %s", line.meter_id.number),
                ),
                (
                    "adjustment",
                    -exact(line.preset),
                    words._("Preset of meter %s taken off", line.meter_id.number),
                ),
            ):
                if amount:
                    postings.append(
                        {
                            "account": line.supply_id.account_id,
                            "kind": kind,
                            "amount": amount,
                            "key": f"{kind}:prepay.opening.meter:{line.id}",
                            "reason": reason,
                            "document": self,
                        }
                    )
        self.env["prepay.ledger.entry"].sudo()._post(postings)

    def _take_payments(self):
        """The first payment as top-ups; the supply is decided by then."""
        accounts = self.line_ids.supply_id.account_id
        water = accounts.filtered(lambda item: item.medium == "water")
        if self.layout == "medium" and self.has_both:
            parts = {
                accounts - water: exact(self.amount) - exact(self.water_amount),
                water: exact(self.water_amount),
            }
        else:
            parts = {self.account_id: exact(self.amount)}
        parts = [(account, amount) for account, amount in parts.items() if amount]
        topups = self.env["prepay.topup"]
        if parts:
            topups = self.env["prepay.counter"]._sell(
                parts,
                self.method,
                key=f"prepay.opening:{self.id}",
                received=exact(self.received) if self.method == "cash" and self.received else None,
                code=(self.payer_code or "").strip(),
                note=self.env._("First payment of opening %s", self.number),
                confirmed=True,
            )
            self.sudo().topup_ids = topups
        (accounts - topups.account_id).sudo()._evaluate_supply()

    def _switch_on(self):
        """Meters that stand off since a closing or from the factory get supply when there is money."""
        available = self.account_ids.sudo()._available()
        for line in self.line_ids:
            meter = line.meter_id.sudo()
            if (
                available.get(line.supply_id.account_id.id, 0) > 0
                and meter.relay_reported == "open"
                and meter.desired_relay != "closed"
                and meter.desired_cause not in HELD_OFF
            ):
                meter._request_relay(
                    "closed", "restore", self.company_id._prepay_env()._("Account opened")
                )

    # many at once

    def _start_batch(self):
        """Open what is preset of these: few at once, many in the background."""
        self._check_opener()
        presets = self.filtered(lambda item: item.state == "draft")
        if not presets:
            raise UserError(self.env._("None of these waits to be opened. Choose presets."))
        batch = self.env["prepay.opening.batch"].sudo().create({"user_id": self.env.uid})
        presets.write({"state": "queued", "batch_id": batch.id, "problem": False})
        batch._begin(presets)
        return batch.sudo(False)

    def _open_or_note(self):
        """Open, or take everything back and keep the reason.

        :return: whether it was opened
        """
        self.ensure_one()
        problem = False
        try:
            with self.env.cr.savepoint():
                self._open()
                self.env.flush_all()
        except Exception as error:
            # Whatever fails, only this row fails; what can be repeated is repeated by the caller.
            self.env.invalidate_all(flush=False)
            problem = self.env["prepay.opening.batch"]._explain(error)
        if problem:
            self.write({"state": "draft", "problem": problem})
        return not problem

    # undo

    def _undo(self, reason):
        """Take the opening back as if it had not been: money by reversal, supply ended, account closed.

        The relay is left as it is.

        :raises UserError: not opened, or something followed
        """
        self.ensure_one()
        self._check_opener()
        self._lock()
        if self.state != "done":
            raise UserError(
                self.env._("%s is not opened, so there is nothing to undo.", self.number)
            )
        supplies = self.line_ids.supply_id.sudo()
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT id FROM prepay_account_meter WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
            [supplies.ids],
        )
        supplies.invalidate_recordset()
        self._check_undo(supplies)
        # Use that nobody pays: it is neither posted nor billed.
        self.env["prepay.charge"].sudo().search([("supply_id", "in", supplies.ids)]).unlink()
        for supply in supplies:
            supply.end_at = max(supply.start_at, supply.rated_at or supply.start_at)
        entries = self._entries()
        for entry in entries.filtered(lambda item: item.amount < 0):
            entry._check_reversal()
            entry._post_reversal(reason, self)
        self._reverse_topups(reason)
        rest = entries.filtered(lambda item: item.amount > 0)
        rest._check_reversal()
        rest._post_reversal(reason, self)
        if self.layout != "join":
            values = {"state": "closed"}
            if "closed_on" in self.env["prepay.account"]._fields:
                values["closed_on"] = fields.Date.context_today(self)
            supplies.account_id.write(values)
        self.write(
            {
                "state": "undone",
                "undone_at": fields.Datetime.now(),
                "undone_by_id": self.env.uid,
                "undo_reason": reason,
            }
        )
        self.message_post(body=self.env._("Undone: %s", reason))

    def _check_undo(self, supplies):
        """Refuse when others have built upon the opening."""
        accounts = supplies.account_id
        if supplies.filtered("end_at") or any(account.state != "open" for account in accounts):
            raise UserError(
                self.env._(
                    "%s: a meter or the account was closed or changed since. It cannot be undone.",
                    self.number,
                )
            )
        waiting = self.sudo().topup_ids.filtered(lambda item: item.state == "draft")
        if waiting:
            raise UserError(
                self.env._(
                    "%(number)s: payment %(amount)s is still on its way. Try again in some minutes.",
                    number=self.number,
                    amount=f"{waiting[0].amount:.2f}",
                )
            )
        posted = (
            self.env["prepay.charge"]
            .sudo()
            .search([("supply_id", "in", supplies.ids), ("state", "!=", "open")], limit=1)
        )
        if posted:
            raise UserError(
                self.env._(
                    "%(number)s: consumption of %(day)s is posted. Close the account instead.",
                    number=self.number,
                    day=posted.day,
                )
            )
        if self.layout == "join":
            return
        if accounts.supply_ids - supplies:
            raise UserError(
                self.env._(
                    "%s: another meter was added to the account. Close the account instead.",
                    self.number,
                )
            )
        own = self._entries() | self.sudo().topup_ids.entry_id
        other = (
            self.env["prepay.ledger.entry"]
            .sudo()
            .search([("account_id", "in", accounts.ids)])
            .filtered(lambda entry: entry not in own and entry.reverses_id not in own)[:1]
        )
        if other:
            raise UserError(
                self.env._(
                    "%(number)s: %(reason)s of %(amount)s followed. Close the account instead.",
                    number=self.number,
                    reason=other.reason,
                    amount=f"{other.amount:.2f}",
                )
            )

    def _entries(self):
        """Wallet entries of money carried in and taken off."""
        return (
            self.env["prepay.ledger.entry"]
            .sudo()
            .search(
                [
                    ("res_model", "=", self._name),
                    ("res_id", "in", self.ids),
                    ("kind", "!=", "reversal"),
                ],
                order="id",
            )
        )

    def _reverse_topups(self, reason):
        """Take the first payment back by the rules of reversals.

        :raises UserError: a rule forbids it, or somebody else has to approve it first
        """
        for topup in self.sudo().topup_ids.filtered(lambda item: item.state == "done"):
            topup.with_env(self.env)._reverse(reason)
            if topup.state != "reversed":
                raise UserError(
                    self.env._(
                        "%(number)s: taking back sale %(sale)s needs an approval. Reverse the sale "
                        "first, then undo the opening.",
                        number=self.number,
                        sale=topup.number,
                    )
                )

    # receipt

    def _receipt_kind(self):
        return "opening"

    def _receipt_meters(self, at):
        """All meters of the opening, also when two accounts were made, with their opening registers."""
        meters = []
        for line in self.line_ids.filtered("supply_id"):
            values = self._receipt_meter(line.supply_id, at)
            values["register"] = f"{line._register_base() / 1000:.2f}"
            meters.append(values)
        return meters

    def _receipt_values(self):
        methods = dict(self.env["prepay.topup"]._fields["method"]._description_selection(self.env))
        at = self.opened_at or fields.Datetime.now()
        items = [
            (self.env._("First payment"), self.amount),
            (self.env._("Carried in from the replaced meter"), self.carried),
            (self.env._("Preset taken off"), -self.preset),
        ]
        return {
            **super()._receipt_values(),
            "order_number": self.number,
            "date": fields.Datetime.to_string(at),
            "account_number": " / ".join(self.account_ids.mapped("number")),
            "meters": self._receipt_meters(at),
            "amount": self._receipt_money(self.amount),
            "items": [
                {"name": name, "amount": self._receipt_money(amount)}
                for name, amount in items
                if amount
            ],
            "balance_before": self._receipt_money(0),
            "balance_after": self._receipt_money(self.balance_start),
            "method": methods[self.method] if self.amount else None,
            "received": self._receipt_money(self.received) if self.received else None,
            "change": self._receipt_money(self.change) if self.received else None,
            "operator": self.opened_by_id.name,
            "remark": self.note or None,
        }
