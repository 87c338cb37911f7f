from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..report.receipt_page import PAPERS, plan
from .prepay_receipt_layout_field import NARROW_ONLY, SHOWN, WIDE_ONLY, WIDTH

ROOMY = ("half", "full", "a4_1", "a4_2", "a5", "slip_80", "slip_58")


class PrepayReceiptLayout(models.Model):
    """How receipts look on one kind of paper: which fields, in which order, with which texts."""

    _name = "prepay.receipt.layout"
    _description = "Receipt Layout"
    _order = "sequence, id"

    name = fields.Char(required=True, translate=True)
    sequence = fields.Integer(default=10)
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(
        "res.company", index=True, help="Empty: for all companies that have none of their own."
    )
    user_ids = fields.Many2many(
        "res.users",
        string="Default For",
        help="They print with this layout. The first layout without a person is the default of the others.",
    )
    paper = fields.Selection(
        [
            ("third", "Continuous 241 × 93.1 mm (a third)"),
            ("half", "Continuous 241 × 139.7 mm (half)"),
            ("full", "Continuous 241 × 279.4 mm"),
            ("a4_1", "A4, one on a page"),
            ("a4_2", "A4, two on a page"),
            ("a4_3", "A4, three on a page"),
            ("a5", "A5 landscape"),
            ("slip_80", "Slip 80 mm"),
            ("slip_58", "Slip 58 mm"),
        ],
        required=True,
        default="third",
    )
    for_topup = fields.Boolean(string="Sales", default=True)
    for_opening = fields.Boolean(string="Openings", default=True)
    for_refund = fields.Boolean(string="Refunds", default=True)
    for_reversal = fields.Boolean(string="Reversals", default=True)
    for_closing = fields.Boolean(string="Closings", default=True)
    copy_ids = fields.One2many("prepay.receipt.layout.copy", "layout_id", copy=True)
    carbon = fields.Boolean(
        string="Carbon Copies",
        default=True,
        help="The paper makes the copies: one page, their names in its margin. Otherwise a page for each.",
    )
    show_logo = fields.Boolean(string="Logo", default=True)
    show_company = fields.Boolean(string="Company on Top", default=True)
    show_signatures = fields.Boolean(string="Signatures", default=True)
    hide_empty = fields.Boolean(
        string="Leave Out Empty Fields", default=True, help="A form with fixed places keeps them."
    )
    title = fields.Char(translate=True, help="Empty: by the kind of document.")
    header = fields.Char(translate=True, help="A line below the title.")
    footer = fields.Char(translate=True, help="A line at the end.")
    notice = fields.Char(
        translate=True, help="Empty: that the paper confirms a prepayment and is no invoice."
    )
    service_phone = fields.Char()
    sale_address = fields.Char(string="Point of Sale", translate=True)
    company_name = fields.Char(help="Empty: as the company has it. So with address, phone and tax.")
    company_address = fields.Char()
    company_phone = fields.Char()
    company_vat = fields.Char(string="Company Tax ID")
    font_size = fields.Float(string="Font Size (pt)", default=9, digits=(4, 1), required=True)
    field_ids = fields.One2many("prepay.receipt.layout.field", "layout_id", copy=True)
    write_stamp = fields.Char(compute="_compute_write_stamp")

    _font_size_range = models.Constraint(
        "CHECK (font_size >= 6 AND font_size <= 14)", "A font size is 6 to 14 points."
    )

    @api.constrains("paper", "font_size", "field_ids")
    def _check_fits(self):
        for layout in self.filtered(lambda item: PAPERS[item.paper].box):
            cells = [line._cell() for line in layout.field_ids if line.shown]
            if not plan(layout.paper, layout.font_size, cells)["fits"]:
                papers = dict(layout._fields["paper"]._description_selection(self.env))
                raise ValidationError(
                    self.env._(
                        "Layout %(layout)s: %(count)s fields do not fit on %(paper)s. Switch some off, "
                        "make them narrower, or choose a smaller font.",
                        layout=layout.name,
                        count=len(cells),
                        paper=papers[layout.paper],
                    )
                )

    @api.constrains("copy_ids", "paper", "carbon")
    def _check_copies(self):
        for layout in self:
            if layout.copy_ids and not layout.copy_ids.filtered("printed"):
                raise ValidationError(
                    self.env._("Layout %s prints no copy. Switch one on.", layout.name)
                )

    @api.depends("write_date", "field_ids.write_date", "copy_ids.write_date")
    def _compute_write_stamp(self):
        for layout in self:
            dates = [layout.write_date, *layout.field_ids.mapped("write_date")]
            dates += layout.copy_ids.mapped("write_date")
            layout.write_stamp = str(max((date for date in dates if date), default=""))

    @api.onchange("paper")
    def _onchange_paper(self):
        self.carbon = PAPERS[self.paper].carbon

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            paper = vals.get("paper", "third")
            vals.setdefault("carbon", PAPERS[paper].carbon)
            if not PAPERS[paper].box:
                vals.setdefault("show_signatures", False)
            vals.setdefault("field_ids", self._default_fields(paper))
            vals.setdefault("copy_ids", self._default_copies(paper))
        return super().create(vals_list)

    def copy_data(self, default=None):
        return [
            {**vals, "name": self.env._("%s (copy)", layout.name), "user_ids": False}
            for layout, vals in zip(self, super().copy_data(default))
        ]

    @api.model
    def _default_fields(self, paper):
        """Lines for all fields; those that suit the paper are switched on."""
        roomy = paper in ROOMY
        keys = [key for key, _label in self.env["prepay.receipt.layout.field"]._keys()]
        return [
            (
                0,
                0,
                {
                    "sequence": sequence,
                    "key": key,
                    "shown": key in SHOWN and key not in (NARROW_ONLY if roomy else WIDE_ONLY),
                    "width": WIDTH.get(key, "1"),
                },
            )
            for sequence, key in enumerate(keys)
        ]

    @api.model
    def _default_copies(self, paper):
        only_customer = PAPERS[paper].box is None
        return [
            (
                0,
                0,
                {
                    "sequence": sequence,
                    "kind": kind,
                    "printed": kind == "customer" or not only_customer,
                },
            )
            for sequence, kind in enumerate(("stub", "customer", "finance"))
        ]

    @api.model
    def _for(self, kind, company, user=None):
        """The layout that a person prints a kind of receipt with.

        The person's own comes first, then the company's, then the shipped ones.
        """
        user = user or self.env.user
        layouts = self.sudo().search(
            [(f"for_{kind}", "=", True), ("company_id", "in", [company.id, False])]
        )
        mine = layouts.filtered(lambda item: user in item.user_ids)
        rest = layouts.filtered(lambda item: not item.user_ids)
        own = rest.filtered("company_id")
        return (mine or own or rest or layouts)[:1]

    def action_preview(self):
        """The PDF, with the newest receipt of the company or, before there is one, a sample."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_url",
            "url": f"/report/pdf/prepay_billing.report_receipt_preview/{self.id}",
            "target": "new",
        }
