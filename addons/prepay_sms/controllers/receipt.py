import json
import logging

from odoo.http import Controller, request, route

_logger = logging.getLogger(__name__)

_LARGEST_BODY = 1_000_000
_MOST_RECEIPTS = 1000
_LARGEST_ID = 2**31 - 1


class ReceiptController(Controller):
    @route(
        "/prepay_sms/receipt/<int:company_id>/<string:token>",
        type="http",
        auth="public",
        methods=["POST"],
        csrf=False,
        save_session=False,
    )
    def receipt(self, company_id, token, **_kwargs):
        """Delivery receipts of an SMS gateway: ``{"uuid", "state", "reason"}`` or a list of them.

        The gateway has no session and no form: the token in the address is the proof. An unknown
        company and a wrong token answer alike. Receipts of other messages are counted, not
        refused, so that a gateway does not repeat them for ever.
        """
        company = (
            request.env["res.company"].sudo().search([("id", "=", min(company_id, _LARGEST_ID))])
        )
        if not company._prepay_sms_knows_token(token):
            _logger.warning("SMS receipt with a wrong token for company %s", company_id)
            raise request.not_found()
        if (request.httprequest.content_length or 0) > _LARGEST_BODY:
            return request.make_json_response({"code": 413, "message": "too large"}, status=413)
        try:
            receipts = self._read_receipts(request.httprequest)
        except (ValueError, RecursionError):
            return request.make_json_response({"code": 400, "message": "not JSON"}, status=400)
        if isinstance(receipts, dict):
            receipts = [receipts]
        if not isinstance(receipts, list) or len(receipts) > _MOST_RECEIPTS:
            return request.make_json_response(
                {"code": 400, "message": "not a list of receipts"}, status=400
            )
        known = request.env["prepay.notice"]._apply_receipts(company, receipts)
        return request.make_json_response(
            {"code": 0, "known": known, "unknown": len(receipts) - known}
        )

    def _read_receipts(self, httprequest):
        """What the gateway sent: JSON, JSON named a form as curl does, or a form."""
        form = httprequest.form
        if not form:
            return json.loads(httprequest.get_data(cache=False))
        if len(form) == 1 and "".join(form.values()) == "":
            return json.loads(next(iter(form)))
        return form.to_dict()
