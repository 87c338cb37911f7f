from decimal import Decimal
from fractions import Fraction

from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError

from odoo.addons.prepay_meter.channels import BILLED, BY_CODE

from ..engine.allocation import allocate
from ..engine.errors import LedgerError
from ..engine.ledger import GRANTED, PRINCIPAL, split_charge
from ..engine.rounding import exact_amount, to_fen


class PrepaySharedCost(models.Model):
    """Shared cost (公摊): use of a public meter, a loss or an amount, shared by the rooms of a place.

    The parts sum to the amount exactly; fen left over go to the largest remainders. Another user
    approves before anything is posted.
    """

    _name = "prepay.shared.cost"
    _description = "Shared Cost"
    _inherit = "prepay.wallet.document"
    _check_company_auto = True
    _number_prefix = "GT"

    location_id = fields.Many2one(
        "prepay.location", string="Shared By", required=True, index=True, check_company=True
    )
    company_id = fields.Many2one(related="location_id.company_id", store=True, index=True)
    medium = fields.Selection(
        [("electricity", "Electricity"), ("water", "Water")], required=True, default="electricity"
    )
    date_from = fields.Date(string="From", required=True)
    date_to = fields.Date(string="Until", required=True, help="Last day.")
    source = fields.Selection(
        [
            ("meter", "Public Meter"),
            ("loss", "Loss: Main Meter − Meters Below"),
            ("amount", "Amount"),
        ],
        required=True,
        default="meter",
    )
    meter_id = fields.Many2one(
        "prepay.meter", check_company=True, domain="[('medium', '=', medium)]"
    )
    sub_meter_ids = fields.Many2many(
        "prepay.meter",
        string="Meters Below",
        check_company=True,
        domain="[('medium', '=', medium), ('id', '!=', meter_id)]",
    )
    quantity_base = fields.Integer(string="Quantity (Wh or L)", readonly=True, copy=False)
    quantity = fields.Float(
        string="Quantity (kWh or m³)", compute="_compute_quantity", digits=(16, 3)
    )
    tariff_id = fields.Many2one(
        "prepay.tariff", check_company=True, domain="[('medium', '=', medium)]"
    )
    price = fields.Float(
        compute="_compute_price",
        store=True,
        readonly=False,
        digits="Prepaid Price",
        help="CNY per kWh or m³.",
    )
    amount = fields.Monetary()
    rule = fields.Selection(
        [
            ("equal", "Equally by Room"),
            ("area", "By Area"),
            ("people", "By Persons"),
            ("use", "By Use"),
        ],
        string="Shared",
        required=True,
        default="equal",
    )
    line_ids = fields.One2many("prepay.shared.cost.line", "document_id", string="Parts", copy=False)

    _dates = models.Constraint("CHECK (date_to >= date_from)", "The last day is before the first.")
    _amount_range = models.Constraint("CHECK (amount >= 0)", "A cost is zero or more.")

    @api.depends("quantity_base")
    def _compute_quantity(self):
        for document in self:
            document.quantity = document.quantity_base / 1000

    @api.depends("tariff_id")
    def _compute_price(self):
        for document in self:
            document.price = document.tariff_id.current_price or document.price

    @api.constrains("source", "meter_id", "sub_meter_ids")
    def _check_source(self):
        for document in self:
            if document.source != "amount" and not document.meter_id:
                raise ValidationError(self.env._("%s: choose the meter.", document.number))
            if document.source == "loss" and not document.sub_meter_ids:
                raise ValidationError(self.env._("%s: choose the meters below.", document.number))

    def _terms(self):
        return super()._terms() | {
            "location_id", "medium", "date_from", "date_to", "source", "meter_id", "sub_meter_ids",
            "quantity_base", "tariff_id", "price", "amount", "rule", "line_ids",
        }  # fmt: skip

    def action_calculate(self):
        """Work out quantity, amount and parts; nothing is posted."""
        for document in self:
            document._check_accountant()
            document._calculate()

    def _calculate(self):
        self.ensure_one()
        if self.source != "amount":
            self.quantity_base = self._measured()
            price = Decimal(f"{self.price:.6f}")
            self.amount = float(to_fen(exact_amount(price, self.quantity_base, 1000)))
        weights = self._weights()
        try:
            parts = allocate(self._exact_amount(), [weight for _account, weight in weights])
        except LedgerError:
            raise UserError(
                self.env._(
                    "%(document)s: no room of %(place)s has a share by this rule. Enter the areas, the persons "
                    "or the readings, or choose another rule.",
                    document=self.number,
                    place=self.location_id.display_name,
                )
            ) from None
        self.line_ids = [
            (5, 0, 0),
            *(
                (0, 0, {"account_id": account.id, "weight": float(weight), "amount": float(part)})
                for (account, weight), part in zip(weights, parts)
                if weight
            ),
        ]

    def _exact_amount(self):
        return Decimal(f"{self.amount:.2f}")

    def _measured(self):
        """Use of the public meter, or what the main meter counted beyond those below, Wh or L."""
        used = self._use_of(self.meter_id | self.sub_meter_ids)
        quantity = used.get(self.meter_id.id, 0)
        if self.source == "loss":
            quantity -= sum(used.get(meter.id, 0) for meter in self.sub_meter_ids)
        if quantity < 0:
            raise UserError(
                self.env._(
                    "%(document)s: the meters below counted more than main meter %(meter)s. Check the meters "
                    "and the period.",
                    document=self.number,
                    meter=self.meter_id.number,
                )
            )
        return quantity

    def _use_of(self, meters):
        """Use of meters in the period, Wh or L, by meter id; days are those of the site."""
        self.env.cr.execute(
            "SELECT meter_id, SUM(consumption)::bigint FROM prepay_reading_daily_data "
            "WHERE meter_id = ANY(%s) AND channel = %s AND day BETWEEN %s AND %s GROUP BY meter_id",
            [meters.ids, BY_CODE[BILLED[self.medium]].number, self.date_from, self.date_to],
        )
        return dict(self.env.cr.fetchall())

    def _accounts(self):
        return self.env["prepay.account"]._open_in(self.location_id, self.company_id, self.medium)

    def _weights(self):
        """[(account, weight)]: accounts of one room share the weight of the room equally."""
        accounts = self._accounts()
        rooms = {room: len(members) for room, members in accounts.grouped("location_id").items()}
        meters = accounts.supply_ids.filtered(lambda item: item.medium == self.medium).meter_id
        used = self._use_of(meters) if self.rule == "use" else {}
        weights = []
        for account in accounts:
            if self.rule == "use":
                own = account.supply_ids.filtered(lambda item: not item.end_at).meter_id
                weight = Fraction(sum(used.get(meter.id, 0) for meter in own))
            elif self.rule == "people":
                weight = Fraction(account._heads())
            else:
                whole = (
                    Decimal(f"{account.location_id.area:.2f}")
                    if self.rule == "area"
                    else Decimal(1)
                )
                weight = Fraction(whole) / rooms[account.location_id]
            weights.append((account, weight))
        return weights

    def _needs_approval(self):
        return True

    def _moved(self):
        return self._exact_amount()

    def _check_ready(self):
        total = sum((line._exact_amount() for line in self.line_ids), Decimal(0))
        if not self.line_ids or total != self._exact_amount():
            raise UserError(
                self.env._("%s: the parts are out of date. Calculate again.", self.number)
            )
        if self.meter_id:
            other = self.sudo().search(
                [
                    ("id", "!=", self.id),
                    ("state", "=", "done"),
                    ("meter_id", "=", self.meter_id.id),
                    ("source", "=", self.source),
                    ("date_from", "<=", self.date_to),
                    ("date_to", ">=", self.date_from),
                ],
                limit=1,
            )
            if other:
                raise UserError(
                    self.env._(
                        "%(document)s: %(other)s has already shared meter %(meter)s in this period. Choose "
                        "other days.",
                        document=self.number,
                        other=other.number,
                        meter=self.meter_id.number,
                    )
                )

    def _post_entries(self):
        """Charges: granted money first, consumption always posts (M-08)."""
        lines = self.line_ids.filtered(lambda line: line._exact_amount())
        money = lines.account_id._money()
        postings = []
        for line in lines:
            shares = split_charge(line._exact_amount(), money[line.account_id.id][1])
            postings += [
                {
                    "account": line.account_id,
                    "kind": "charge",
                    "bucket": bucket,
                    "amount": -part,
                    "key": f"shared:{line.id}:{bucket}",
                    "reason": self.company_id._prepay_env()._(
                        "Shared cost %(number)s, %(first)s – %(last)s: %(reason)s",
                        number=self.number,
                        first=self.date_from,
                        last=self.date_to,
                        reason=self.reason,
                    ),
                    "document": self,
                }
                for bucket, part in zip((GRANTED, PRINCIPAL), shares)
                if part
            ]
        return self.env["prepay.ledger.entry"]._post(postings)

    def _check_reversible(self):
        entries = self._entries()
        closed = entries.account_id.filtered(lambda account: account.state != "open")
        if closed or entries.move_id:
            raise UserError(
                self.env._(
                    "%s cannot be reversed: an account was closed or the general ledger has it. Enter "
                    "adjustments.",
                    self.number,
                )
            )

    def _touched_accounts(self):
        return self.line_ids.account_id
