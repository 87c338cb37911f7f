from odoo import fields, models
from odoo.exceptions import UserError, ValidationError


class PrepayTariffVersion(models.Model):
    """Who puts a price into force, and what may change when (R-07)."""

    _inherit = "prepay.tariff.version"  # pylint: disable=consider-merging-classes-inherited

    def action_submit(self):
        """Hand the price in: for approval, or where no second person is needed, into force."""
        for version in self:
            if version.state != "draft":
                raise UserError(
                    self.env._("%s is not a draft. Take it back to draft first.", version._label())
                )
            version.check_access("write")
            version._check_complete()
            if not version.needs_approval:
                version._approve()
                version._log(self.env._("%s was put into force."))
                continue
            version.sudo().write(
                {
                    "state": "waiting",
                    "submitted_by_id": self.env.uid,
                    "submitted_at": fields.Datetime.now(),
                }
            )
            version._log(self.env._("%s waits for the approval of a second person."))
        return True

    def action_approve(self):
        """Approve what another person submitted."""
        for version in self:
            version.check_access("write")
            version._refuse_unless_waiting()
            if version.needs_approval and version.submitted_by_id == self.env.user:
                raise UserError(
                    self.env._(
                        "%s was submitted by yourself. A second person must approve it; companies "
                        "with one person switch “Second Person for Prices” off in the settings.",
                        version._label(),
                    )
                )
            version._check_complete()
            version._approve()
            version._log(self.env._("%s was approved."))
        return True

    def action_refuse(self):
        """Send it back with the reason in the remark."""
        for version in self:
            version.check_access("write")
            version._refuse_unless_waiting()
            if not version.remark:
                raise UserError(
                    self.env._("%s: write the reason into the remark first.", version._label())
                )
            version.sudo().write(
                {
                    "state": "refused",
                    "decided_by_id": self.env.uid,
                    "decided_at": fields.Datetime.now(),
                }
            )
            version._log(self.env._("%s was refused."), version.remark)
        return True

    def action_draft(self):
        """Take a price back that is not in force yet, to change it."""
        for version in self:
            version.check_access("write")
            if version.state == "approved" and version.is_locked:
                version._refuse_used()
                if version.valid_from <= fields.Datetime.now():
                    raise UserError(
                        self.env._(
                            "%s is in force. Add a new price with a later start.", version._label()
                        )
                    )
            version.sudo().write(
                {
                    "state": "draft",
                    "submitted_by_id": False,
                    "submitted_at": False,
                    "decided_by_id": False,
                    "decided_at": False,
                }
            )
            version._log(self.env._("%s was taken back to draft."))
        return True

    def _log(self, text, remark=""):
        self.tariff_id.message_post(body=f"{text % self._label()} {remark}".strip())

    def _approve(self):
        self._check_complete()
        self.sudo().write(
            {
                "state": "approved",
                "decided_by_id": self.env.uid,
                "decided_at": fields.Datetime.now(),
            }
        )

    def _refuse_unless_waiting(self):
        if self.state != "waiting":
            raise UserError(
                self.env._("%s does not wait for approval. Submit it first.", self._label())
            )

    def _refuse_locked(self):
        """Nothing changes behind an approval, and history never."""
        self._refuse_used()
        locked = self.filtered("is_locked")[:1]
        if locked.state == "approved":
            raise UserError(
                self.env._(
                    "%s is approved and cannot change. Take it back to draft if it has not begun, "
                    "or add a new price with a later start.",
                    locked._label(),
                )
            )
        if locked:
            raise UserError(
                self.env._(
                    "%s was handed in and cannot change. Take it back to draft first.",
                    locked._label(),
                )
            )

    def _refuse_used(self):
        used = (
            self.env["prepay.charge"]
            .sudo()
            .search([("version_id", "in", self.ids)], limit=1)
            .version_id
        )
        if used:
            raise UserError(
                self.env._(
                    "The price of tariff %s has already been charged and cannot change. "
                    "Add a new price with a later start.",
                    used.tariff_id.name,
                )
            )

    def _check_future(self):
        """A new price of a tariff in use starts later: it never reaches back over usage."""
        now = fields.Datetime.now()
        for version in self:
            if version.valid_from <= now:
                raise ValidationError(
                    self.env._(
                        "%(price)s: the start is in the past, and usage of this tariff is already "
                        "charged. Let the new price start later than %(now)s.",
                        price=version._label(),
                        now=version._local(now),
                    )
                )
