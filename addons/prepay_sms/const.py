"""Tables: kinds of notices, their states, and what gateways answer."""

#: Kinds of notices. "final" is the one that a policy may require before a cut.
KINDS = [
    ("alarm1", "Low Balance"),
    ("alarm2", "Very Low Balance"),
    ("arrears", "In Arrears"),
    ("final", "Final Notice"),
    ("cut", "Supply Cut"),
    ("restored", "Supply Restored"),
    ("topup", "Payment Received"),
]

STATES = [
    ("queued", "Queued"),
    ("sent", "Sent"),
    ("delivered", "Delivered"),
    ("failed", "Failed"),
]

#: Account level that has become worse -> kind of notice. At "cut" the cut is due, not done.
KIND_OF_LEVEL = {"alarm1": "alarm1", "alarm2": "alarm2", "arrears": "arrears", "cut": "final"}

#: Action of a supply decision -> kind of notice.
KIND_OF_ACTION = {"open": "cut", "close": "restored"}

#: State -> states it may follow. A receipt is proof: it also follows a send without an answer.
FOLLOWS = {
    "queued": {"failed"},
    "sent": {"queued", "failed"},
    "delivered": {"queued", "sent", "failed"},
    "failed": {"queued", "sent"},
}

#: State -> field with its time.
STAMPS = {"sent": "sent_at", "delivered": "delivered_at", "failed": "failed_at"}

FAILURES = [
    ("switched_off", "Sending is switched off"),
    ("no_provider", "No SMS provider is set up"),
    ("no_template", "No text for this kind of notice"),
    ("no_number", "No phone number"),
    ("bad_number", "Not a phone number"),
    ("outdated", "Not true any more"),
    ("cancelled", "Cancelled in the SMS queue"),
    ("unreachable", "Gateway not reached; nothing was sent"),
    ("no_answer", "No clear answer of the gateway; may have been sent"),
    ("unauthorized", "Gateway refused the secret"),
    ("credit", "No credit left at the gateway"),
    ("rate", "Too many messages for this number"),
    ("blocked", "The number refuses messages"),
    ("refused", "Refused by the gateway"),
    ("undelivered", "Not delivered to the phone"),
]

#: State in the answer of the HTTP gateway -> state of a result in Odoo's sms framework.
GATEWAY_STATES = {
    "accepted": "success",
    "queued": "processing",
    "sent": "success",
    "delivered": "delivered",
    "bad_number": "wrong_number_format",
    "no_credit": "insufficient_credit",
    "rate_limited": "prepay_rate",
    "blocked": "prepay_blocked",
    "rejected": "prepay_refused",
}

#: State of a result -> failure type of Odoo's sms framework.
RESULT_TO_FAILURE_TYPE = {
    "insufficient_credit": "sms_credit",
    "prepay_unreachable": "sms_server",
    "prepay_no_answer": "sms_server",
    "prepay_unauthorized": "sms_acc",
    "prepay_rate": "sms_server",
    "prepay_blocked": "sms_blacklist",
    "prepay_refused": "sms_server",
}

#: State of a result -> failure of the notice; anything else was refused.
RESULT_TO_FAILURE = {
    "sms_number_missing": "no_number",
    "wrong_number_format": "bad_number",
    "insufficient_credit": "credit",
    "server_error": "no_answer",
    "unregistered": "unauthorized",
    "prepay_unreachable": "unreachable",
    "prepay_no_answer": "no_answer",
    "prepay_unauthorized": "unauthorized",
    "prepay_rate": "rate",
    "prepay_blocked": "blocked",
}

#: State of a good result -> state of the notice.
RESULT_TO_STATE = {
    "processing": "sent",
    "success": "sent",
    "sent": "sent",
    "delivered": "delivered",
}

#: State in a delivery receipt -> state of the notice.
RECEIPT_STATES = {"sent": "sent", "delivered": "delivered", "failed": "failed"}

#: Names that a text may use in braces.
PLACEHOLDERS = ("room", "account", "tenant", "amount", "available", "company", "time")
