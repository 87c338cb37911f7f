from odoo import models


class PrepayMeter(models.Model):
    """Changes of the device that a tenant's account goes on through."""

    _inherit = "prepay.meter"  # pylint: disable=consider-merging-classes-inherited

    def action_replace(self):
        return self._new_document("prepay_billing.prepay_meter_replacement_action")

    def _new_document(self, xml_id):
        """The draft of this meter when there is one, else a new document for it."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(xml_id)
        draft = self.env[action["res_model"]].search(
            [("meter_id", "=", self.id), ("state", "=", "draft")], limit=1
        )
        return {
            **action,
            "views": [(False, "form")],
            "view_mode": "form",
            "res_id": draft.id,
            "context": {"default_meter_id": self.id},
        }
