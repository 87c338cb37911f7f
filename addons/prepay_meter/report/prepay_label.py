import qrcode
from odoo import api, models
from qrcode.constants import ERROR_CORRECT_M

#: Layout → labels on one page.
PER_PAGE = {"a4": 24, "roll": 1}


class PrepayLabel(models.AbstractModel):
    """Labels for meters: a QR code and what an installer looks for on the spot."""

    _name = "report.prepay_meter.report_labels"
    _description = "Meter Labels"

    @api.model
    def _get_report_values(self, docids, data=None):
        wizards = self.env["prepay.label.wizard"].browse(docids)
        wizards.check_access("read")
        return {
            "doc_ids": docids,
            "doc_model": wizards._name,
            "docs": wizards,
            "pages": {wizard.id: self._pages(wizard) for wizard in wizards},
        }

    @api.model
    def _pages(self, wizard):
        """Labels of one print, page by page; None is a place of the sheet that stays empty."""
        labels = [None] * (wizard.skip if wizard.layout == "a4" else 0)
        for meter in wizard._meters():
            labels += [self._label(meter)] * wizard.copies
        size = PER_PAGE[wizard.layout]
        return [labels[start : start + size] for start in range(0, len(labels), size)]

    @api.model
    def _label(self, meter):
        return {
            "number": meter.number,
            "room": meter.location_id.display_name,
            "address": meter.address,
            "gateway": meter.gateway_id.name or "",
            "code": qr_path(meter._label_code()),
        }


def qr_path(text):
    """A QR code as the path of an SVG.

    :return: dict of ``size`` (modules of one side, with the quiet zone) and ``path``
    """
    code = qrcode.QRCode(error_correction=ERROR_CORRECT_M, border=4)
    code.add_data(text)
    code.make(fit=True)
    matrix = code.get_matrix()
    path = "".join(
        f"M{x} {y}h1v1h-1z" for y, row in enumerate(matrix) for x, dark in enumerate(row) if dark
    )
    return {"size": len(matrix), "path": path}
