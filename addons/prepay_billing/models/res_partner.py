from odoo import fields, models


class ResPartner(models.Model):
    _inherit = "res.partner"

    prepay_protected = fields.Boolean(
        string="Guaranteed Supply",
        tracking=True,
        help="保电: no account of this person is cut automatically, for instance for medical reasons.",
    )
    prepay_protected_reason = fields.Char(string="Reason of the Guarantee", tracking=True)
