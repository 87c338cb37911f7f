from odoo import api, fields, models
from odoo.tools import SQL

#: Days for which frames are kept.
KEPT_DAYS = 7
ARROWS = {"out": ">", "in": "<", "note": "#"}


class PrepayMeterFrame(models.Model):
    """One frame to or from a device, as it was on the wire.

    The collector writes these rows by SQL for meters that are traced (``trace_until``) and for
    probes. Frames of switching carry the password of the meter: only administrators see them.
    """

    _name = "prepay.meter.frame"
    _description = "Raw Frame"
    _log_access = False
    _order = "id desc"
    _rec_name = "at"

    meter_id = fields.Many2one("prepay.meter", index=True, ondelete="cascade", readonly=True)
    gateway_id = fields.Many2one("prepay.gateway", index=True, ondelete="cascade", readonly=True)
    at = fields.Datetime(
        string="Time", required=True, index=True, readonly=True, default=fields.Datetime.now
    )
    millisecond = fields.Integer(
        string="ms", compute="_compute_millisecond", help="Milliseconds of the time."
    )
    direction = fields.Selection(
        [("out", "To the meter"), ("in", "From the meter"), ("note", "Note")],
        required=True,
        readonly=True,
    )
    data = fields.Text(string="Bytes", readonly=True)
    size = fields.Integer(string="Length", compute="_compute_size")
    note = fields.Text(readonly=True)

    @api.depends("at")
    def _compute_millisecond(self):
        for frame in self:
            frame.millisecond = frame.at.microsecond // 1000

    @api.depends("data")
    def _compute_size(self):
        for frame in self:
            frame.size = len((frame.data or "").replace(" ", "")) // 2

    def _as_text(self):
        """The frames, oldest first, as a text for the support of the maker. Times are UTC."""
        lines = []
        for frame in self.sorted("id"):
            at = f"{frame.at:%Y-%m-%d %H:%M:%S}.{frame.millisecond:03d}"
            who = frame.meter_id.number or frame.gateway_id.name or ""
            rest = " # ".join(part for part in (frame.data, frame.note) if part)
            lines.append(f"{at}Z {who} {ARROWS[frame.direction]} {rest}")
        return "\n".join(lines) + "\n"

    def action_export(self):
        """Download the chosen frames as a text file."""
        self.check_access("read")
        name = "-".join(self.meter_id.mapped("number")[:1]) or "gateway"
        return self.env["prepay.download"]._offer(f"frames-{name}.txt", self._as_text().encode())

    @api.autovacuum
    def _gc_frames(self):
        self.env.cr.execute(
            SQL(
                "DELETE FROM prepay_meter_frame WHERE at < now() AT TIME ZONE 'UTC' - %s * interval '1 day'",
                KEPT_DAYS,
            )
        )
