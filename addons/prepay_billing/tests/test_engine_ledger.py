"""Wallet ledger: rules of the kinds, balances, granted money first."""

from dataclasses import FrozenInstanceError
from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_billing.engine.errors import LedgerError
from odoo.addons.prepay_billing.engine.ledger import (
    ENTRY_KINDS,
    GRANTED,
    PRINCIPAL,
    Balance,
    Entry,
    available,
    balance,
    split_charge,
    validate_entry,
)

PROPERTY = settings(max_examples=200, deadline=None, database=None)
CENT = Decimal("0.01")
KINDS_BUT_REVERSAL = sorted(set(ENTRY_KINDS) - {"reversal"})


def refusal(*args, **kwargs):
    with pytest.raises(LedgerError) as caught:
        validate_entry(*args, **kwargs)
    assert caught.value.values
    assert str(caught.value) == caught.value.detail
    return caught.value.code


def test_kinds():
    rules = {kind: (rule.sign, rule.buckets) for kind, rule in ENTRY_KINDS.items()}
    assert rules == {
        "opening": (1, ("principal", "granted")),
        "topup": (1, ("principal",)),
        "grant": (1, ("granted",)),
        "expiry": (-1, ("granted",)),
        "charge": (-1, ("principal", "granted")),
        "refund": (-1, ("principal",)),
        "transfer": (0, ("principal",)),
        "adjustment": (0, ("principal", "granted")),
        "correction": (0, ("principal", "granted")),
        "reversal": (0, ("principal", "granted")),
    }
    with pytest.raises(TypeError):
        ENTRY_KINDS["bribe"] = ENTRY_KINDS["grant"]


@pytest.mark.parametrize("kind", KINDS_BUT_REVERSAL)
def test_sign_and_bucket_of_every_kind(kind):
    rule = ENTRY_KINDS[kind]
    for bucket in (PRINCIPAL, GRANTED):
        for sign in (1, -1):
            if bucket not in rule.buckets:
                assert refusal(kind, CENT * sign, bucket=bucket) == "bucket_invalid"
            elif rule.sign in (0, sign):
                validate_entry(kind, CENT * sign, bucket=bucket)
            else:
                assert refusal(kind, CENT * sign, bucket=bucket) == "amount_sign"


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (10.0, "amount_invalid"),
        (10, "amount_invalid"),
        (Decimal("NaN"), "amount_invalid"),
        (Decimal("-Infinity"), "amount_invalid"),
        (Decimal("1000000.01"), "amount_absurd"),
        (Decimal("-1000000.01"), "amount_absurd"),
        (Decimal("1E+5000"), "amount_absurd"),
        (Decimal("0.001"), "amount_decimals"),
        (Decimal("-9.999"), "amount_decimals"),
        (Decimal("0"), "amount_zero"),
        (Decimal("-0.00"), "amount_zero"),
    ],
)
def test_amount_refused(amount, code):
    assert refusal("adjustment", amount) == code


@pytest.mark.parametrize("amount", ["1000000", "-1000000", "0.01", "-0.01", "1.50000", "1E+2"])
def test_amount_accepted(amount):
    validate_entry("adjustment", Decimal(amount))


def test_kind_and_bucket_refused():
    assert refusal("gift", CENT) == "kind_unknown"
    assert refusal("adjustment", CENT, bucket="pocket") == "bucket_invalid"


def test_reversal_names_an_entry_and_is_its_opposite():
    charge = Entry("charge", Decimal("-5.25"), GRANTED)
    validate_entry("reversal", Decimal("5.25"), bucket=GRANTED, reverses=charge)
    assert refusal("reversal", Decimal("5.25"), bucket=GRANTED) == "reverses_missing"
    for amount, bucket in (("5.24", GRANTED), ("-5.25", GRANTED), ("5.25", PRINCIPAL)):
        code = refusal("reversal", Decimal(amount), bucket=bucket, reverses=charge)
        assert code == "reversal_differs"


def test_a_reversal_is_final():
    assert refusal("reversal", CENT, reverses=Entry("reversal", -CENT)) == "reversal_reversed"


def test_who_may_name_another_entry():
    charge = Entry("charge", -CENT)
    validate_entry("correction", Decimal("-3"), reverses=charge)
    validate_entry("correction", Decimal("3"))
    for kind in set(KINDS_BUT_REVERSAL) - {"correction"}:
        amount = CENT * (ENTRY_KINDS[kind].sign or 1)
        bucket = ENTRY_KINDS[kind].buckets[0]
        code = refusal(kind, amount, bucket=bucket, reverses=charge)
        assert code == "reverses_unexpected"


def test_refusal_names_the_facts():
    with pytest.raises(LedgerError) as caught:
        validate_entry("topup", Decimal(-1))
    assert caught.value.values == {"kind": "topup", "amount": Decimal(-1)}


def test_records_never_change():
    records = (
        (Entry("topup", CENT), "amount"),
        (Balance(CENT, CENT), "granted"),
        (ENTRY_KINDS["topup"], "sign"),
    )
    for record, name in records:
        with pytest.raises(FrozenInstanceError):
            setattr(record, name, -1)
        assert not hasattr(record, "__dict__")


