import json
import logging
import time
from urllib.parse import urlsplit

import requests

from odoo.addons.sms.tools.sms_api import SmsApiBase

from ..const import GATEWAY_STATES, RESULT_TO_FAILURE_TYPE
from .text import plain
from .url import is_loopback, problem_of

_logger = logging.getLogger(__name__)

#: Messages in one request. A gateway that does not answer costs one time-out, not one for each.
CHUNK = 100
_LARGEST_ANSWER = 1_000_000


class SmsApiHttp(SmsApiBase):
    """Any SMS gateway that takes JSON over HTTP, or a small adapter in front of one.

    Request: POST ``{"messages": [{"uuid", "number", "text"}], "report_url"}`` with the secret in a
    header of its own. The uuid stays the same when a message is sent again: a gateway that knows it
    already answers as before and sends nothing.
    Answer: ``{"results": [{"uuid", "state", "reason"}]}``; states: ``const.GATEWAY_STATES``.
    """

    PROVIDER_TO_SMS_FAILURE_TYPE = SmsApiBase.PROVIDER_TO_SMS_FAILURE_TYPE | RESULT_TO_FAILURE_TYPE

    def _send_sms_batch(self, messages, delivery_reports_url=False):
        """Send to the gateway of the company; see the method this overrides.

        :return: one result for each uuid. Nothing is raised: Odoo would mark all messages of the
            batch as failed, also those that were sent.
        """
        items = [
            {
                "uuid": number["uuid"],
                "number": number["number"] or "",
                "text": message["content"] or "",
            }
            for message in messages
            for number in message["numbers"]
        ]
        results, trouble = [], None
        with requests.Session() as session:
            for start in range(0, len(items), CHUNK):
                chunk = items[start : start + CHUNK]
                if trouble:
                    results += self._failed(chunk, "prepay_unreachable", trouble)
                    continue
                state, answer = self._post(session, chunk)
                if state:
                    # Down for one is down for all: what follows is not even tried.
                    trouble = answer
                    results += self._failed(chunk, state, answer)
                else:
                    results += self._read_results(chunk, answer)
        return results

    def _post(self, session, items):
        """Hand one chunk over.

        :return: (None, answer) or (state for all items, reason)
        """
        company = self.company.sudo()
        url = company.prepay_sms_http_url
        if problem_of(url):
            return "prepay_unreachable", self.env._("The address of the gateway is not valid.")
        payload = {"messages": items, "report_url": company.prepay_sms_receipt_url or None}
        headers = {}
        if company.prepay_sms_http_secret:
            headers[company.prepay_sms_http_header] = company.prepay_sms_http_secret
        # A proxy of the environment knows nothing of this machine.
        session.trust_env = not is_loopback(urlsplit(url).hostname)
        seconds = company.prepay_sms_http_timeout
        deadline = time.monotonic() + seconds
        try:
            with session.post(
                url,
                json=payload,
                headers=headers,
                timeout=seconds,
                allow_redirects=False,
                stream=True,
            ) as response:
                return self._read_answer(response, deadline)
        except (requests.exceptions.ConnectTimeout, requests.exceptions.SSLError) as error:
            return "prepay_unreachable", self._name_of(error)
        except requests.exceptions.ConnectionError as error:
            # Refused at once, or broken off later: only the first is certain.
            refused = "NewConnectionError" in repr(error) or "NameResolutionError" in repr(error)
            return "prepay_unreachable" if refused else "prepay_no_answer", self._name_of(error)
        except (requests.exceptions.RequestException, ValueError) as error:
            return "prepay_no_answer", self._name_of(error)

    def _read_answer(self, response, deadline):
        body = b""
        for piece in response.iter_content(65536):
            body += piece
            if len(body) > _LARGEST_ANSWER or time.monotonic() > deadline:
                return "prepay_no_answer", self.env._("The answer is too long or too slow.")
        if response.status_code in (401, 403):
            return "prepay_unauthorized", f"HTTP {response.status_code}"
        if not response.ok or response.is_redirect:
            return "prepay_no_answer", f"HTTP {response.status_code}"
        return None, json.loads(body)

    def _read_results(self, items, answer):
        """One result for each item of a chunk, whatever the gateway says."""
        listed = answer.get("results") if isinstance(answer, dict) else None
        by_uuid = {
            result["uuid"]: result
            for result in (listed if isinstance(listed, list) else ())
            if isinstance(result, dict) and isinstance(result.get("uuid"), str)
        }
        results = []
        for item in items:
            result = by_uuid.get(item["uuid"])
            if result is None:
                results += self._failed(
                    [item], "prepay_no_answer", self.env._("Not in the answer.")
                )
                continue
            said = result.get("state")
            state = GATEWAY_STATES.get(said) if isinstance(said, str) else None
            results.append(
                {
                    "uuid": item["uuid"],
                    "state": state or "prepay_no_answer",
                    "failure_reason": plain(result.get("reason") or ("" if state else said)),
                }
            )
        return results

    def _failed(self, items, state, reason):
        _logger.warning(
            "SMS gateway of company %s: %s messages: %s", self.company.id, len(items), reason
        )
        return [{"uuid": item["uuid"], "state": state, "failure_reason": reason} for item in items]

    def _name_of(self, error):
        """The kind of error: its text may hold the address with secrets in it."""
        return type(error).__name__

    def _get_sms_api_error_messages(self):
        return super()._get_sms_api_error_messages() | {
            "insufficient_credit": self.env._("No credit left at the SMS gateway."),
            "wrong_number_format": self.env._("The number is not a phone number."),
            "prepay_unauthorized": self.env._("The SMS gateway refused the secret."),
        }
