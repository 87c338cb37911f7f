from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError

from ..big_integer import BigInteger

#: Most that a purchase frame carries: eight decimal digits of fen.
MAX_AMOUNT = 99_999_999


class PrepayMeterCredit(models.Model):
    """One purchase that is put into a meter which keeps its credit itself: amount and number.

    Written by the ERP with state *queued*; from then on only the collector changes it, by SQL, as
    ``credit.py`` decides: queued → sent (committed before the device is written) → confirmed, when the
    purchase count of the meter shows the number. What cannot be decided stops, and a person resolves
    it. Rows are never deleted, numbers have no gap, and at most one purchase of a meter is in doubt.
    """

    _name = "prepay.meter.credit"
    _description = "Credit in a Meter"
    _order = "meter_id, series desc, number desc, id desc"
    _rec_name = "number"

    meter_id = fields.Many2one(
        "prepay.meter", required=True, index=True, ondelete="restrict", readonly=True
    )
    gateway_id = fields.Many2one(related="meter_id.gateway_id")
    location_id = fields.Many2one(related="meter_id.location_id", store=True, index=True)
    company_id = fields.Many2one(related="meter_id.company_id", store=True, index=True)
    series = fields.Integer(required=True, default=1, readonly=True, aggregator=None)
    number = fields.Integer(string="Purchase Number", required=True, readonly=True, aggregator=None)
    amount_fen = BigInteger(string="Amount (fen)", required=True, readonly=True, aggregator=None)
    amount = fields.Float(string="Amount (CNY)", compute="_compute_amount", digits=(16, 2))
    origin = fields.Selection(
        [
            ("sale", "Top-up"),
            ("exchange", "Moved from the exchanged device"),
            ("foreign", "Sold elsewhere"),
        ],
        required=True,
        default="sale",
        readonly=True,
    )
    reference = fields.Char(readonly=True, help="The top-up that paid for it.")
    state = fields.Selection(
        [
            ("queued", "Queued"),
            ("sent", "Sent, not confirmed"),
            ("confirmed", "Confirmed"),
            ("stopped", "Stopped: needs a person"),
            ("void", "Void"),
        ],
        required=True,
        default="queued",
        readonly=True,
        index=True,
    )
    stop_reason = fields.Selection(
        [
            ("ahead", "The meter counted purchases that are not ours"),
            ("behind", "The meter counted fewer purchases than were confirmed"),
            ("hoarding", "More credit than the meter may hold"),
            ("in_doubt", "Not known whether the meter took it"),
            ("refused", "Refused by the meter"),
            ("unreadable", "The credit in the meter cannot be read"),
        ],
        readonly=True,
    )
    before_count = fields.Integer(string="Purchase Count Before", readonly=True, aggregator=None)
    before_fen = BigInteger(string="Credit Before (fen)", readonly=True, aggregator=None)
    after_count = fields.Integer(string="Purchase Count After", readonly=True, aggregator=None)
    after_fen = BigInteger(string="Credit After (fen)", readonly=True, aggregator=None)
    attempts = fields.Integer(readonly=True, default=0)
    requested_at = fields.Datetime(required=True, default=fields.Datetime.now, readonly=True)
    not_before = fields.Datetime(string="Next Try", readonly=True)
    sent_at = fields.Datetime(string="First Sent", readonly=True)
    confirmed_at = fields.Datetime(readonly=True)
    detail = fields.Char(string="Last Result", readonly=True)
    resolution = fields.Selection(
        [
            ("credited", "The meter has it"),
            ("again", "Send again with the same number"),
            ("renumber", "Send behind the purchases sold elsewhere"),
            ("void", "Not credited, will not be sent"),
        ],
        readonly=True,
    )
    resolution_note = fields.Char(readonly=True)
    resolved_by_id = fields.Many2one("res.users", readonly=True)
    resolved_at = fields.Datetime(readonly=True)

    _number_unique = models.UniqueIndex(
        "(meter_id, series, number) WHERE state <> 'void'",
        "A meter has each purchase number once.",
    )
    _exchange_unique = models.UniqueIndex(
        "(meter_id, series) WHERE origin = 'exchange'",
        "The credit of an exchanged device is moved once.",
    )
    _doubt_unique = models.UniqueIndex(
        "(meter_id) WHERE state = 'sent'", "One purchase of a meter may be in doubt."
    )
    _amount_range = models.Constraint(
        "CHECK (amount_fen BETWEEN 1 AND 99999999 OR (origin = 'foreign' AND amount_fen = 0))",
        "A purchase has an amount from 0.01 to 999,999.99.",
    )
    _open_idx = models.Index("(meter_id, number) WHERE state IN ('queued', 'sent', 'stopped')")

    @api.depends("amount_fen")
    def _compute_amount(self):
        for credit in self:
            credit.amount = credit.amount_fen / 100

    @api.depends("meter_id", "number")
    def _compute_display_name(self):
        for credit in self:
            credit.display_name = f"{credit.meter_id.number} #{credit.number}"

    @api.ondelete(at_uninstall=False)
    def _unlink_never(self):
        raise UserError(
            self.env._("Purchases in a meter are never deleted. Resolve purchase %s instead.",
                       ", ".join(self.mapped("display_name")))
        )  # fmt: skip

    def action_resolve(self):
        """Open the dialogue that resolves a stopped purchase."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_meter.prepay_meter_credit_wizard_action"
        )
        action["context"] = {"default_credit_id": self.id}
        return action

    @api.model
    def _request(self, meter, amount_fen, reference="", origin="sale"):
        """State the wish that ``amount_fen`` be put into the meter as its next purchase.

        :return: the purchase, *queued*
        :raises UserError: the meter type takes no credit, its counter was never read, a purchase waits
            for a person, or more than the hoarding limit would be held (C-04)
        """
        meter.ensure_one()
        meter = meter.sudo()
        self._lock(meter)
        self._check_amount(meter, amount_fen)
        last = self._last(meter)
        if last:
            number = last.number + 1
        else:
            number = self._begin(meter) + 1
        credit = self.sudo().create(
            {
                "meter_id": meter.id,
                "series": meter.credit_series,
                "number": number,
                "amount_fen": amount_fen,
                "reference": reference,
                "origin": origin,
            }
        )
        credit._notify()
        return credit

    @api.model
    def _check_amount(self, meter, amount_fen):
        """The rules before a purchase; callers ask before money is taken.

        :raises UserError: see :meth:`_request`
        """
        if not 1 <= amount_fen <= MAX_AMOUNT:
            raise ValidationError(
                self.env._(
                    "Meter %(meter)s: an amount of %(amount)s fen cannot be bought. "
                    "Enter 0.01 to 999,999.99.",
                    meter=meter.number,
                    amount=amount_fen,
                )
            )
        control = meter.profile_id.control_ids.filtered(lambda line: line.action == "credit")
        if not control or not control.writable:
            raise UserError(
                self.env._(
                    "Meter %(meter)s: profile %(profile)s takes no credit. Release its control “Credit” when it "
                    "was proven on a meter of this type, or keep the credit on the platform.",
                    meter=meter.number,
                    profile=meter.profile_id.name,
                )
            )
        open_rows = self.sudo().search(
            [
                ("meter_id", "=", meter.id),
                ("series", "=", meter.credit_series),
                ("state", "in", ("queued", "sent", "stopped")),
            ]
        )
        stopped = open_rows.filtered(lambda row: row.state == "stopped")
        if stopped:
            raise UserError(
                self.env._(
                    "Purchase %s waits for a person. Resolve it before the next one.",
                    stopped[0].display_name,
                )
            )
        if meter.hoarding_limit_fen:
            held = meter.remaining_fen - meter.overdraft_fen + sum(open_rows.mapped("amount_fen"))
            if held + amount_fen > meter.hoarding_limit_fen:
                raise UserError(
                    self.env._(
                        "Meter %(meter)s holds %(held)s, and at most %(limit)s may be held. Buy less, or later.",
                        meter=meter.number,
                        held=f"{held / 100:.2f}",
                        limit=f"{meter.hoarding_limit_fen / 100:.2f}",
                    )
                )

    @api.model
    def _lock(self, meter):
        """Let a second sale for the same meter wait and then see the first one's number."""
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE prepay_meter SET credit_series = credit_series WHERE id = %s", [meter.id]
        )

    @api.model
    def _last(self, meter):
        return self.sudo().search(
            [
                ("meter_id", "=", meter.id),
                ("series", "=", meter.credit_series),
                ("state", "!=", "void"),
            ],
            order="number desc",
            limit=1,
        )

    @api.model
    def _begin(self, meter):
        """Purchase count at which the series begins: what the meter reported."""
        if "purchase_count" not in meter.profile_id.point_ids.mapped("channel"):
            return meter.credit_base
        self.env.cr.execute(
            "SELECT purchase_count FROM prepay_meter_state WHERE id = %s", [meter.state_id.id]
        )
        count = self.env.cr.fetchone()[0]
        if meter.credit_series > 1:
            return meter.credit_base
        if count is None:
            raise UserError(
                self.env._(
                    "The purchase count of meter %s was never read. Press “Read Now” first.",
                    meter.number,
                )
            )
        meter.credit_base = count
        return count

    def _resolve(self, resolution, note, count=None, remaining_fen=None):
        """A person decided about a stopped purchase, having seen ``count`` and ``remaining_fen`` at the meter.

        :param str resolution: a key of :attr:`resolution`
        :param int count: purchase count that the person read; needed to number anew
        """
        self.ensure_one()
        if not self.env.user.has_group("prepay_meter.group_admin"):
            raise UserError(self.env._("Only administrators may resolve credit in a meter."))
        self.check_access("read")
        credit = self.sudo()
        self._lock(credit.meter_id)
        credit.invalidate_recordset()
        if credit.state != "stopped":
            raise UserError(
                self.env._("Purchase %s is not stopped any more. Reload the page.", credit.display_name)
            )  # fmt: skip
        vals = {
            "resolution": resolution,
            "resolution_note": note,
            "resolved_by_id": self.env.uid,
            "resolved_at": fields.Datetime.now(),
            "after_count": count or 0,
            "after_fen": remaining_fen or 0,
            "not_before": False,
        }
        if resolution == "credited":
            vals |= {"state": "confirmed", "confirmed_at": fields.Datetime.now()}
        elif resolution == "again":
            # In doubt only when it was ever sent: then the counter decides, as after a crash.
            vals |= {
                "state": "sent" if credit.attempts and credit._has_counter() else "queued",
                "attempts": 0,
                "stop_reason": False,
            }
        elif resolution == "void":
            vals["state"] = "void"
        credit_number, series = credit.number, credit.series
        if resolution == "renumber":
            credit._renumber(count)
            vals |= {"state": "queued", "attempts": 0, "stop_reason": False}
        credit.write(vals)
        if resolution == "void":
            credit._close_gap(series, credit_number)
        credit._clear_event()
        credit._notify()

    def _has_counter(self):
        return "purchase_count" in self.meter_id.profile_id.point_ids.mapped("channel")

    def _later(self, series, number):
        """Purchases of the same meter that were never sent, newest first."""
        return self.search(
            [
                ("meter_id", "=", self.meter_id.id),
                ("series", "=", series),
                ("number", ">", number),
                ("state", "=", "queued"),
            ],
            order="number desc",
        )

    def _close_gap(self, series, number):
        """The number of a void purchase is free again: those behind it move up."""
        for row in self._later(series, number).sorted("number"):
            row.number -= 1
            row.flush_recordset()

    def _renumber(self, count):
        """The meter took purchases up to ``count`` that are not ours: they fill the numbers, ours follow."""
        if count is None or count < self.number:
            raise UserError(
                self.env._(
                    "The meter's purchase count must be %(number)s or more to send purchase %(number)s behind "
                    "others; you entered %(count)s.",
                    number=self.number,
                    count=count or 0,
                )
            )
        shift = count - self.number + 1
        first = self.number
        for row in self._later(self.series, self.number):
            row.number += shift
            row.flush_recordset()
        self.number += shift
        self.flush_recordset()
        self.create(
            [
                {
                    "meter_id": self.meter_id.id,
                    "series": self.series,
                    "number": number,
                    "amount_fen": 0,
                    "origin": "foreign",
                    "state": "confirmed",
                    "confirmed_at": fields.Datetime.now(),
                }
                for number in range(first, first + shift)
            ]
        )

    def _clear_event(self):
        self.env["prepay.meter.event"].sudo().search(
            [
                ("meter_id", "in", self.meter_id.ids),
                ("kind", "=", "credit_stopped"),
                ("cleared_at", "=", False),
            ]
        ).cleared_at = fields.Datetime.now()

    @api.model
    def _exchange(self, meter, counter, carried_fen, reference="", onto=None):
        """The device was exchanged (C-07): close the series, begin one at the new device's ``counter``.

        Credit that was left in the old device moves once, as the first purchase of the new one;
        purchases that were never sent follow it.

        :param int carried_fen: credit read from the old device, 0 when there was none
        :param onto: the meter that stands for the new device, when it has a record of its own
        :raises UserError: a purchase is in doubt or stopped: it must be settled on the old device
        """
        meter.ensure_one()
        meter = meter.sudo()
        new = onto.sudo() if onto else meter
        for item in (meter | new).sorted("id"):
            self._lock(item)
        rows = self.sudo().search(
            [("meter_id", "=", meter.id), ("series", "=", meter.credit_series)], order="number"
        )
        unsettled = rows.filtered(lambda row: row.state in ("sent", "stopped"))
        if onto:
            unsettled |= self.sudo().search(
                [
                    ("meter_id", "=", new.id),
                    ("state", "in", ("queued", "sent", "stopped")),
                ]
            )
        if unsettled:
            raise UserError(
                self.env._(
                    "Purchase %s is not settled. Resolve it before the device is exchanged.",
                    unsettled[0].display_name,
                )
            )
        waiting = rows.filtered(lambda row: row.state == "queued")
        waiting.write({"state": "void", "detail": self.env._("Moved to the new device.")})
        new.write(
            {
                "credit_series": new.credit_series + 1,
                "credit_base": counter,
                "credit_locked": True,
            }
        )
        wanted = [(carried_fen, "exchange", reference)] if carried_fen > 0 else []
        wanted += [(row.amount_fen, row.origin, row.reference) for row in waiting]
        created = self.sudo().create(
            [
                {
                    "meter_id": new.id,
                    "series": new.credit_series,
                    "number": counter + place,
                    "amount_fen": amount,
                    "origin": origin if origin != "exchange" or place == 1 else "sale",
                    "reference": text,
                }
                for place, (amount, origin, text) in enumerate(wanted, 1)
            ]
        )
        created._notify()
        return created

    def _notify(self):
        gateways = self.meter_id.gateway_id
        if gateways:
            self.env.flush_all()
            self.env.cr.execute(
                "SELECT pg_notify('prepay_setting', %s)", [",".join(map(str, gateways.ids))]
            )