def test_balance():
    assert balance([]) == Balance(Decimal(0), Decimal(0))
    wallet = balance(
        [
            Entry("topup", Decimal("100.00")),
            Entry("grant", Decimal("10.00"), GRANTED),
            Entry("charge", Decimal("-10.00"), GRANTED),
            Entry("charge", Decimal("-0.55")),
        ]
    )
    assert wallet == Balance(Decimal("99.45"), Decimal(0))
    assert wallet.total == Decimal("99.45")


def test_available():
    wallet = Balance(Decimal("1.00"), Decimal("2.00"))
    assert available(wallet, Decimal(10), Decimal("13.0000001")) == Decimal("-0.0000001")


def test_the_decimal_context_of_the_caller_plays_no_part():
    with localcontext() as context:
        context.prec = 2
        validate_entry("adjustment", Decimal("999999.99"))
        wallet = balance([Entry("topup", Decimal("1234.56")), Entry("topup", CENT)])
        assert wallet.total == Decimal("1234.57")
        assert split_charge(Decimal("1234.56"), CENT) == (CENT, Decimal("1234.55"))
        assert available(wallet, Decimal("0.0001"), Decimal("0.12345")) == Decimal("1234.44665")


@pytest.mark.parametrize(
    ("amount", "granted", "expected"),
    [
        ("5", "0", ("0", "5")),
        ("5", "3", ("3", "2")),
        ("5", "5", ("5", "0")),
        ("5", "9", ("5", "0")),
        ("5", "-1", ("0", "5")),
        ("0", "3", ("0", "0")),
    ],
)
def test_split_charge(amount, granted, expected):
    assert split_charge(Decimal(amount), Decimal(granted)) == tuple(map(Decimal, expected))


@pytest.mark.parametrize(
    ("amount", "granted", "code"),
    [
        (Decimal(-1), Decimal(5), "amount_sign"),
        (Decimal("0.001"), Decimal(5), "amount_decimals"),
        (Decimal("1000001"), Decimal(5), "amount_absurd"),
        (1.0, Decimal(5), "amount_invalid"),
        (Decimal(1), 5.0, "granted_invalid"),
        (Decimal(1), Decimal("NaN"), "granted_invalid"),
        (Decimal(1), Decimal("0.001"), "granted_invalid"),
    ],
)
def test_split_charge_refused(amount, granted, code):
    with pytest.raises(LedgerError) as caught:
        split_charge(amount, granted)
    assert caught.value.code == code
    assert caught.value.values


fen = st.integers(1, 100_000_000).map(lambda count: CENT * count)


@st.composite
def entries(draw):
    """A valid entry of any kind but reversal."""
    kind = draw(st.sampled_from(KINDS_BUT_REVERSAL))
    rule = ENTRY_KINDS[kind]
    sign = rule.sign or draw(st.sampled_from([1, -1]))
    entry = Entry(kind, draw(fen) * sign, draw(st.sampled_from(rule.buckets)))
    validate_entry(entry.kind, entry.amount, bucket=entry.bucket)
    return entry


@given(st.lists(entries(), max_size=30), st.randoms(use_true_random=False))
@PROPERTY
def test_order_of_entries_plays_no_part(wallet, random):
    shuffled = random.sample(wallet, len(wallet))
    assert balance(shuffled) == balance(wallet)
    assert balance(wallet).total == sum((entry.amount for entry in wallet), Decimal(0))


@given(st.lists(entries(), max_size=30), st.data())
@PROPERTY
def test_balances_of_parts_add_up(wallet, data):
    cut = data.draw(st.integers(0, len(wallet)))
    one, two, both = balance(wallet[:cut]), balance(wallet[cut:]), balance(wallet)
    assert one.principal + two.principal == both.principal
    assert one.granted + two.granted == both.granted


@given(st.lists(entries(), max_size=30), entries())
@PROPERTY
def test_a_reversal_cancels_exactly(wallet, wrong):
    undo = Entry("reversal", -wrong.amount, wrong.bucket)
    validate_entry(undo.kind, undo.amount, bucket=undo.bucket, reverses=wrong)
    assert balance([*wallet, wrong, undo]) == balance(wallet)


@given(fen, st.integers(-10_000, 200_000_000).map(lambda count: CENT * count))
@PROPERTY
def test_split_charge_loses_nothing_and_takes_granted_money_first(amount, granted):
    from_granted, from_principal = split_charge(amount, granted)
    assert from_granted + from_principal == amount
    assert min(from_granted, from_principal) >= 0
    assert from_granted <= max(granted, 0)
    assert from_principal == 0 or from_granted == max(granted, 0)


def test_a_refusal_names_its_values():
    """A message to people is made of them."""

    def values(call, *args, **kwargs):
        with pytest.raises(LedgerError) as caught:
            call(*args, **kwargs)
        assert caught.value.detail
        return caught.value.values

    ten = Decimal("10.00")
    assert values(validate_entry, "bribe", ten) == {"kind": "bribe"}
    assert values(validate_entry, "topup", ten, bucket=GRANTED) == {
        "kind": "topup",
        "bucket": GRANTED,
    }
    assert values(validate_entry, "topup", -ten) == {"kind": "topup", "amount": -ten}
    topup = Entry("topup", ten)
    assert values(validate_entry, "reversal", ten, reverses=topup) == {
        "kind": "reversal",
        "amount": ten,
        "bucket": PRINCIPAL,
        "reverses": topup,
    }
    assert values(split_charge, ten, 1.5) == {"granted": 1.5}
    assert values(split_charge, -ten, ten) == {"amount": -ten}
