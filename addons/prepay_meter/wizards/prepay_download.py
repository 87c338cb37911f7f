import base64
from urllib.parse import urlencode

from odoo import api, fields, models


class PrepayDownload(models.TransientModel):
    """A file on its way to the browser; it is gone after the usual cleaning of dialogues."""

    _name = "prepay.download"
    _description = "Download"

    name = fields.Char(required=True, readonly=True)
    data = fields.Binary(attachment=False, required=True, readonly=True)

    @api.model
    def _offer(self, name, content):
        """The action that makes the browser save ``content`` (bytes) as the file ``name``."""
        record = self.create({"name": name, "data": base64.b64encode(content)})
        query = {
            "model": self._name,
            "id": record.id,
            "field": "data",
            "filename_field": "name",
            "download": "true",
        }
        return {
            "type": "ir.actions.act_url",
            "url": f"/web/content?{urlencode(query)}",
            "target": "download",
        }
