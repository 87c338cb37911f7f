from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError

REASONS = [
    ("unknown_order", "Unknown order"),
    ("other_merchant", "Other merchant"),
    ("double_payment", "Double payment"),
    ("currency", "Currency differs"),
    ("amount", "Amount differs"),
    ("account_closed", "Account closed"),
    ("refund", "Paid back by the channel"),
    ("failed", "Could not be credited"),
]


class PrepaySuspense(models.Model):
    """Money that arrived and could not be credited to an order (挂账): a work list.

    A case is closed by crediting an account or by noting that the money went back; both need a
    reason and stay in the chatter. While a case that names an account is open, that account is not
    cut.
    """

    _name = "prepay.suspense"
    _description = "Suspense Case"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    _order = "id desc"

    inbox_id = fields.Many2one(
        "prepay.payment.inbox", string="Message", required=True, readonly=True, ondelete="restrict"
    )
    company_id = fields.Many2one(related="inbox_id.company_id", store=True, index=True)
    provider = fields.Char(related="inbox_id.provider", string="Channel")
    transaction_id = fields.Char(
        related="inbox_id.transaction_id", store=True, string="Transaction"
    )
    order_reference = fields.Char(related="inbox_id.order_reference", store=True, string="Order")
    amount = fields.Monetary(related="inbox_id.amount", store=True)
    currency = fields.Char(related="inbox_id.currency", string="Currency Code")
    currency_id = fields.Many2one(related="inbox_id.currency_id")
    received_at = fields.Datetime(related="inbox_id.received_at", store=True, string="Received On")
    reason = fields.Selection(REASONS, required=True, readonly=True, index=True)
    detail = fields.Char(readonly=True)
    order_id = fields.Many2one(
        "prepay.topup",
        string="Order Named",
        readonly=True,
        index="btree_not_null",
        ondelete="restrict",
    )
    account_id = fields.Many2one(
        "prepay.account",
        string="Account Named",
        readonly=True,
        index="btree_not_null",
        ondelete="restrict",
    )
    state = fields.Selection(
        [("open", "Open"), ("credited", "Credited"), ("returned", "Returned")],
        required=True,
        default="open",
        readonly=True,
        index=True,
        tracking=True,
    )
    topup_id = fields.Many2one(
        "prepay.topup", string="Top-up", readonly=True, index="btree_not_null", ondelete="restrict"
    )
    resolution = fields.Char(readonly=True, tracking=True)
    resolved_by_id = fields.Many2one("res.users", readonly=True)
    resolved_at = fields.Datetime(string="Resolved On", readonly=True)

    _inbox_unique = models.Constraint("UNIQUE (inbox_id)", "This message has a case already.")

    @api.depends("reason", "amount", "currency")
    def _compute_display_name(self):
        labels = dict(self._fields["reason"]._description_selection(self.env))
        for case in self:
            case.display_name = f"{labels.get(case.reason)} · {case.amount:.2f} {case.currency}"

    def write(self, vals):
        """Only the resolution changes a case: the chatter and activities are free."""
        if not self.env.su and any(
            name in vals
            for name, field in self._fields.items()
            if field._module == "prepay_payment"
        ):
            raise AccessError(self.env._("A case changes only by its resolution."))
        return super().write(vals)

    def action_credit(self):
        return self._resolve("credit")

    def action_return(self):
        return self._resolve("return")

    def _resolve(self, outcome):
        self.ensure_one()
        xml_id = "prepay_payment.prepay_suspense_wizard_action"
        action = self.env["ir.actions.act_window"]._for_xml_id(xml_id)
        account = self.account_id.filtered(lambda account: account.state == "open")
        action["context"] = {
            "default_suspense_id": self.id,
            "default_outcome": outcome,
            "default_account_id": account.id,
        }
        return action

    def _credit(self, account, resolution):
        """Credit the money of this case to an account; the caller has checked the user's right.

        :return: the credited top-up
        """
        self._check_open()
        if self.amount <= 0 or self.currency != account.currency_id.name:
            raise UserError(
                self.env._(
                    "%(case)s cannot be credited to an account in %(currency)s. Mark it as returned"
                    " once the channel has settled it.",
                    case=self.display_name,
                    currency=account.currency_id.name,
                )
            )
        if account.company_id != self.company_id or account.state != "open":
            raise UserError(
                self.env._(
                    "Account %(account)s is closed or of another company than %(company)s. Choose an"
                    " open account of that company.",
                    account=account.display_name,
                    company=self.company_id.name,
                )
            )
        message = self.sudo().inbox_id
        topup = message.env["prepay.topup"].create(
            {
                "account_id": account.id,
                "amount": self.amount,
                "method": "online",
                "cashier_id": False,
                "note": resolution,
            }
        )
        topup._credit_from(message)
        self._close("credited", resolution, topup)
        return topup.sudo(False)

    def _return(self, resolution):
        """Note that the money of this case went back to the payer."""
        self._check_open()
        self._close("returned", resolution)

    def _check_open(self):
        self.ensure_one()
        if self.state != "open":
            raise UserError(self.env._("%s is resolved already.", self.display_name))

    def _close(self, state, resolution, topup=None):
        self.sudo().write(
            {
                "state": state,
                "resolution": resolution,
                "topup_id": topup.id if topup else False,
                "resolved_by_id": self.env.uid,
                "resolved_at": fields.Datetime.now(),
            }
        )
