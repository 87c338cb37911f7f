"""Tariffs as plain data, and what a version must fulfil to be rated.

Prices are CNY as `Decimal` for one `unit` of base units (1000 Wh: per kWh; 1000 L: per m3).
Clock times are minutes of the day of the site's zone.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from .calendar import DAY_TYPES
from .errors import RatingError
from .moments import problem_of

FLAT = "flat"
RATES = ("sharp", "peak", "flat", "valley", "deep")  # 尖 峰 平 谷 深谷
DAY, MONTH, YEAR = "day", "month", "year"

PRICE_LIMIT = Decimal(1_000_000)
PRICE_DECIMALS = 12
PERCENT_LIMIT = Decimal(100)
# Of percents and fees. A monthly fee is spread over its days in these decimals.
FEE_DECIMALS = 6
QUANTITY_LIMIT = 10**18
MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Period:
    """From this minute of the local day (0..1439) the rate holds, until the next period."""

    start: int
    rate: str


@dataclass(frozen=True, slots=True)
class DayPlan:
    """Rates of the days of these types; the first period begins at 0."""

    day_types: frozenset[str]
    periods: tuple[Period, ...]


@dataclass(frozen=True, slots=True)
class Season:
    """Day plans from this day of each year until the next season begins, over New Year too."""

    month: int
    day: int
    plans: tuple[DayPlan, ...]


@dataclass(frozen=True, slots=True)
class Tier:
    """Prices by rate up to a cumulative limit (base units in the tier period), the last without."""

    upto: int | None
    prices: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Fee:
    """Fixed amount in CNY for each local "day" or "month"."""

    code: str
    amount: Decimal
    period: str


@dataclass(frozen=True, slots=True)
class TariffVersion:
    """What a tariff costs from an aware moment until its next version begins.

    seasons: empty: the whole day is `flat`.
    tier_period: "month" or "year" of the local calendar, at whose start the tiers begin anew.
    tier_per_head: limits are multiplied by the number of heads.
    service_price: CNY per unit; service_percent: percent of the usage amount. Both are charged
    on lines of their own, beside the usage.
    ceiling: legal limit of the price, CNY per unit; not applied here.
    """

    id: int
    valid_from: datetime
    tiers: tuple[Tier, ...]
    unit: int = 1000
    seasons: tuple[Season, ...] = ()
    tier_period: str = MONTH
    tier_per_head: bool = False
    service_price: Decimal = Decimal(0)
    service_percent: Decimal = Decimal(0)
    fees: tuple[Fee, ...] = ()
    ceiling: Decimal | None = None


def one_price(price: Decimal) -> tuple[Tier, ...]:
    """Tiers of a tariff with one price."""
    return (Tier(None, {FLAT: price}),)


def check_version(version: TariffVersion) -> None:
    """Refuse a version that cannot be rated, or that nobody can mean.

    Raises RatingError; `values` has "version" and what else a message can name:

    moments   "naive_time", "time_range" (at)
    prices    "price_invalid" (no finite Decimal, absurd, too many decimals), "price_negative"
              (price, tier, rate), "unit_invalid" (unit)
    service   "service_invalid" (price), "percent_invalid" (percent)
    fees      "fee_invalid" (fee, amount), "fee_period" (fee, period), "fee_duplicate" (fee)
    tiers     "tiers_missing", "tier_limit" (no positive integer; tier, upto), "tiers_reversed"
              (tier, upto, previous), "tier_last" (the last has a limit; tier, upto),
              "tier_period" (period)
    rates     "rate_unknown" (rate), "rate_missing" (a rate without price; tier, rate)
    days      "season_date" (month, day), "season_duplicate" (month, day), "day_type_unknown",
              "day_type_missing", "day_type_duplicate" (month, day, day_type), "periods_missing",
              "period_invalid", "period_gap" (the first does not begin at 0), "period_order"
              (not after the one before) (month, day, start)
    """
    problem = problem_of(version.valid_from)
    if problem:
        _refuse(version, problem, f"no usable moment: {version.valid_from}", at=version.valid_from)
    unit = version.unit
    if not _is_int(unit) or unit < 1 or 10**PRICE_DECIMALS % unit:
        # With other factors than 2 and 5 most quantities would give an endless decimal.
        _refuse(version, "unit_invalid", f"unit {unit!r} does not divide a power of ten", unit=unit)
    rates = {FLAT} if not version.seasons else set(_checked_rates(version))
    _check_tiers(version, rates)
    _check_service(version)
    _check_fees(version)


def check_versions(versions: Iterable[TariffVersion]) -> None:
    """Refuse versions of one tariff that cannot follow each other, or one that is wrong alone.

    Raises RatingError of `check_version`, or "version_duplicate" (versions, valid_from).
    """
    known: dict[datetime, TariffVersion] = {}
    for version in versions:
        check_version(version)
        # Aware moments of any zone are equal, and hash alike, when they are the same moment.
        other = known.setdefault(version.valid_from, version)
        if other is not version:
            pair = other.id, version.id
            raise RatingError(
                "version_duplicate",
                f"tariff versions {pair} begin at the same moment {version.valid_from}",
                versions=pair,
                valid_from=version.valid_from,
            )


def _refuse(version: TariffVersion, code: str, detail: str, **values: object) -> None:
    raise RatingError(
        code, f"tariff version {version.id}: {detail}", version=version.id, **values
    ) from None


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _amount_problem(amount: object, limit: Decimal, decimals: int) -> str | None:
    """What is wrong with a price, percent or fee, in words; negative ones are for the caller."""
    if not isinstance(amount, Decimal) or not amount.is_finite():
        return f"{amount!r} is no finite Decimal"
    if amount > limit:
        return f"{amount} is above {limit}"
    if -amount.as_tuple().exponent > decimals:
        return f"{amount} has more than {decimals} decimals"
    return None


def _check_tiers(version: TariffVersion, rates: set[str]) -> None:
    tiers = version.tiers
    if not tiers:
        _refuse(version, "tiers_missing", "no tier, no price")
    if version.tier_period not in (MONTH, YEAR):
        _refuse(
            version,
            "tier_period",
            f"tiers begin anew each month or year, not {version.tier_period!r}",
            period=version.tier_period,
        )
    rates = rates.union(*(tier.prices for tier in tiers))
    previous = 0
    for number, tier in enumerate(tiers, 1):
        upto = tier.upto
        if number == len(tiers):
            if upto is not None:
                _refuse(
                    version, "tier_last", f"the last tier ends at {upto}", tier=number, upto=upto
                )
        elif not _is_int(upto) or not 0 < upto < QUANTITY_LIMIT:
            _refuse(
                version,
                "tier_limit",
                f"limit of tier {number} is no positive integer: {upto!r}",
                tier=number,
                upto=upto,
            )
        elif upto <= previous:
            _refuse(
                version,
                "tiers_reversed",
                f"tier {number} ends at {upto}, not above {previous}",
                tier=number,
                upto=upto,
                previous=previous,
            )
        else:
            previous = upto
        _check_prices(version, number, tier.prices, rates)


def _check_prices(
    version: TariffVersion, number: int, prices: Mapping[str, Decimal], rates: set[str]
) -> None:
    for name in sorted(rates):
        if name not in RATES:
            _refuse(version, "rate_unknown", f"no such rate: {name!r}", rate=name)
        if name not in prices:
            _refuse(
                version,
                "rate_missing",
                f"tier {number} has no price for {name}",
                tier=number,
                rate=name,
            )
        price = prices[name]
        facts = {"price": price, "tier": number, "rate": name}
        problem = _amount_problem(price, PRICE_LIMIT, PRICE_DECIMALS)
        if problem:
            _refuse(version, "price_invalid", f"price {problem}", **facts)
        if price < 0:
            _refuse(version, "price_negative", f"price {price} < 0", **facts)


def _check_service(version: TariffVersion) -> None:
    price, percent = version.service_price, version.service_percent
    problem = _amount_problem(price, PRICE_LIMIT, PRICE_DECIMALS)
    if problem or price < 0:
        _refuse(
            version, "service_invalid", f"service price {problem or f'{price} < 0'}", price=price
        )
    problem = _amount_problem(percent, PERCENT_LIMIT, FEE_DECIMALS)
    if problem or percent < 0:
        _refuse(
            version,
            "percent_invalid",
            f"service percent {problem or f'{percent} < 0'}",
            percent=percent,
        )


def _check_fees(version: TariffVersion) -> None:
    codes = set()
    for fee in version.fees:
        problem = _amount_problem(fee.amount, PRICE_LIMIT, FEE_DECIMALS)
        if problem or fee.amount < 0:
            _refuse(
                version,
                "fee_invalid",
                f"fee {fee.code}: {problem or f'{fee.amount} < 0'}",
                fee=fee.code,
                amount=fee.amount,
            )
        if fee.period not in (DAY, MONTH):
            _refuse(
                version,
                "fee_period",
                f"fee {fee.code} is due each day or month, not {fee.period!r}",
                fee=fee.code,
                period=fee.period,
            )
        if fee.code in codes:
            _refuse(version, "fee_duplicate", f"fee {fee.code} is there twice", fee=fee.code)
        codes.add(fee.code)


def _checked_rates(version: TariffVersion) -> Iterator[str]:
    """The rates of all seasons, once their dates, day types and periods are right."""
    dates = set()
    for season in version.seasons:
        where = {"month": season.month, "day": season.day}
        name = f"season from {season.month}-{season.day}"
        try:
            date(2000, season.month, season.day)  # a leap year
        except (TypeError, ValueError):
            _refuse(version, "season_date", f"{name}: no such day", **where)
        if (season.month, season.day) in dates:
            _refuse(version, "season_duplicate", f"{name}: there twice", **where)
        dates.add((season.month, season.day))
        missing = set(DAY_TYPES)
        for plan in season.plans:
            for day_type in sorted(plan.day_types):
                if day_type not in DAY_TYPES:
                    code = "day_type_unknown"
                elif day_type not in missing:
                    code = "day_type_duplicate"
                else:
                    missing.remove(day_type)
                    continue
                _refuse(version, code, f"{name}: {day_type}", day_type=day_type, **where)
            _check_periods(version, plan, name, where)
            for period in plan.periods:
                yield period.rate
        for day_type in DAY_TYPES:
            if day_type in missing:
                _refuse(
                    version,
                    "day_type_missing",
                    f"{name}: no plan for {day_type}",
                    day_type=day_type,
                    **where,
                )


def _check_periods(version: TariffVersion, plan: DayPlan, name: str, where: dict) -> None:
    if not plan.periods:
        _refuse(version, "periods_missing", f"{name}: a day plan without periods", **where)
    previous = None
    for period in plan.periods:
        start = period.start
        if not _is_int(start) or not 0 <= start < MINUTES:
            code, detail = "period_invalid", f"{start!r} is no minute of a day"
        elif previous is None and start:
            code, detail = "period_gap", f"the first period begins at minute {start}, not at 0"
        elif previous is not None and start <= previous:
            code, detail = "period_order", f"minute {start} is not after {previous}"
        else:
            previous = start
            continue
        _refuse(version, code, f"{name}: {detail}", start=start, **where)
