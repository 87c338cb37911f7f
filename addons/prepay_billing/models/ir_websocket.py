from odoo import models

from ..room_live import listen
from .prepay_room_board import CHANNEL


class IrWebsocket(models.AbstractModel):
    _inherit = "ir.websocket"

    def _build_bus_channel_list(self, channels):
        """An open room board hears of the rooms of its user's companies, and of no others."""
        channels = list(channels)
        if CHANNEL in channels:
            channels.remove(CHANNEL)
            if self.env.user.has_group("prepay_meter.group_user"):
                channels.extend((company, CHANNEL) for company in self.env.user.company_ids)
                listen(self.env.cr.dbname)
        return super()._build_bus_channel_list(channels)
