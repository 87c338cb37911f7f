"""Time controls and tariff tables as data, and as the bytes of meters."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.prepay_meter import plans
from odoo.addons.prepay_meter.collector import parameters
from odoo.addons.prepay_meter.collector.config import Control

DORM = "mon-thu,sun 05:50 on 23:00 off\nfri 05:50 on"
MONDAY = datetime(2026, 11, 23)

clocks = st.builds(
    lambda minutes: f"{minutes // 60:02d}:{minutes % 60:02d}", st.integers(0, 24 * 60 - 1)
)


@st.composite
def time_controls(draw):
    days = draw(st.permutations(range(7)))
    cut = draw(st.integers(1, 7))
    groups = [
        {
            "days": list(part),
            "times": [[at, draw(st.sampled_from(["on", "off"]))] for at in sorted(times)],
        }
        for part in (days[:cut], days[cut:])
        if part
        for times in [draw(st.sets(clocks, min_size=1, max_size=8))]
    ]
    groups[0]["times"][0][1] = "on"
    groups[-1]["times"][-1][1] = "off"
    states = {state for group in groups for _at, state in group["times"]}
    if states != {"on", "off"}:
        groups[0]["times"] = [["01:00", "on"], ["02:00", "off"]]
    return plans.check_time_control(groups)


@st.composite
def tariffs(draw):
    times = ["00:00", *sorted(draw(st.sets(clocks, max_size=13)) - {"00:00"})]
    rates: list[int] = []
    for _time in times:
        rates.append(draw(st.sampled_from([r for r in plans.RATES if r != (rates or [0])[-1]])))
    return plans.check_tariff([list(pair) for pair in zip(times, rates)])


@given(time_controls(), st.booleans())
def test_plain_form_of_a_time_control_reads_back(document, chinese):
    assert plans.parse("time_control", plans.write("time_control", document, chinese)) == document


@given(tariffs(), st.booleans())
def test_plain_form_of_a_tariff_reads_back(document, chinese):
    assert plans.parse("tariff", plans.write("tariff", document, chinese)) == document


def test_chinese_words_say_the_same():
    chinese = plans.parse("time_control", "工作日 05：50 开，23：00 关\n休息日 7:00 开")
    assert chinese == plans.parse("time_control", "workday 05:50 on 23:00 off\nrestday 07:00 on")
    assert plans.parse("tariff", "00:00 谷 07:00 平，08:00 峰") == [
        ["00:00", 4],
        ["07:00", 3],
        ["08:00", 2],
    ]


@pytest.mark.parametrize(
    ("kind", "text", "problem", "word"),
    [
        ("time_control", "workday 25:00 on 23:00 off", "time", "25:00"),
        ("time_control", "workday 05:50 on 24:00 off", "time", "24:00"),
        ("time_control", "05:50 on", "day", "05:50"),
        ("time_control", "noday 05:50 on", "day", "noday"),
        ("time_control", "mon 05:50 on\nevery 23:00 off", "day_twice", "mon"),
        ("time_control", "mon 05:50 open", "state", "open"),
        ("time_control", "mon 05:50", "state", "05:50"),
        ("time_control", "mon 05:50 on 05:40 off", "order", "05:40"),
        ("time_control", "mon 05:50 on", "one_state", ""),
        ("time_control", "mon " + " ".join(f"0{h}:00 on" for h in range(9)), "too_many", "8"),
        ("tariff", "", "empty", ""),
        ("tariff", "01:00 peak", "first", ""),
        ("tariff", "00:00 rush", "rate", "rush"),
        ("tariff", "00:00 peak 07:00 peak", "neighbours", "07:00"),
    ],
)  # fmt: skip
def test_wrong_plans_name_the_word(kind, text, problem, word):
    with pytest.raises(plans.PlanError) as caught:
        plans.parse(kind, text)
    assert caught.value.problem == problem
    assert word in str(caught.value)


@pytest.mark.parametrize("document", [None, 5, [5], [{"days": [0]}], [{"days": [7], "times": []}],
                                      [{"days": 1, "times": []}], [{"days": [0], "times": [["x"]]}]])  # fmt: skip
def test_documents_of_another_shape_are_refused(document):
    with pytest.raises(plans.PlanError):
        plans.check_time_control(document)


@pytest.mark.parametrize(
    ("day", "clock", "state", "since"),
    [
        (0, "05:49", "off", (-1, "23:00")),
        (0, "05:50", "on", (0, "05:50")),
        (0, "22:59", "on", (0, "05:50")),
        (0, "23:00", "off", (0, "23:00")),
        (4, "23:30", "on", (4, "05:50")),
        (5, "23:30", "on", (4, "05:50")),  # Saturday has no times: Friday's holds
        (6, "03:00", "on", (4, "05:50")),
    ],
)
def test_what_was_switched_last_holds(day, clock, state, since):
    def moment(offset, text):
        hour, minute = map(int, text.split(":"))
        return MONDAY + timedelta(days=offset, hours=hour, minutes=minute)

    document = plans.parse("time_control", DORM)
    assert plans.state_at(document, moment(day, clock)) == (state, moment(*since))


def test_no_time_control_wants_nothing():
    assert plans.parse("time_control", " \n") == []
    assert plans.state_at([], MONDAY) is None


def control(encoding, size=0, scale="1", **values):
    return Control("0x0000", (), size, encoding, Decimal(scale), **values)


@given(time_controls())
def test_time_control_survives_the_meter(document):
    plan = control("day_plan", 26)
    try:
        data = parameters.encode(plan, document)
    except ValueError:
        days = [day for group in document for day in group["days"]]
        midnight_off = any(["00:00", "off"] in group["times"] for group in document)
        assert len(days) < 7 or midnight_off
        return
    assert len(data) == 52
    assert parameters.decode(plan, data) == document


@given(tariffs(), st.sampled_from(["slots_hm", "slots_mh"]))
def test_tariff_survives_the_meter(document, encoding):
    table = control(encoding, 21)
    data = parameters.encode(table, document)
    assert len(data) == 42
    assert parameters.decode(table, data) == document


def test_slot_orders_differ():
    document = [["00:00", 4], ["07:30", 2]]
    assert parameters.encode(control("slots_hm", 3), document).hex() == "0400000 2071e".replace(
        " ", ""
    )
    assert parameters.encode(control("slots_mh", 3), document).hex() == "040000021e07"


@pytest.mark.parametrize(
    ("given_control", "value", "data"),
    [
        (control("u16", 1), 3000, "0bb8"),
        (control("u32", 2), 2000, "000007d0"),
        (control("u32", 2, word_order="low"), 2000, "07d00000"),
        (control("bcd", 4), 2000, "00200000"),
        (control("bcd", 3, "0.1"), 3000, "000003"),
        (control("u16", 1, "100"), 3000, "001e"),
        (control("clock_binary", 4), datetime(2026, 11, 23, 7, 8, 9), "0908070117 0b001a"),
        (control("clock_bcd"), datetime(2026, 11, 23, 7, 8, 9), "01231126 090807"),
    ],
)  # fmt: skip
def test_values_as_bytes(given_control, value, data):
    data = bytes.fromhex(data)
    assert parameters.encode(given_control, value) == data
    assert parameters.decode(given_control, data) == value


def test_a_value_between_the_steps_of_a_meter_is_refused():
    with pytest.raises(ValueError, match="step"):
        parameters.encode(control("u16", 1, "100"), 3050)
    with pytest.raises(ValueError, match="fit"):
        parameters.encode(control("u16", 1), 70000)
