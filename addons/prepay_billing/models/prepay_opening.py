from odoo import api, fields, models
from odoo.exceptions import UserError

from ..amounts import two_decimals

MONEY = ("amount", "water_amount", "received", "overdraft_limit")


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
    note = fields.Char()
    print_receipt = fields.Boolean(string="Print the Receipt", default=True)
    account_id = fields.Many2one(
        "prepay.account", readonly=True, copy=False, index=True, ondelete="restrict"
    )
    account_ids = fields.Many2many(
        "prepay.account", string="Accounts", compute="_compute_account_ids"
    )
    topup_ids = fields.One2many(
        "prepay.topup",
        "opening_id",
        readonly=True,
        string="Top-ups",
        groups="prepay_billing.group_cashier,prepay_billing.group_accountant,"
        "prepay_meter.group_auditor,prepay_meter.group_admin",
    )
    opened_at = fields.Datetime(string="Opened On", readonly=True, copy=False, index=True)
    opened_by_id = fields.Many2one("res.users", readonly=True, copy=False)
    batch_id = fields.Many2one(
        "prepay.opening.batch", readonly=True, copy=False, index="btree_not_null"
    )
    problem = fields.Char(
        readonly=True, copy=False, help="Why it could not be opened at the last attempt."
    )
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

    # buttons

    def action_show_account(self):
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": "prepay.account",
            "res_id": self.account_id.id,
            "views": [(False, "form")],
        }
