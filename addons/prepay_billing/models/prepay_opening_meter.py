from odoo import api, fields, models
from odoo.exceptions import UserError

from ..amounts import two_decimals

MONEY = ("carried", "preset", "alarm_1", "alarm_2")


class PrepayOpeningMeter(models.Model):
    """One meter of an opening: its register, price, limits, and money that comes with it."""

    _name = "prepay.opening.meter"
    _description = "Meter of an Opening"
    _inherit = "prepay.tenancy.line"
    _order = "opening_id, id"
    _check_company_auto = True

    opening_id = fields.Many2one(
        "prepay.opening", required=True, index=True, ondelete="cascade", readonly=True
    )
    state = fields.Selection(related="opening_id.state", string="State of the Opening")
    company_id = fields.Many2one(related="opening_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="company_id.currency_id")
    meter_id = fields.Many2one(check_company=True)
    tariff_id = fields.Many2one(
        "prepay.tariff",
        check_company=True,
        ondelete="restrict",
        domain="[('medium', '=', medium), ('company_id', '=', company_id)]",
    )
    rate_source = fields.Selection(
        [("clock", "Time of the reading"), ("meter", "Rate registers of the meter")],
        string="Rates By",
        default="clock",
        required=True,
    )
    carried = fields.Monetary(
        string="Carried In", help="老表金额转入: money that was left in the replaced meter."
    )
    preset = fields.Monetary(help="预置金额: money preset in the meter, taken off the account.")
    overload_w = fields.Integer(string="Overload Limit (W)", help="0: no limit.")
    alarm_1 = fields.Monetary(
        help="Shown by the meter itself, where it can; the policy has its own."
    )
    alarm_2 = fields.Monetary()
    can_alarm = fields.Boolean(compute="_compute_can")
    is_water = fields.Boolean(compute="_compute_can")
    supply_id = fields.Many2one(
        "prepay.account.meter",
        string="Assignment",
        readonly=True,
        copy=False,
        index=True,
        ondelete="restrict",
    )
    account_id = fields.Many2one(related="supply_id.account_id")

    _money_positive = models.Constraint(
        "CHECK (COALESCE(carried, 0) >= 0 AND COALESCE(preset, 0) >= 0 AND COALESCE(alarm_1, 0) >= 0 "
        "AND COALESCE(alarm_2, 0) >= 0)",
        "Money of a meter is zero or more. Enter it without a sign.",
    )
    _overload_positive = models.Constraint(
        "CHECK (COALESCE(overload_w, 0) BETWEEN 0 AND 1000000)",
        "An overload limit lies between 0 and 1,000,000 W.",
    )

    @api.depends("meter_id")
    def _compute_can(self):
        parameters = self.env["prepay.meter.parameter"]
        for line in self:
            profile = line.meter_id.profile_id.sudo()
            line.can_alarm = bool(profile) and all(
                parameters._capability(profile, kind) == "write" for kind in ("alarm_1", "alarm_2")
            )
            line.is_water = line.meter_id.medium == "water"

    @api.onchange("meter_id")
    def _onchange_meter_id(self):
        """A meter that is added by hand gets what is usual for it."""
        result = super()._onchange_meter_id()
        if self.meter_id:
            for name, value in self.env["prepay.opening"]._line_for(self.meter_id).items():
                if name not in ("meter_id", "register", "read_at", "source"):
                    self[name] = value
        return result

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            two_decimals(self, vals, MONEY)
        lines = super().create(vals_list)
        lines._check_open_terms()
        return lines

    def write(self, vals):
        two_decimals(self, vals, MONEY)
        if vals.keys() - {"supply_id"}:
            self._check_open_terms()
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_except_opened(self):
        self._check_open_terms()

    def _check_open_terms(self):
        """What was opened stays as it was opened."""
        for opening in self.opening_id.filtered(lambda item: item.state in ("done", "undone")):
            raise UserError(
                self.env._(
                    "%s has been opened and cannot change. Undo it and open again.", opening.number
                )
            )

    # checks of the opening

    def _meter_trouble(self, seen):
        """Why the meter cannot be opened, or nothing; ``seen`` collects the meters of the opening."""
        meter, opening = self.meter_id, self.opening_id
        if not meter:
            return self.env._("A line has no meter. Choose one or delete the line.")
        if meter.id in seen:
            return self.env._("Meter %s is there twice. Delete one line.", meter.number)
        seen.add(meter.id)
        account = meter.sudo().account_id
        if account:
            return self.env._(
                "Meter %(meter)s belongs to account %(account)s. Close that account first.",
                meter=meter.number,
                account=account.display_name,
            )
        if meter.location_id != opening.location_id:
            return self.env._(
                "Meter %(meter)s stands in %(place)s, not in this room. Delete the line.",
                meter=meter.number,
                place=meter.location_id.display_name,
            )
        present = opening.join_account_id
        if opening.layout == "join" and present.medium not in (False, meter.medium):
            return self.env._(
                "Meter %(meter)s does not fit account %(account)s, which is for one kind only. Open a "
                "new balance.",
                meter=meter.number,
                account=present.number,
            )
        return None

    def _tariff_trouble(self):
        """Why there is no price for the meter, or nothing."""
        number, tariff = self.meter_id.number, self.tariff_id
        if not tariff:
            return self.env._("Meter %s has no tariff. Choose one.", number)
        if tariff.medium != self.meter_id.medium:
            media = dict(self.meter_id._fields["medium"]._description_selection(self.env))
            return self.env._(
                "Meter %(meter)s: tariff %(tariff)s is for another kind. Choose one for %(medium)s.",
                meter=number,
                tariff=tariff.name,
                medium=media[self.meter_id.medium],
            )
        now = fields.Datetime.now()
        if not any(
            version.state == "approved" and version.valid_from <= now
            for version in tariff.sudo().version_ids
        ):
            return self.env._(
                "Meter %(meter)s: tariff %(tariff)s has no price for today. Add one.",
                meter=number,
                tariff=tariff.name,
            )
        return None

    def _reading_trouble(self):
        """Why the opening reading cannot be taken, or nothing."""
        try:
            self._check_register()
        except UserError as error:
            return str(error.args[0])
        return None

    def _supply_values(self):
        """The assignment of the meter: use counts from exactly this register and moment."""
        self.ensure_one()
        return {
            "meter_id": self.meter_id.id,
            "tariff_id": self.tariff_id.id,
            "start_at": self.read_at,
            "opening_register": self.register,
            "rated_at": self.read_at,
            "rated_value": self._register_base(),
            "rate_source": self.rate_source,
            "heads": self.opening_id.heads,
        }

    def _set_parameters(self):
        """Wish for the limits of each meter, as far as it knows them."""
        parameters = self.env["prepay.meter.parameter"]
        for line in self:
            meter = line.meter_id
            words = line.company_id._prepay_env()
            reason = words._("Opening %s", line.opening_id.number)
            if line.can_alarm:
                for kind in ("alarm_1", "alarm_2"):
                    fen = int(round(line[kind] * 100))
                    parameters._request(meter, kind, fen, reason=reason)
            if line.medium == "electricity" and (
                line.overload_w or line.overload_w != meter.overload_w
            ):
                parameters._request(meter, "overload", line.overload_w, reason=reason)
