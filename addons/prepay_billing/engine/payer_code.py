"""Payment codes that a payer shows on the phone, by their digits.

WeChat Pay: 18 digits that begin with 10 to 15. Alipay: 16 to 24 digits that begin with 25 to 30
(both as published for their code payments, 付款码支付).
"""

WECHAT, ALIPAY = "wechat", "alipay"


def channel_of(code: str) -> str | None:
    """Whose code it is ("wechat", "alipay"), or None when it is no payment code."""
    if not (code.isascii() and code.isdecimal()):
        return None
    if len(code) == 18 and 10 <= int(code[:2]) <= 15:
        return WECHAT
    if 16 <= len(code) <= 24 and 25 <= int(code[:2]) <= 30:
        return ALIPAY
    return None
