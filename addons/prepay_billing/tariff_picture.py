"""Pictures of a price for people: the hours of a day in colours, and what a new price changes."""

from markupsafe import Markup

from .engine.calendar import DAY_TYPES
from .engine.tariff import MINUTES, RATES

#: Warm is dear, cold is cheap; readable with white and, by lightness, without colour.
_COLOURS = {
    "sharp": "#a61b29",
    "peak": "#d9541e",
    "flat": "#2f74b5",
    "valley": "#23835a",
    "deep": "#14524a",
}

_SEGMENT = Markup(
    '<span title="%s" style="width:%.4f%%;background:%s;color:#fff;overflow:hidden;white-space:nowrap;'
    'text-align:center;font-size:.75rem;line-height:1.75rem;border-right:1px solid #fff">%s</span>'
)
_BAR = Markup(
    '<div style="display:flex;align-items:center;margin-bottom:.25rem">'
    '<span style="width:10rem;flex:none">%s</span>'
    '<span role="img" aria-label="%s" style="display:flex;flex:1;height:1.75rem">%s</span></div>'
)
_KEY = Markup(
    '<span style="margin-right:1rem;white-space:nowrap">'
    '<span style="display:inline-block;width:.8rem;height:.8rem;background:%s;margin-right:.3rem"></span>%s</span>'
)


def days(version):
    """A bar of 24 hours for each season and kind of day; nothing where the whole day has one price."""
    if not version.season_ids:
        return False
    labels = _labels(version, "prepay.tariff.period", "rate")
    kinds = _labels(version, "prepay.calendar.day", "day_type")
    parts, used = [], set()
    for season in _seasons(version):
        since = f"{int(season.month or 1)}-{season.day}"
        title = version.env._("%(season)s, from %(day)s", season=season.name or "", day=since)
        bars = [
            (kinds[kind], segments)
            for kind, segments in ((kind, season._segments(kind)) for kind in DAY_TYPES)
            if segments
        ]
        # Kinds of days with the same hours share a bar.
        merged = {}
        for name, segments in bars:
            merged.setdefault(tuple(segments), []).append(name)
            used |= {rate for _start, _end, rate in segments}
        rows = Markup("").join(
            _bar(", ".join(names), segments, labels) for segments, names in merged.items()
        )
        parts.append(Markup("<h5>%s</h5>%s") % (title, rows))
    parts.append(_axis())
    keys = Markup("").join(_KEY % (_COLOURS[rate], labels[rate]) for rate in RATES if rate in used)
    return Markup('<div class="o_prepay_day">%s<div style="margin-left:10rem">%s</div></div>') % (
        Markup("").join(parts),
        keys,
    )


def changes(before, after):
    """A table of what differs between two prices, or a sentence that nothing does."""
    old, new = describe(before), describe(after)
    rows = [
        (name, old.get(name, "–"), new.get(name, "–"))
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]
    env = after.env
    if not rows:
        return Markup('<p class="text-muted">%s</p>') % env._("The same as the price before.")
    head = Markup("<tr><th></th><th>%s</th><th>%s</th></tr>") % (env._("Before"), env._("New"))
    body = Markup("").join(
        Markup("<tr><td>%s</td><td>%s</td><td><b>%s</b></td></tr>") % row for row in rows
    )
    return Markup('<table class="table table-sm">%s%s</table>') % (head, body)


def describe(version):
    """A price in words: dict of what it is about -> what it says, in the user's language."""
    env = version.env
    unit = "m³" if version.medium == "water" else "kWh"
    labels = _labels(version, "prepay.tariff.period", "rate")
    texts = {}
    lines = version.price_ids.sorted("sequence")
    if not lines:
        texts[env._("Price")] = f"{number(version.price)} / {unit}"
    for position, line in enumerate(lines, 1):
        for rate in RATES:
            if line[rate] or (rate == "flat" and not any(line[each] for each in RATES)):
                name = env._("Tier %(tier)s, %(rate)s", tier=position, rate=labels[rate])
                texts[name] = f"{number(line[rate])} / {unit}"
        texts[env._("Tier %s up to", position)] = (
            f"{number(line.upto)} {unit}" if line.upto else env._("without limit")
        )
    if len(lines) > 1:
        periods = dict(version._fields["tier_period"]._description_selection(version.env))
        texts[env._("Tiers begin anew")] = periods[version.tier_period]
        texts[env._("Limits per head")] = env._("Yes") if version.tier_per_head else env._("No")
    kinds = _labels(version, "prepay.calendar.day", "day_type")
    for season in _seasons(version):
        for kind in DAY_TYPES:
            name = f"{season.name} ({int(season.month or 1)}-{season.day}), {kinds[kind]}"
            texts[name] = ", ".join(
                f"{_clock(start)} {labels[rate]}" for start, _end, rate in season._segments(kind)
            )
    if version.service_price:
        texts[env._("Service fee per unit")] = f"{number(version.service_price)} / {unit}"
    if version.service_percent:
        texts[env._("Service fee")] = f"{number(version.service_percent)} %"
    for fee in version.fee_ids:
        per = dict(fee._fields["period"]._description_selection(version.env))
        texts[fee.code or ""] = f"{number(fee.amount)} {per.get(fee.period, '')}"
    if version.purchase_price:
        texts[env._("Purchase price")] = f"{number(version.purchase_price)} / {unit}"
    if version.ceiling:
        texts[env._("Ceiling")] = f"{number(version.ceiling)} / {unit}"
    return texts


def number(value):
    """A figure without idle zeros, with two decimals at least."""
    whole, _dot, decimals = f"{value:.6f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def _labels(version, model, field):
    return dict(version.env[model]._fields[field]._description_selection(version.env))


def _seasons(version):
    return version.season_ids.sorted(lambda season: (int(season.month or 0), season.day))


def _bar(name, segments, labels):
    pieces, at, spoken = [], 0, []
    for start, end, rate in segments:
        if start > at:
            pieces.append(_SEGMENT % ("", (start - at) / MINUTES * 100, "transparent", ""))
        text = f"{_clock(start)}–{_clock(end)} {labels[rate]}"
        pieces.append(
            _SEGMENT
            % (
                text,
                (end - start) / MINUTES * 100,
                _COLOURS[rate],
                labels[rate] if end - start >= 90 else "",
            )
        )
        spoken.append(text)
        at = end
    return _BAR % (name, f"{name}: {', '.join(spoken)}", Markup("").join(pieces))


def _axis():
    marks = Markup("").join(
        Markup('<span style="width:12.5%%;font-size:.75rem" class="text-muted">%s</span>')
        % f"{hour}:00"
        for hour in range(0, 24, 3)
    )
    return Markup('<div style="display:flex;margin-left:10rem">%s</div>') % marks


def _clock(minute):
    return f"{minute // 60}:{minute % 60:02}"
