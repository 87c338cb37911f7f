"""Settlement of exact amounts to fen: nothing is lost, nothing is invented (M-11)."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_billing.engine.errors import RoundingError
from odoo.addons.prepay_billing.engine.rounding import (
    FEN,
    HALF_FEN,
    exact_amount,
    exact_product,
    exact_sum,
    settle,
    to_fen,
)

PROPERTY = settings(max_examples=200, deadline=None, database=None)
ZERO = Decimal(0)

# Seven decimals: a price of four times Wh over 1000.
exact_amounts = st.decimals(min_value=-99999, max_value=99999, places=7)
# Where halves of a fen are common.
small_amounts = st.integers(-40, 40).map(lambda count: Decimal("0.0005") * count)
residues = st.integers(-50_000, 50_000).map(lambda count: Decimal("0.0000001") * count)


def settle_all(amounts, residue=ZERO):
    posted = []
    for amount in amounts:
        fen, residue = settle(amount, residue)
        posted.append(fen)
    return posted, residue


@pytest.mark.parametrize(
    ("exact", "residue", "amount", "rest"),
    [
        ("1.234", "0", "1.23", "0.004"),
        ("1.235", "0", "1.24", "-0.005"),
        ("-1.235", "0", "-1.24", "0.005"),
        ("1.2349999", "0", "1.23", "0.0049999"),
        ("0.001", "0.004", "0.01", "-0.005"),
        ("0.001", "-0.005", "0.00", "-0.004"),
        ("0.001", "-0.005", "0.00", "-0.004"),
        ("-0.001", "0.005", "0.00", "0.004"),
        ("0.001", "0.005", "0.01", "-0.004"),
        # Nothing due posts nothing, also with half a fen waiting.
        ("0", "0.005", "0.00", "0.005"),
        ("0", "-0.005", "0.00", "-0.005"),
        ("7", "0", "7.00", "0.00"),
        ("1E+3", "0", "1000.00", "0.00"),
    ],
)
def test_settle(exact, residue, amount, rest):
    assert settle(Decimal(exact), Decimal(residue)) == (Decimal(amount), Decimal(rest))


@pytest.mark.parametrize("exact", ["0", "-0", "-0.001", "0.001"])
def test_a_posted_zero_has_two_decimals_and_no_sign(exact):
    assert str(settle(Decimal(exact), ZERO)[0]) == "0.00"


@pytest.mark.parametrize(
    ("exact", "residue", "code"),
    [
        (Decimal("NaN"), ZERO, "amount_invalid"),
        (Decimal("Infinity"), ZERO, "amount_invalid"),
        (1.5, ZERO, "amount_invalid"),
        (Decimal(1), 0.001, "residue_range"),
        (Decimal(1), Decimal("NaN"), "residue_range"),
        (Decimal(1), Decimal("Infinity"), "residue_range"),
        (Decimal(1), Decimal("0.0050001"), "residue_range"),
        (Decimal(1), Decimal("-0.0050001"), "residue_range"),
        (Decimal("1E-70"), Decimal("0.001"), "amount_precision"),
        (Decimal("1E+59"), ZERO, "amount_precision"),
        (Decimal("9E+2000000"), ZERO, "amount_precision"),
    ],
)
def test_settle_refuses(exact, residue, code):
    with pytest.raises(RoundingError) as caught:
        settle(exact, residue)
    assert caught.value.code == code
    assert str(caught.value) == caught.value.detail
    assert caught.value.values


def test_exact_amount():
    assert exact_amount(Decimal("0.5583"), 1234, 1000) == Decimal("0.6889422")
    assert exact_amount(Decimal("0.5583"), 1234, 1) == Decimal("688.9422")
    assert exact_amount(Decimal("999999.123456789012"), 10**18 - 1, 10**12) == Decimal(
        "999999123456.789011000000876543210988"
    )


@pytest.mark.parametrize(
    ("price", "unit"), [(Decimal(1), 3), (Decimal(1), 0), (Decimal("sNaN"), 1)]
)
def test_exact_amount_refuses_what_is_not_exact(price, unit):
    with pytest.raises(RoundingError) as caught:
        exact_amount(price, 1, unit)
    assert caught.value.code == "amount_precision"


def test_exact_product():
    assert exact_product(Decimal("0.5583"), Decimal("1.025")) == Decimal("0.5722575")


def test_a_refusal_names_its_values():
    """A message to people is made of them."""
    with pytest.raises(RoundingError) as caught:
        exact_amount(Decimal(1), 2, 3)
    assert caught.value.values == {"price": Decimal(1), "quantity": 2, "unit": 3}
    assert "1 x 2 / 3" in caught.value.detail
    with pytest.raises(RoundingError) as caught:
        exact_sum([Decimal("1E+40"), Decimal("1E-20")])
    assert caught.value.values == {"total": Decimal("1E+40"), "amount": Decimal("1E-20")}
    with pytest.raises(RoundingError) as caught:
        settle(1.5, ZERO)
    assert caught.value.values == {"exact": 1.5}
    with pytest.raises(RoundingError) as caught:
        settle(Decimal(1), 0.001)
    assert caught.value.values == {"residue": 0.001}
    with pytest.raises(RoundingError) as caught:
        settle(Decimal("1E+59"), ZERO)
    assert caught.value.values == {"exact": Decimal("1E+59")}


def test_exact_sum():
    assert exact_sum([]) == 0
    far_apart = [Decimal("1E+40"), Decimal("1E-19"), Decimal("-1E+40")]
    assert exact_sum(far_apart) == Decimal("1E-19")
    with pytest.raises(RoundingError) as caught:
        exact_sum([Decimal("1E+40"), Decimal("1E-20")])
    assert caught.value.code == "amount_precision"


def test_the_decimal_context_of_the_caller_plays_no_part():
    with localcontext() as context:
        context.prec = 3
        assert settle(Decimal("12345.678"), Decimal("0.0049999")) == (
            Decimal("12345.68"),
            Decimal("0.0029999"),
        )
        assert exact_amount(Decimal("0.5583"), 1234567, 1000) == Decimal("689.2587561")
        # Rounded on the way, it would come within the range.
        with pytest.raises(RoundingError):
            settle(Decimal(1), Decimal("0.0050001"))


@given(small_amounts | exact_amounts, residues)
@PROPERTY
def test_one_step_is_exact_and_keeps_the_sign(exact, residue):
    amount, rest = settle(exact, residue)
    assert amount * exact >= 0
    assert amount + rest == exact + residue
    assert abs(rest) <= HALF_FEN
    assert amount == to_fen(amount)


@given(st.lists(small_amounts | exact_amounts, max_size=40))
@PROPERTY
def test_posted_plus_residue_is_the_exact_total(amounts):
    posted, residue = settle_all(amounts)
    total = sum(amounts, ZERO)
    assert sum(posted, ZERO) + residue == total
    assert abs(residue) <= HALF_FEN
    assert abs(sum(posted, ZERO) - to_fen(total)) <= FEN


@given(st.lists(small_amounts | exact_amounts, min_size=1, max_size=40), st.data())
@PROPERTY
def test_any_grouping_into_postings_agrees_within_a_fen(amounts, data):
    groups, rest = [], list(amounts)
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        groups.append(sum(rest[:size], ZERO))
        rest = rest[size:]
    one_by_one, residue = settle_all(amounts)
    grouped, grouped_residue = settle_all(groups)
    assert sum(one_by_one, ZERO) + residue == sum(grouped, ZERO) + grouped_residue
    assert abs(sum(one_by_one, ZERO) - sum(grouped, ZERO)) <= FEN


@given(small_amounts | exact_amounts)
@PROPERTY
def test_a_charge_and_its_mirror_image_round_alike(exact):
    amount, rest = settle(exact, ZERO)
    assert settle(-exact, ZERO) == (-amount, -rest)
