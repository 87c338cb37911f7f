from datetime import timedelta

from odoo import api, fields, models

from .prepay_gateway import LINKS

#: Days after which a message is forgotten.
KEPT_DAYS = 30
#: Rows deleted in one go of the nightly clean-up.
BATCH = 10_000


class PrepayMeterMessage(models.Model):
    """Something a device sent that the collector could not use: whoever is not listed, or unreadable.

    The collector writes these rows by SQL, the same thing at most once an hour. They are there to
    find out why a new device does not appear; nothing depends on them.
    """

    _name = "prepay.meter.message"
    _description = "Unusable Message"
    _log_access = False
    _order = "at desc, id desc"
    _rec_name = "topic"

    at = fields.Datetime(string="Received", required=True, readonly=True, index=True)
    source = fields.Selection(LINKS, string="Connection", required=True, readonly=True)
    gateway_id = fields.Many2one(
        "prepay.gateway", index="btree_not_null", ondelete="cascade", readonly=True
    )
    topic = fields.Char(string="Identity or Topic", readonly=True)
    peer = fields.Char(string="Sent From", readonly=True)
    reason = fields.Char(required=True, readonly=True)
    payload = fields.Text(
        string="Content",
        readonly=True,
        help="The first 4,096 bytes: text as it is, anything else in hexadecimal.",
    )

    @api.autovacuum
    def _gc_old(self):
        limit = fields.Datetime.now() - timedelta(days=KEPT_DAYS)
        old = self.sudo().search([("at", "<", limit)], limit=BATCH, order="at")
        old.unlink()
        return len(old), len(old) == BATCH
