"""What is lost (失联): silent for longer than its company allows, or never heard of.

Collectors renew ``last_seen`` with each answer. There is no index on it on purpose: an indexed
column would make each of these updates rewrite the indexes of the table.
"""

from datetime import timedelta

from babel.dates import format_timedelta
from odoo import fields
from odoo.fields import Domain
from odoo.tools.misc import babel_locale_parse

CONTACT = [
    ("online", "Online"),
    ("silent", "Not Answering"),
    ("lost", "Lost"),
    ("never", "Never Seen"),
]


def limit(company, kind):
    """How long a "meter" or "gateway" of the company may be silent."""
    if kind == "meter":
        return timedelta(hours=company.prepay_meter_lost_hours)
    return timedelta(minutes=company.prepay_gateway_lost_minutes)


def contact(record, kind):
    """A key of :data:`CONTACT` for a meter or gateway."""
    if not record.last_seen:
        return "never"
    if record.last_seen < fields.Datetime.now() - limit(record.company_id.sudo(), kind):
        return "lost"
    return "online" if record.online else "silent"


def domain(env, kind, lost):
    """Condition on ``last_seen`` for what is lost, or for what is not."""
    parts = []
    for company in env["res.company"].sudo().search([]):
        since = fields.Datetime.now() - limit(company, kind)
        seen = Domain("last_seen", ">=", since)
        if lost:
            seen = Domain("last_seen", "=", False) | Domain("last_seen", "<", since)
        parts.append(Domain("company_id", "=", company.id) & seen)
    return Domain.OR(parts)


def duration(env, delta):
    """Length of time in two steps in the user's language, such as "2 days 3 hours"."""
    locale = babel_locale_parse(env.lang)
    minutes = max(int(delta.total_seconds()) // 60, 0)
    days, minutes = divmod(minutes, 24 * 60)
    hours, minutes = divmod(minutes, 60)
    parts = [timedelta(days=days), timedelta(hours=hours), timedelta(minutes=minutes)]
    granularities = ("day", "hour", "minute")
    # threshold: twenty-six days stay days and do not become "one month".
    texts = [
        format_timedelta(part, granularity=name, threshold=1000, locale=locale)
        for part, name in zip(parts, granularities)
        if part
    ]
    zero = format_timedelta(timedelta(), granularity="minute", locale=locale)
    return " ".join(texts[:2]) or zero
