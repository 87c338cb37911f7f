"""Amounts of money in Chinese capitals (大写金额), as documents of payment in China carry them."""

from decimal import Decimal

import cn2an


def rmb_capitals(amount):
    """Write an amount in Chinese capitals.

    整 closes an amount of whole yuan; after 角 it may be left out and after 分 it must be. An empty
    角 between 元 and 分 is written 零.
    Source: 支付结算办法 (银发〔1997〕393号), 附一《正确填写票据和结算凭证的基本规定》.

    :param Decimal amount: CNY with at most two decimals
    :return: such as 壹佰元整, 壹佰元伍角, 叁佰贰拾伍元零肆分
    :raises ValueError: a part of a fen cannot be written
    """
    fen = amount * 100
    if fen != int(fen):
        raise ValueError(f"{amount} has more than two decimals")
    return cn2an.an2cn(f"{Decimal(amount):.2f}", "rmb")
