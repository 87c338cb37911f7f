from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError, ValidationError

from ..capitals import rmb_capitals
from ..shift_workbook import shift_workbook

#: Notes and coins in CNY, the largest first.
DENOMINATIONS = (100, 50, 20, 10, 5, 1, 0.5, 0.1)


class PrepayShift(models.Model):
    """The drawer of one cashier from opening to hand-in (班次/解款).

    Nothing is added up in this row: totals are sums over sales, refunds and reversals, so that any
    number of sales at once do not wait for each other. While they post, they hold the row shared
    (:meth:`_take`); counting changes the row, therefore waits for them and lets no others in.
    """

    _name = "prepay.shift"
    _description = "Cashier Shift"
    _inherit = ["mail.thread"]
    _order = "id desc"
    _rec_name = "number"
    _check_company_auto = True

    number = fields.Char(readonly=True, copy=False, default=lambda self: self.env._("New"))
    user_id = fields.Many2one(
        "res.users",
        string="Cashier",
        required=True,
        readonly=True,
        index=True,
        default=lambda self: self.env.user,
    )
    company_id = fields.Many2one(
        "res.company",
        required=True,
        readonly=True,
        index=True,
        default=lambda self: self.env.company,
    )
    currency_id = fields.Many2one(related="company_id.currency_id")
    state = fields.Selection(
        [
            ("open", "On Duty"),
            ("counting", "Counting"),
            ("closed", "Handed In"),
            ("confirmed", "Money Received"),
        ],
        default="open",
        required=True,
        readonly=True,
        copy=False,
        index=True,
        tracking=True,
    )
    opened_at = fields.Datetime(
        string="Began On", required=True, readonly=True, copy=False, default=fields.Datetime.now
    )
    opening_float = fields.Monetary(
        string="Float",
        default=lambda self: self._last_left(),
        help="Cash in the drawer at the beginning (备用金).",
    )
    counted_at = fields.Datetime(string="Counted On", readonly=True, copy=False)
    closed_at = fields.Datetime(string="Handed In On", readonly=True, copy=False)
    confirmed_at = fields.Datetime(string="Received On", readonly=True, copy=False)
    confirmed_by_id = fields.Many2one(
        "res.users", string="Received By", readonly=True, copy=False, tracking=True
    )
    total_ids = fields.One2many("prepay.shift.total", "shift_id", string="Totals", readonly=True)
    flow_ids = fields.One2many("prepay.cash.flow", "shift_id", string="Vouchers", readonly=True)
    sales = fields.Monetary(compute="_compute_totals")
    refunds = fields.Monetary(compute="_compute_totals")
    reversals = fields.Monetary(compute="_compute_totals")
    net = fields.Monetary(compute="_compute_totals", help="Money taken less money paid out.")
    count = fields.Integer(string="Number of Vouchers", compute="_compute_totals")
    expected_cash = fields.Monetary(
        compute="_compute_totals", help="Float and cash of this shift: what the drawer must hold."
    )
    count_ids = fields.One2many("prepay.shift.count", "shift_id", string="Notes and Coins")
    counted_cash = fields.Monetary(
        compute="_compute_counted_cash", store=True, readonly=False, copy=False
    )
    handed_in = fields.Monetary(
        string="Cash Handed In",
        compute="_compute_handed_in",
        store=True,
        readonly=False,
        copy=False,
        help="Proposed: all but the float, which stays in the drawer.",
    )
    left_in_drawer = fields.Monetary(compute="_compute_left_in_drawer")
    difference = fields.Monetary(
        compute="_compute_difference",
        store=True,
        help="Counted less expected: positive is too much, negative is missing.",
    )
    difference_reason = fields.Char(string="Reason of the Difference", copy=False)
    note = fields.Char()

    _one_open = models.UniqueIndex(
        "(user_id, company_id) WHERE state IN ('open', 'counting')",
        "You have an open shift already. Hand it in first.",
    )
    _float_positive = models.Constraint(
        "CHECK (COALESCE(opening_float, 0) >= 0)", "The float is zero or more."
    )

    @api.model
    def _last_left(self):
        """What the cashier left in the drawer last time is the next float."""
        last = self.search(
            [("user_id", "=", self.env.uid), ("company_id", "=", self.env.company.id)], limit=1
        )
        return last.left_in_drawer if last.state in ("closed", "confirmed") else 0

    @api.depends("opening_float")
    def _compute_totals(self):
        totals = {
            shift: values
            for shift, *values in self.env["prepay.shift.total"]._read_group(
                [("shift_id", "in", self.ids)],
                ["shift_id"],
                ["sales:sum", "refunds:sum", "reversals:sum", "net:sum", "count:sum"],
            )
        }
        cash = dict(
            self.env["prepay.shift.total"]._read_group(
                [("shift_id", "in", self.ids), ("method", "=", "cash")], ["shift_id"], ["net:sum"]
            )
        )
        for shift in self:
            shift.sales, shift.refunds, shift.reversals, shift.net, shift.count = totals.get(
                shift._origin, (0, 0, 0, 0, 0)
            )
            shift.expected_cash = (shift.opening_float or 0) + cash.get(shift._origin, 0)

    @api.depends("count_ids.quantity")
    def _compute_counted_cash(self):
        for shift in self:
            if any(shift.count_ids.mapped("quantity")):
                shift.counted_cash = sum(shift.count_ids.mapped("amount"))

    @api.depends("counted_cash")
    def _compute_handed_in(self):
        for shift in self:
            shift.handed_in = max((shift.counted_cash or 0) - (shift.opening_float or 0), 0)

    @api.depends("counted_cash", "handed_in")
    def _compute_left_in_drawer(self):
        for shift in self:
            shift.left_in_drawer = (shift.counted_cash or 0) - (shift.handed_in or 0)

    @api.depends("counted_cash", "state")
    def _compute_difference(self):
        """Nothing moves any more in a shift that is counted: the difference stays what it was."""
        for shift in self:
            counted = shift.state != "open"
            difference = shift.counted_cash - shift.expected_cash if counted else 0
            shift.difference = shift.currency_id.round(difference) if counted else 0

    @api.constrains("counted_cash", "handed_in")
    def _check_handed_in(self):
        for shift in self:
            if shift.counted_cash < 0 or not 0 <= shift.handed_in <= shift.counted_cash:
                raise ValidationError(
                    self.env._(
                        "Shift %(shift)s: %(handed)s CNY cannot be handed in, %(counted)s CNY was "
                        "counted. Enter at most that amount.",
                        shift=shift.number,
                        handed=f"{shift.handed_in:.2f}",
                        counted=f"{shift.counted_cash:.2f}",
                    )
                )

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            if not self.env.su:
                if not self.env.user.has_group("prepay_billing.group_cashier"):
                    raise AccessError(self.env._("Only cashiers open shifts."))
                vals.update(user_id=self.env.uid, state="open", opened_at=fields.Datetime.now())
        shifts = super().create(vals_list)
        for shift in shifts.sudo():
            shift.number = f"BC{shift.id:06d}"
        return shifts

    def write(self, vals):
        allowed = {
            "open": {"opening_float", "note"},
            "counting": {
                "count_ids", "counted_cash", "handed_in", "difference_reason", "note",
            },
        }  # fmt: skip
        for shift in self if not self.env.su else ():
            if not allowed.get(shift.state, set()).issuperset(vals):
                raise UserError(
                    self.env._(
                        "Shift %(shift)s is in state “%(state)s”: this cannot be changed any more.",
                        shift=shift.number,
                        state=shift._state_name(),
                    )
                )
        if "opening_float" in vals and not self.env.su:
            for shift in self.filtered("total_ids"):
                raise UserError(
                    self.env._(
                        "Shift %s has sales already; its float stays as it is.", shift.number
                    )
                )
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_never(self):
        raise UserError(self.env._("Shifts are kept. Hand in an empty one with zero."))

    # screens

    @api.model
    def action_my_shift(self):
        """The shift of this person that is not handed in yet, or the form that opens one."""
        shift = self.search(
            [
                ("user_id", "=", self.env.uid),
                ("company_id", "=", self.env.company.id),
                ("state", "in", ("open", "counting")),
            ],
            limit=1,
        )
        action = self.env["ir.actions.act_window"]._for_xml_id("prepay_billing.prepay_shift_action")
        action.update(views=[(False, "form")], view_mode="form", res_id=shift.id, context={})
        if not shift:
            action["views"] = [
                (self.env.ref("prepay_billing.prepay_shift_view_form_open").id, "form")
            ]
            action["name"] = self.env._("Open Shift")
        return action

    def action_open_shift(self):
        """The form is saved, so the shift is open: show it."""
        return self.action_my_shift()

    def action_count(self):
        """Close the drawer for sales and enter what is in it."""
        for shift in self:
            shift._check_mine()
            shift._check_state("open")
            shift.sudo().write({"state": "counting", "counted_at": fields.Datetime.now()})
            if not shift.count_ids:
                shift.sudo().count_ids = [
                    (0, 0, {"denomination": value}) for value in DENOMINATIONS
                ]

    def action_resume(self):
        """Go on selling; what was counted is entered anew."""
        for shift in self:
            shift._check_mine()
            shift._check_state("counting")
            shift.sudo().count_ids.quantity = 0
            shift.sudo().write(
                {
                    "state": "open",
                    "counted_at": False,
                    "counted_cash": 0,
                    "handed_in": 0,
                    "difference_reason": False,
                }
            )

    def action_hand_in(self):
        """Hand in the cash; from now on nothing of the shift changes.

        :raises UserError: a difference without a reason
        """
        for shift in self:
            shift._check_mine()
            shift._check_state("counting")
            shift.invalidate_recordset()
            shift.sudo()._compute_difference()
            if not shift.currency_id.is_zero(shift.difference) and not shift.difference_reason:
                raise UserError(
                    self.env._(
                        "Shift %(shift)s: %(expected)s CNY are expected, %(counted)s CNY were counted. "
                        "Count again, or enter the reason of the difference of %(difference)s CNY.",
                        shift=shift.number,
                        expected=f"{shift.expected_cash:.2f}",
                        counted=f"{shift.counted_cash:.2f}",
                        difference=f"{shift.difference:+.2f}",
                    )
                )
            shift.sudo().write({"state": "closed", "closed_at": fields.Datetime.now()})

    def action_confirm(self):
        """The accountant has the money. Above the limit the cashier does not confirm it himself."""
        for shift in self:
            if not (self.env.su or self.env.user.has_group("prepay_billing.group_accountant")):
                raise AccessError(
                    self.env._("Only facility accountants confirm that cash was handed in.")
                )
            shift.check_access("write")
            shift._check_state("closed")
            limit = shift.company_id.prepay_four_eyes_limit
            if shift.user_id == self.env.user and shift.handed_in > limit:
                raise UserError(
                    self.env._(
                        "Shift %s is yours. Somebody else confirms that the cash was received.",
                        shift.number,
                    )
                )
            shift.sudo().write(
                {
                    "state": "confirmed",
                    "confirmed_at": fields.Datetime.now(),
                    "confirmed_by_id": self.env.uid,
                }
            )

    def action_open_flows(self):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_billing.prepay_cash_flow_action"
        )
        action["domain"] = [("shift_id", "=", self.id)]
        action["context"] = {}
        return action

    def action_print_report(self):
        return self.env.ref("prepay_billing.action_report_shift").report_action(self)

    def action_export(self):
        """The daily report as a workbook."""
        self.check_access("read")
        name = self.number if len(self) == 1 else self.env._("shifts")
        return self.env["prepay.download"]._offer(f"{name}.xlsx", shift_workbook(self))

    # business

    @api.model
    def _take(self, company, user, required=True):
        """The open shift of a person, held shared until the transaction ends: it stays open.

        :param bool required: False where the company's demand for a shift does not count
        :return: the shift (sudo), or none where the company works without
        :raises UserError: the company demands a shift and there is none
        :raises psycopg2.errors.SerializationFailure: the shift was closed meanwhile; the server
            repeats the request
        """
        company, user = company.sudo(), user.sudo()
        shifts = self.sudo()
        shifts.flush_model(["user_id", "company_id", "state"])
        self.env.cr.execute(
            "SELECT id FROM prepay_shift WHERE user_id = %s AND company_id = %s AND state = 'open' "
            "FOR SHARE",
            [user.id, company.id],
        )
        row = self.env.cr.fetchone()
        if row:
            return shifts.browse(row[0])
        counting = shifts.search(
            [("user_id", "=", user.id), ("company_id", "=", company.id), ("state", "=", "counting")]
        )
        mine = user == self.env.user
        if company.prepay_auto_shift and mine and required and not counting:
            return shifts.create({"user_id": user.id, "company_id": company.id})
        if not required or not company.prepay_require_shift:
            if counting and required:
                raise UserError(
                    self.env._(
                        "Shift %s is being counted. Hand it in, or go on selling in it.",
                        counting.number,
                    )
                )
            return shifts.browse()
        raise UserError(
            self.env._("Shift %s is being counted. Hand it in first.", counting.number)
            if counting
            else self.env._("You have no open shift. Open it first: Counter, My Shift.")
            if mine
            else self.env._("%s has no open shift; the money is paid out of a shift.", user.name)
        )

    def _hold_open(self):
        """Keep these shifts open until the transaction ends.

        :raises UserError: one of them is counted or handed in
        """
        self.flush_recordset(["state"])
        self.env.cr.execute(
            "SELECT id FROM prepay_shift WHERE id = ANY(%s) AND state = 'open' FOR SHARE",
            [list(self.ids)],
        )
        still = {row[0] for row in self.env.cr.fetchall()}
        for shift in self.filtered(lambda item: item.id not in still):
            raise UserError(
                self.env._(
                    "The money of shift %s is counted or handed in. Enter a refund instead.",
                    shift.number,
                )
            )

    def _check_mine(self):
        self.ensure_one()
        self.check_access("write")
        if self.user_id != self.env.user and not (
            self.env.su or self.env.user.has_group("prepay_billing.group_accountant")
        ):
            raise AccessError(self.env._("Shift %s belongs to somebody else.", self.number))

    def _check_state(self, state):
        self.ensure_one()
        if self.state != state:
            raise UserError(
                self.env._(
                    "Shift %(shift)s is in state “%(state)s”: this step is not possible.",
                    shift=self.number,
                    state=self._state_name(),
                )
            )

    def _state_name(self):
        return dict(self._fields["state"]._description_selection(self.env))[self.state]

    def _capitals(self):
        """The amount handed in, in words, where the currency is CNY."""
        self.ensure_one()
        if self.currency_id.name != "CNY":
            return ""
        return rmb_capitals(Decimal(f"{self.handed_in:.2f}"))
