from odoo import api, fields, models
from odoo.exceptions import ValidationError


class ResCompany(models.Model):
    """How many may be cut at once before a person is asked (S-09)."""

    _inherit = "res.company"  # pylint: disable=consider-merging-classes-inherited

    prepay_blast_percent = fields.Integer(
        string="Cuts at Once (% of a Site)",
        default=3,
        help="Within ten minutes. More wait until a person approves them.",
    )
    prepay_blast_count = fields.Integer(
        string="Cuts at Once (Meters)",
        default=20,
        help="Within ten minutes. More wait until a person approves them.",
    )
    prepay_blast_user_id = fields.Many2one(
        "res.users",
        string="Asked Before Mass Cuts",
        help="Gets the activity. Empty: an administrator.",
    )

    @api.constrains("prepay_blast_percent", "prepay_blast_count")
    def _check_blast(self):
        for company in self:
            if not 0 <= company.prepay_blast_percent <= 100 or company.prepay_blast_count < 0:
                raise ValidationError(
                    self.env._(
                        "%s: enter 0 to 100 percent and no negative number of meters.", company.name
                    )
                )
