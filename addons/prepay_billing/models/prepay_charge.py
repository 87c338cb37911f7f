from decimal import Decimal

from odoo import api, fields, models

from odoo.addons.prepay_meter.big_integer import BigInteger

from ..engine.ledger import GRANTED, PRINCIPAL, split_charge
from ..engine.rounding import settle


class PrepayCharge(models.Model):
    """Usage of one meter on one local day at one price: quantity, price, amount.

    While open it grows with each reading (accrual); posted it is history. ``exact_amount`` is not
    rounded; ``amount`` is what was posted, in fen, with the residue carried on in the assignment.
    """

    _name = "prepay.charge"
    _description = "Charge"
    _order = "day desc, id desc"
    _rec_name = "day"

    supply_id = fields.Many2one(
        "prepay.account.meter",
        string="Meter Assignment",
        required=True,
        index=True,
        ondelete="restrict",
        readonly=True,
    )
    account_id = fields.Many2one(
        "prepay.account", required=True, index=True, ondelete="restrict", readonly=True
    )
    meter_id = fields.Many2one(
        "prepay.meter", required=True, index=True, ondelete="restrict", readonly=True
    )
    company_id = fields.Many2one("res.company", required=True, index=True, readonly=True)
    currency_id = fields.Many2one(related="company_id.currency_id")
    medium = fields.Selection(
        [("electricity", "Electricity"), ("water", "Water")], required=True, readonly=True
    )
    day = fields.Date(required=True, readonly=True, help="Local day of the site.")
    version_id = fields.Many2one(
        "prepay.tariff.version",
        string="Price Version",
        required=True,
        ondelete="restrict",
        readonly=True,
    )
    rate = fields.Selection([("flat", "Flat")], required=True, readonly=True)
    tier = fields.Integer(required=True, readonly=True, default=1, aggregator=None)
    start_at = fields.Datetime(string="From", required=True, readonly=True)
    end_at = fields.Datetime(string="Until", required=True, readonly=True)
    quantity_base = BigInteger(string="Quantity (Wh or L)", required=True, readonly=True)
    quantity = fields.Float(
        string="Quantity (kWh or m³)",
        compute="_compute_quantity",
        digits=(16, 3),
        store=True,
        readonly=True,
    )
    price = fields.Float(required=True, readonly=True, digits="Prepaid Price", aggregator="avg")
    exact_amount = fields.Float(
        required=True, readonly=True, digits=False, help="Not rounded, CNY."
    )
    amount = fields.Monetary(readonly=True, help="Posted amount.")
    state = fields.Selection(
        [("open", "Accruing"), ("posted", "Posted")],
        required=True,
        default="open",
        readonly=True,
        index=True,
    )
    entry_ids = fields.Many2many(
        "prepay.ledger.entry", "prepay_charge_entry_rel", "charge_id", "entry_id", readonly=True
    )

    _open_unique = models.UniqueIndex(
        "(supply_id, day, version_id, rate, tier) WHERE state = 'open'",
        "One open charge for each day, price and tier.",
    )

    def init(self):
        # Rows grow by SQL: the database keeps the readable quantity in step.
        self.env.cr.execute("""
            CREATE OR REPLACE FUNCTION prepay_charge_quantity() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                NEW.quantity := NEW.quantity_base / 1000.0;
                RETURN NEW;
            END $$;
            CREATE OR REPLACE TRIGGER prepay_charge_quantity BEFORE INSERT OR UPDATE ON prepay_charge
                FOR EACH ROW EXECUTE FUNCTION prepay_charge_quantity();
        """)

    def _compute_quantity(self):
        for charge in self:
            charge.quantity = charge.quantity_base / 1000

    @api.model
    def _post_due(self, everything=False):
        """Post the open charges whose local day is over, or all where the company wants it with each run.

        One wallet entry for each assignment and bucket: amounts are rounded to the fen and the rest is
        carried on, so that the sum of what was posted is the rounded exact total (M-11).

        :param everything: post all open charges, for closings
        :return: the assignments posted
        """
        self.env.flush_all()
        self.env.cr.execute(
            """
            SELECT c.supply_id, array_agg(c.id ORDER BY c.id), array_agg(c.exact_amount::text ORDER BY c.id)
              FROM prepay_charge c
              JOIN prepay_account a ON a.id = c.account_id
              JOIN prepay_location l ON l.id = a.location_id
              JOIN res_company o ON o.id = c.company_id
             WHERE c.state = 'open'
               AND (%s OR o.prepay_posting = 'run' OR c.day < (now() AT TIME ZONE l.tz)::date)
             GROUP BY c.supply_id ORDER BY c.supply_id
            """,
            [everything],
        )
        rows = self.env.cr.fetchall()
        supplies = self.env["prepay.account.meter"].browse([row[0] for row in rows])
        residues = supplies._residues()
        for supply, (_id, charge_ids, exacts) in zip(supplies, rows):
            self._post_supply(supply, charge_ids, exacts, residues[supply.id])
        self.invalidate_model()
        supplies.invalidate_recordset()
        self.env["prepay.account"].invalidate_model(["balance", "granted", "accrued", "available"])
        return supplies

    def _post_supply(self, supply, charge_ids, exacts, residue):
        charges, total = self.browse(charge_ids), Decimal(0)
        for charge, exact in zip(charges, exacts):
            amount, residue = settle(Decimal(exact), residue)
            total += amount
            self.env.cr.execute(
                "UPDATE prepay_charge SET state = 'posted', amount = %s WHERE id = %s AND state = 'open'",
                [amount, charge.id],
            )
        self.env.cr.execute(
            "UPDATE prepay_account_meter SET residue = %s WHERE id = %s", [residue, supply.id]
        )
        if not total:
            return
        granted = supply.account_id._money()[supply.account_id.id][1]
        from_granted, from_own = split_charge(total, granted)
        days = sorted(charge.day for charge in charges)
        unit = "m³" if supply.medium == "water" else "kWh"
        reason = supply.company_id._prepay_env()._(
            "%(meter)s, %(days)s: %(quantity)s",
            meter=supply.meter_id.number,
            days=str(days[0]) if days[0] == days[-1] else f"{days[0]} – {days[-1]}",
            quantity=f"{sum(charges.mapped('quantity_base')) / 1000:.2f} {unit}",
        )
        entries = self.env["prepay.ledger.entry"]._post(
            [
                {
                    "account": supply.account_id,
                    "kind": "charge",
                    "bucket": bucket,
                    "amount": -amount,
                    "key": f"charge:{charge_ids[0]}:{bucket}",
                    "reason": reason,
                    "document": charges[0],
                }
                for bucket, amount in ((GRANTED, from_granted), (PRINCIPAL, from_own))
                if amount
            ]
        )
        self.env.cr.execute(
            "INSERT INTO prepay_charge_entry_rel (charge_id, entry_id) "
            "SELECT c, e FROM unnest(%s::int[]) c, unnest(%s::int[]) e ON CONFLICT DO NOTHING",
            [charge_ids, entries.ids],
        )
