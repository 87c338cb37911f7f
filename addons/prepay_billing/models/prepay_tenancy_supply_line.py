from odoo import api, fields, models
from odoo.exceptions import UserError

from .prepay_tenancy_line import FRESH


class PrepayTenancySupplyLine(models.AbstractModel):
    """The reading at which a meter leaves its account, on a document that ends the assignment."""

    _name = "prepay.tenancy.supply.line"
    _description = "Final Reading of a Meter of an Account"
    _inherit = ["prepay.tenancy.line"]
    _order = "id"

    supply_id = fields.Many2one(
        "prepay.account.meter",
        string="Assignment",
        required=True,
        readonly=True,
        ondelete="restrict",
    )
    rated_at = fields.Datetime(related="supply_id.rated_at", string="Charged Until")
    meter_id = fields.Many2one(readonly=True)

    def _document(self):
        """The document of the line."""
        raise NotImplementedError

    @api.model
    def _of(self, supplies):
        """Values of the lines of assignments, with the newest readings of their meters."""
        return [
            {
                "supply_id": supply.id,
                "meter_id": supply.meter_id.id,
                **self._newest(supply.meter_id),
            }
            for supply in supplies
        ]

    def write(self, vals):
        if not {"register", "read_at", "source", "photo", "reading_reason"}.isdisjoint(vals):
            self._document()._check_draft(or_waiting=True)
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_except_draft(self):
        for document in self._document().filtered(lambda item: item.state in ("done", "undone")):
            raise UserError(self.env._("%s is confirmed and cannot change.", document.number))

    def _take_newer(self):
        """Take over newer readings where use is charged beyond the ones that are shown.

        :return: a text for the user when any reading changed, else None
        """
        changed = []
        now = fields.Datetime.now()
        for line in self.filtered(lambda item: item.source == "meter"):
            supply = line.supply_id
            late = supply.rated_at and line.read_at and supply.rated_at > line.read_at
            stale = line.read_at and now - line.read_at > FRESH
            before = line.read_at
            if late or stale or not before:
                line._take_reading()
            if line.read_at != before:
                changed.append(line.meter_id.number)
        if not changed:
            return None
        return self.env._(
            "Newer readings of %s were taken over. Check the settlement and confirm again.",
            ", ".join(changed),
        )
