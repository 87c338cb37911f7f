from odoo import models

from ..room_live import listen
from .prepay_room_board import CHANNEL


class IrWebsocket(models.AbstractModel):
    _inherit = "ir.websocket"

    def _build_bus_channel_list(self, channels):
        channels = list(channels)
        if CHANNEL in channels:
            channels.remove(CHANNEL)
            own = self.env["prepay.room.board"]._channels()
            if own:
                channels.extend(own)
                listen(self.env.cr.dbname)
        return super()._build_bus_channel_list(channels)
