from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import SQL

from odoo.addons.prepay_meter.big_integer import BigInteger
from odoo.addons.prepay_meter.channels import BILLED, BY_CODE

from ..engine.errors import RatingError
from ..engine.rating import Interval, rate, usage
from .prepay_account import _aware


class PrepayAccountMeter(models.Model):
    """A meter on an account from an opening to a closing reading, and how far it is rated.

    ``rated_at`` and ``rated_value`` are the end of the last usage interval: intervals tile the time
    line because each begins where the last one ended, in the same statement that books it.
    """

    _name = "prepay.account.meter"
    _description = "Meter of an Account"
    _order = "account_id, id"
    _rec_name = "meter_id"
    _check_company_auto = True

    account_id = fields.Many2one("prepay.account", required=True, index=True, ondelete="cascade")
    company_id = fields.Many2one(related="account_id.company_id", store=True, index=True)
    meter_id = fields.Many2one(
        "prepay.meter", required=True, index=True, ondelete="restrict", check_company=True
    )
    medium = fields.Selection(related="meter_id.medium")
    tariff_id = fields.Many2one(
        "prepay.tariff", required=True, ondelete="restrict", index=True, check_company=True
    )
    start_at = fields.Datetime(string="Since", required=True, default=fields.Datetime.now)
    end_at = fields.Datetime(string="Until", readonly=True)
    opening_register = fields.Float(
        string="Opening Reading",
        digits=(16, 2),
        help="kWh or m³ at the start. Left at 0: the next reading opens.",
    )
    rated_at = fields.Datetime(string="Rated Until", readonly=True, copy=False)
    rated_value = BigInteger(string="Rated Register (Wh or L)", readonly=True, copy=False)
    residue = fields.Float(
        digits=False,
        readonly=True,
        copy=False,
        help="Fraction of a fen carried to the next posting.",
    )
    problem = fields.Char(
        readonly=True, copy=False, help="Why usage cannot be rated; nothing is charged meanwhile."
    )

    _meter_unique = models.UniqueIndex(
        "(meter_id) WHERE end_at IS NULL", "This meter already belongs to an open account."
    )

    @api.constrains("meter_id", "tariff_id")
    def _check_medium(self):
        for item in self:
            if item.tariff_id.medium != item.meter_id.medium:
                raise ValidationError(
                    self.env._(
                        "Meter %(meter)s and tariff %(tariff)s are not of the same kind. "
                        "Choose a tariff for %(medium)s.",
                        meter=item.meter_id.number,
                        tariff=item.tariff_id.name,
                        medium=dict(
                            item.meter_id._fields["medium"]._description_selection(self.env)
                        )[item.meter_id.medium],
                    )
                )

    @api.model_create_multi
    def create(self, vals_list):
        items = super().create(vals_list)
        for item in items.filtered(lambda item: item.opening_register and not item.rated_at):
            item.write(
                {
                    "rated_at": item.start_at,
                    "rated_value": int(Decimal(f"{item.opening_register:.3f}") * 1000),
                }
            )
        return items

    def _residues(self):
        """Exact carried fractions by id, CNY as Decimal."""
        self.env.cr.execute(
            "SELECT id, COALESCE(residue, 0)::text FROM prepay_account_meter WHERE id = ANY(%s)",
            [self.ids],
        )
        return {supply_id: Decimal(residue) for supply_id, residue in self.env.cr.fetchall()}

    @api.model
    def _rate_new_readings(self, limit=20000):
        """Turn new readings into open charges, exactly once.

        A batch is read, rated by the engine and written back by set-based statements in this
        transaction. A reading that cannot be rated is named in ``problem``; nothing is charged for it.

        :return: the assignments whose usage moved on
        """
        self.env.flush_all()
        by_supply = {}
        for row in self._fetch_new_readings(limit):
            by_supply.setdefault(row[0], []).append(row)
        supplies = self.browse(by_supply)
        versions = supplies.tariff_id._engine_versions()
        lines, cursors = [], []
        for supply in supplies:
            self._rate_one(
                supply, by_supply[supply.id], versions[supply.tariff_id.id], lines, cursors
            )
        self._write_lines(lines)
        self._write_cursors(cursors)
        self.invalidate_model()
        self.env["prepay.charge"].invalidate_model()
        self.env["prepay.account"].invalidate_model(["accrued", "available", "balance_at"])
        return supplies

    def _fetch_new_readings(self, limit):
        self.env.cr.execute(
            SQL(
                """
                SELECT s.id, r.read_at, r.value, r.next_value
                  FROM prepay_account_meter s
                  JOIN prepay_meter m ON m.id = s.meter_id
                  JOIN LATERAL (
                       SELECT d.read_at, d.value, d.next_value
                         FROM prepay_reading_stream(
                              s.meter_id, CASE m.medium WHEN 'water' THEN %s ELSE %s END,
                              COALESCE(s.rated_at, s.start_at - interval '1 microsecond'),
                              COALESCE(s.end_at, 'infinity')) d
                        ORDER BY d.read_at LIMIT 2000
                  ) r ON true
                 ORDER BY s.id, r.read_at LIMIT %s
                """,
                BY_CODE[BILLED["water"]].number,
                BY_CODE[BILLED["electricity"]].number,
                limit,
            )
        )
        return self.env.cr.fetchall()

    @api.model
    def _rate_one(self, supply, rows, versions, lines, cursors):
        """Rate the readings of one assignment; append charge lines and its new cursor.

        Where a register began anew, the rows hold its end and, as the next value, its new start.
        """
        zone = supply.account_id.location_id._zone()
        modulus = supply.meter_id.profile_id.modulus or None
        at, value, problem = supply.rated_at or None, supply.rated_value, None
        for _id, read_at, read_value, next_value in rows:
            if at is None:
                at, value = read_at, next_value
                continue
            try:
                quantity = usage(value, read_value, modulus)
                rated = rate(Interval(_aware(at), _aware(read_at), quantity), versions, zone)
            except RatingError as error:
                problem = f"{read_at}: {error.detail}"
                break
            lines.extend((supply, line) for line in rated.lines)
            at, value = read_at, next_value
        cursors.append((supply.id, at, value, problem))

    @api.model
    def _write_lines(self, lines):
        """Add rated lines to the open charges of their day; lines of one charge are summed first."""
        sums = {}
        for supply, line in lines:
            key = (supply.id, line.day, line.version_id, line.rate, line.tier)
            start, end, quantity, _price, amount = sums.get(
                key, (line.start, line.end, 0, line.price, Decimal(0))
            )
            sums[key] = (
                min(start, line.start),
                max(end, line.end),
                quantity + line.quantity,
                line.price,
                amount + line.amount,
            )
        if not sums:
            return
        values = [
            SQL(
                "(%s, %s, %s, %s, %s, %s::timestamp, %s::timestamp, %s, %s::numeric, %s::numeric)",
                *key,
                start.replace(tzinfo=None),
                end.replace(tzinfo=None),
                quantity,
                price,
                amount,
            )
            for key, (start, end, quantity, price, amount) in sums.items()
        ]
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO prepay_charge (supply_id, account_id, meter_id, company_id, medium, day,
                                           version_id, rate, tier, start_at, end_at, quantity_base, price,
                                           exact_amount, state,
                                           create_uid, write_uid, create_date, write_date)
                SELECT s.id, s.account_id, s.meter_id, s.company_id, m.medium, v.day::date,
                       v.version_id, v.rate, v.tier, v.start_at, v.end_at, v.quantity, v.price, v.amount,
                       'open', %(uid)s, %(uid)s, %(now)s, %(now)s
                  FROM (VALUES %(values)s)
                       AS v(supply_id, day, version_id, rate, tier, start_at, end_at, quantity, price, amount)
                  JOIN prepay_account_meter s ON s.id = v.supply_id
                  JOIN prepay_meter m ON m.id = s.meter_id
                ON CONFLICT (supply_id, day, version_id, rate, tier) WHERE state = 'open'
                DO UPDATE SET end_at = GREATEST(prepay_charge.end_at, EXCLUDED.end_at),
                              quantity_base = prepay_charge.quantity_base + EXCLUDED.quantity_base,
                              exact_amount = prepay_charge.exact_amount + EXCLUDED.exact_amount,
                              write_date = EXCLUDED.write_date
                """,
                uid=self.env.uid,
                now=fields.Datetime.now(),
                values=SQL(", ").join(values),
            )
        )

    @api.model
    def _write_cursors(self, cursors):
        if not cursors:
            return
        self.env.cr.execute(
            SQL(
                """
                UPDATE prepay_account_meter s SET rated_at = v.at, rated_value = v.value, problem = v.problem
                  FROM (VALUES %s) AS v(id, at, value, problem) WHERE s.id = v.id
                """,
                SQL(", ").join(
                    SQL(
                        "(%s, %s::timestamp, %s::bigint, %s::varchar)",
                        supply_id,
                        at,
                        value,
                        problem,
                    )
                    for supply_id, at, value, problem in cursors
                ),
            )
        )
