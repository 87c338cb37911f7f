from odoo import api, fields, models

#: Switched on in a new layout.
SHOWN = {
    "account_number",
    "location",
    "tenant",
    "phone",
    "method",
    "meters",
    "price",
    "last_register",
    "register",
    "quantity",
    "capitals",
    "amount",
    "settlement",
    "balance_before",
    "balance_after",
    "items",
    "received",
    "change",
    "operator",
    "authorizer",
    "reversed_number",
    "external_number",
    "remark",
    "meter_table",
}
#: A roomy paper has a table of meters, a small one their numbers in a row.
WIDE_ONLY = {"meter_table"}
NARROW_ONLY = {"meters", "price", "last_register", "register"}
WIDTH = {
    "location": "2",
    "meters": "2",
    "capitals": "2",
    "items": "3",
    "remark": "3",
    "sale_address": "2",
    "company_address": "2",
    "meter_table": "3",
}


class PrepayReceiptLayoutField(models.Model):
    """A field of a receipt: whether it prints, where, how wide and under which name."""

    _name = "prepay.receipt.layout.field"
    _description = "Field of a Receipt"
    _order = "sequence, id"
    _rec_name = "key"

    layout_id = fields.Many2one(
        "prepay.receipt.layout", required=True, index=True, ondelete="cascade"
    )
    sequence = fields.Integer()
    key = fields.Selection(
        [
            ("order_number", "Sale No."),
            ("operation", "Operation"),
            ("account_number", "Account No."),
            ("location", "Room"),
            ("station", "Building"),
            ("line", "Power Line"),
            ("tenant", "Tenant"),
            ("phone", "Phone"),
            ("payer", "Payer"),
            ("method", "Payment Method"),
            ("meters", "Meter No."),
            ("ratio", "Ratio"),
            ("capacity", "Transformer Capacity"),
            ("price", "Price"),
            ("price_type", "Price Type"),
            ("last_register", "Last Register"),
            ("register", "This Register"),
            ("meter_table", "Table of Meters"),
            ("cut_register_before", "Register at Last Cut"),
            ("cut_register", "Register at This Cut"),
            ("cut_amount", "Total at the Cut"),
            ("last_remaining", "Last Remaining"),
            ("quantity", "Quantity"),
            ("items", "Composition"),
            ("capitals", "Amount in Words"),
            ("amount", "Amount"),
            ("settlement", "Settled Arrears"),
            ("make_up", "Make-up"),
            ("received", "Received"),
            ("change", "Change"),
            ("balance_before", "Balance Before"),
            ("balance_after", "Balance After"),
            ("operator", "Cashier"),
            ("authorizer", "Authorized By"),
            ("reversed_number", "Reversed Receipt"),
            ("external_number", "Channel Number"),
            ("company_vat", "Tax ID"),
            ("company_address", "Company Address"),
            ("sale_address", "Point of Sale"),
            ("service_phone", "Service Phone"),
            ("remark", "Remark"),
        ],
        string="Field",
        required=True,
    )
    label = fields.Char(string="Name on Paper", translate=True)
    shown = fields.Boolean(string="Printed")
    width = fields.Selection(
        [("1", "A third"), ("2", "Two thirds"), ("3", "Whole row")], required=True, default="1"
    )

    _key_unique = models.Constraint(
        "UNIQUE (layout_id, key)", "This field is in the layout already."
    )

    @api.model
    def _keys(self):
        return self._fields["key"].selection

    def _title(self):
        return self.label or dict(self._fields["key"]._description_selection(self.env))[self.key]

    def _cell(self, text=""):
        """The field for the plan of a page."""
        if self.key == "meter_table":
            return {"table": [{}]}
        return {
            "key": self.key,
            "label": self._title(),
            "text": text,
            "width": int(self.width),
            "strong": self.key in ("amount", "capitals"),
        }
