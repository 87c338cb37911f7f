from contextlib import contextmanager

from odoo import api, fields, models
from odoo.exceptions import UserError

from odoo.addons.prepay_meter.channels import BILLED

#: What says how far an assignment is rated; moved on by an end, restored when that is undone.
CURSOR = ("rated_at", "rated_value", "tier_period", "tier_used", "fees_until", "rate_source")


class PrepayAccountMeter(models.Model):
    """A tenant leaves a meter at a final reading, and another tenant or meter follows."""

    _inherit = "prepay.account.meter"  # pylint: disable=consider-merging-classes-inherited

    def _end_with(self, lines):
        """End these assignments at their final readings: rate up to them and post everything.

        :param lines: ``prepay.tenancy.line`` records, one for each assignment in the same order
        :return: what :meth:`_resume` needs to take it back, by id as text (JSON)
        :raises UserError: a reading lies before what is charged already, is held, or cannot be rated
        """
        self._lock_for_end()
        kept = {}
        for supply, line in zip(self, lines):
            supply._check_end(line)
        for supply, line in zip(self, lines):
            # Directly: the cache of the account needs no recompute of its constraints.
            supply.end_at = line.read_at
        self.flush_recordset()
        self._rate_and_post()
        typed = self.browse()
        for supply, line in zip(self, lines):
            kept[str(supply.id)] = supply._kept(line)
            if line.source == "manual":
                typed += supply
        if typed:
            lines._store_readings()
            typed._rate_new_readings()
        # A typed register says nothing of the meter's rates: for that span the clock says them.
        late = self.filtered(
            lambda item: (
                item.rate_source == "meter" and item.rated_at and item.rated_at < item.end_at
            )
        )
        if late:
            late.rate_source = "clock"
            late.flush_recordset()
            late._rate_new_readings()
        charges = self.env["prepay.charge"].search(
            [("supply_id", "in", typed.ids), ("state", "=", "open")]
        )
        for charge in charges:
            kept[str(charge.supply_id.id)]["charges"].append(charge.id)
        self._rate_and_post(rate=False)
        for supply, line in zip(self, lines):
            supply._check_ended(line)
        return kept

    def _kept(self, line):
        """The cursor before a typed reading, for JSON."""
        self.ensure_one()
        return {
            "manual": line.source == "manual",
            "charges": [],
            **{
                name: fields.Datetime.to_string(self[name])
                if self._fields[name].type == "datetime"
                else self[name]
                for name in CURSOR
            },
        }

    def _lock_for_end(self):
        """Wait for a charge run and for another document; who has an old view begins anew."""
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT id FROM prepay_account_meter WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
            [self.ids],
        )
        self.invalidate_recordset()

    def _check_end(self, line):
        self.ensure_one()
        values = {"meter": self.meter_id.number}
        if self.end_at:
            raise UserError(
                self.env._(
                    "Meter %(meter)s has left its account already. Reload the page.", **values
                )
            )
        if line.read_at < (self.rated_at or self.start_at):
            raise UserError(
                self.env._(
                    "Meter %(meter)s is charged until %(until)s already; the final reading is of %(at)s. "
                    "Take a newer reading.",
                    until=line._local(self.rated_at or self.start_at),
                    at=line._local(line.read_at),
                    **values,
                )
            )
        held = self.env["prepay.reading.hold"].sudo().search(
            [("meter_id", "=", self.meter_id.id), ("state", "=", "held")], limit=1
        )  # fmt: skip
        if held:
            raise UserError(
                self.env._(
                    "Meter %(meter)s has a held reading of %(at)s. Resolve it first: its use could not "
                    "be charged.",
                    at=line._local(held.last_at),
                    **values,
                )
            )

    def _rate_and_post(self, rate=True):
        if rate:
            self._rate_new_readings()
        self.env["prepay.charge"]._post_due(everything=True, supplies=self)
        self.invalidate_recordset()

    def _check_ended(self, line):
        """All is rated and posted, or nothing happens."""
        self.ensure_one()
        values = {"meter": self.meter_id.number}
        if self.problem:
            raise UserError(
                self.env._(
                    "Meter %(meter)s: its use cannot be charged. %(problem)s",
                    problem=self.problem,
                    **values,
                )
            )
        missing = self.env["prepay.charge"].search_count(
            [("supply_id", "=", self.id), ("state", "=", "open")], limit=1
        )
        value = line._register_base()
        if (
            missing
            or (self.rated_at and (self.rated_at, self.rated_value) != (self.end_at, value))
            or (not self.rated_at and self.start_at != self.end_at)
        ):
            raise UserError(
                self.env._(
                    "Meter %(meter)s: the use up to %(at)s could not be charged. Take a newer reading, or "
                    "enter it by hand.",
                    at=line._local(line.read_at),
                    **values,
                )
            )

    def _succeed(self, line, **vals):
        """Values of an assignment that goes on from a reading where another one ended or none was.

        :raises UserError: the use of that time was charged to somebody already
        """
        return self._begin_at(line.meter_id, line, **vals)

    @api.model
    def _begin_at(self, meter, line, **vals):
        over = self.sudo().search(
            [("meter_id", "=", meter.id), ("end_at", ">", line.read_at)], limit=1
        )
        if over:
            raise UserError(
                self.env._(
                    "Meter %(meter)s was charged to account %(account)s until %(until)s. Take a newer "
                    "reading.",
                    meter=meter.number,
                    account=over.account_id.display_name,
                    until=line._local(over.end_at),
                )
            )
        return {
            "meter_id": meter.id,
            "start_at": line.read_at,
            "opening_register": line.register,
            "rated_at": line.read_at,
            "rated_value": line._register_base(),
            **vals,
        }

    def _is_untouched(self):
        """Nothing was rated or charged since these assignments began."""
        self.env.flush_all()
        self.invalidate_recordset()
        return not any(
            item.end_at or (item.rated_at and item.rated_at != item.start_at) for item in self
        ) and not self.env["prepay.charge"].sudo().search_count(
            [("supply_id", "in", self.ids)], limit=1
        )

    def _resume(self, kept):
        """Take ends back: the assignments go on from the final reading, or without a typed one.

        What the meter itself counted stays charged, it is true use. What a person typed is taken back:
        its charges by their exact opposite, its register by a new baseline, when no reading of the meter
        has confirmed it since.

        :param kept: see :meth:`_end_with`
        """
        self._lock_for_end()
        for supply in self:
            self._check_free(supply.meter_id)
            before = kept[str(supply.id)]
            ended_at = supply.end_at
            vals = {"end_at": False, "rate_source": before["rate_source"]}
            if before["manual"] and not supply._confirmed_since(ended_at):
                vals |= supply._take_back(before, ended_at)
            supply.write(vals)
            supply.flush_recordset()
        self.env["prepay.charge"]._post_due(everything=True, supplies=self)
        self.invalidate_recordset()

    @api.model
    def _check_free(self, meters):
        taken = self.sudo().search(
            [("meter_id", "in", meters.ids), ("end_at", "=", False)], limit=1
        )
        if taken:
            raise UserError(
                self.env._(
                    "Meter %(meter)s belongs to account %(account)s. Close that account first, or choose "
                    "another meter.",
                    meter=taken.meter_id.number,
                    account=taken.account_id.display_name,
                )
            )

    def _confirmed_since(self, moment):
        """A later reading of the meter fits to the typed one."""
        self.ensure_one()
        return bool(
            self.env["prepay.reading"]
            .sudo()
            .search_count(
                [
                    ("meter_id", "=", self.meter_id.id),
                    ("channel", "=", BILLED[self.medium]),
                    ("read_at", ">", moment),
                ],
                limit=1,
            )
        )

    def _take_back(self, before, ended_at):
        """Undo what a typed final reading has led to.

        :return: values of the cursor: in time behind the typed reading, in value before it
        """
        self.ensure_one()
        value = before["rated_value"] if before["rated_at"] else self.rated_value
        at = fields.Datetime.add(ended_at, seconds=1)
        if value != self.rated_value:
            self.env["prepay.reading.baseline"].sudo().create(
                {
                    "meter_id": self.meter_id.id,
                    "channel": BILLED[self.medium],
                    "at": at,
                    "old_end": self.rated_value,
                    "new_start": value,
                    "reason": self.env._("A final reading that was typed was taken back."),
                }
            )
        else:
            at = ended_at
        self._reverse_charges(before["charges"])
        return {
            "rated_at": at,
            "rated_value": value,
            "tier_period": before["tier_period"],
            "tier_used": before["tier_used"],
        }

    def _reverse_charges(self, charge_ids):
        """Open charges that are the exact opposite of posted ones; they are posted like any other."""
        self.env.cr.execute(
            """
            INSERT INTO prepay_charge (supply_id, account_id, meter_id, company_id, medium, day, version_id,
                                       kind, rate, tier, provisional, settles_id, start_at, end_at,
                                       quantity_base, quantity, price, exact_amount, state)
            SELECT supply_id, account_id, meter_id, company_id, medium, day, version_id, kind, rate, tier,
                   provisional, id, start_at, end_at, -quantity_base, -quantity, price, -exact_amount, 'open'
              FROM prepay_charge WHERE id = ANY(%s)
            """,
            [list(charge_ids)],
        )
        self.env["prepay.charge"].invalidate_model()

    @contextmanager
    def _rehearsal(self):
        """All that happens inside is undone at the end, in the database and in the cache.

        A savepoint that keeps the cache: forms whose values are not saved live there.
        """
        self.env.flush_all()
        models_ = [
            self.env[name]
            for name in (
                "prepay.account.meter",
                "prepay.charge",
                "prepay.ledger.entry",
                "prepay.account",
                "prepay.meter.state",
                "prepay.meter",
            )
        ]
        savepoint = self.env.cr.savepoint(flush=False)
        try:
            yield
        finally:
            try:
                for model in models_:
                    model.flush_model()
            finally:
                savepoint.close(rollback=True)
                for model in models_:
                    model.invalidate_model(flush=False)
