import time
from collections import namedtuple
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

from odoo import models

from ..engine import supply
from ..engine.supply_types import Evidence
from .prepay_account import _aware

#: Wall clock and a clock that nobody can set or stop, as they were at the last look.
_last_look = [None]

Money = namedtuple("Money", "available overdraft days_left last_topup")


class PrepayAccount(models.Model):
    """Evidence about the supply of accounts, gathered for all of them by a few statements."""

    _inherit = "prepay.account"  # pylint: disable=consider-merging-classes-inherited

    def _payment_in_flight(self):
        """Accounts with a payment that may still arrive: they are not cut. Extended by payment addons."""
        return self.browse()

    def _policies(self):
        """The policy of each account: its own, of its room, of the room's type, of the places
        above from the nearest up, of the company.

        :return: {account id: policy id or None}
        """
        self.env.flush_all()
        self.env.cr.execute(
            """
            SELECT a.id, a.policy_id, l.policy_id, t.policy_id, l.parent_path, c.prepay_policy_id
              FROM prepay_account a
              JOIN prepay_location l ON l.id = a.location_id
              JOIN res_company c ON c.id = a.company_id
              LEFT JOIN prepay_room_type t ON t.id = l.room_type_id
             WHERE a.id = ANY(%s)
            """,
            [list(self.ids)],
        )
        rows = self.env.cr.fetchall()
        self.env.cr.execute("SELECT id, policy_id FROM prepay_location WHERE policy_id IS NOT NULL")
        of_place = dict(self.env.cr.fetchall())
        above = {
            path: next(
                (of_place[place] for place in reversed(_path(path)) if place in of_place), None
            )
            for path in {row[4] for row in rows}
        }
        return {
            account_id: account_policy
            or room_policy
            or type_policy
            or above[path]
            or company_policy
            for account_id, account_policy, room_policy, type_policy, path, company_policy in rows
        }

    def _engine_policies(self):
        """{account id: engine policy}, without accounts that no policy applies to."""
        by_account = self._policies()
        ids = {policy_id for policy_id in by_account.values() if policy_id}
        policies = {
            policy.id: policy._engine_policy()
            for policy in self.env["prepay.supply.policy"].sudo().browse(ids)
        }
        return {
            account_id: policies[policy_id]
            for account_id, policy_id in by_account.items()
            if policy_id
        }

    def _supply_money(self, policies):
        """What levels are made of, by account id.

        :param policies: {account id: engine policy}
        """
        ratios = [
            account_id
            for account_id, policy in policies.items()
            if policy.alarm1_percent or policy.alarm2_percent
        ]
        topups = {}
        if ratios:
            self.env.cr.execute(
                """
                SELECT DISTINCT ON (account_id) account_id, amount::text FROM prepay_topup
                 WHERE state = 'done' AND account_id = ANY(%s) ORDER BY account_id, id DESC
                """,
                [ratios],
            )
            topups = {row[0]: Decimal(row[1]) for row in self.env.cr.fetchall()}
        self.env.cr.execute(
            "SELECT id, daily_use::text FROM prepay_account WHERE daily_use > 0 AND id = ANY(%s)",
            [list(policies)],
        )
        daily = {row[0]: Decimal(row[1]) for row in self.env.cr.fetchall()}
        result = {}
        for account_id, (own, granted, accrued, overdraft) in self._wallets().items():
            money = own + granted - accrued
            use = daily.get(account_id)
            result[account_id] = Money(
                money + overdraft,
                overdraft,
                max(money, Decimal(0)) / use if use else None,
                topups.get(account_id),
            )
        return result

    def _decide(self, now=None, *, acting=False, money=None, policies=None, ahead=None):
        """What the policy says, by meter of these accounts; nothing is changed.

        :param now: aware time, for previews
        :param acting: leave out meters about which nothing can be decided but nothing
        :param ahead: preview: take it that meters keep reporting and commands end until then, and
            that the clock is as right then as it is now
        :return: {meter: Decision}
        """
        real = datetime.now(timezone.utc)
        now = ahead or now or real
        policies = self._engine_policies() if policies is None else policies
        money = self._supply_money(policies) if money is None else money
        rows = [row for row in self._supply_rows() if row.account_id in policies]
        if acting:
            rows = [
                row
                for row in rows
                if supply.may_act(
                    policies[row.account_id],
                    money[row.account_id].available,
                    held_off=_own_cut(row) or bool(row.essential_on),
                )
            ]
        if not rows:
            return {}
        meters = self.env["prepay.meter"].browse([row.meter_id for row in rows])
        facts = self._supply_facts(rows, now, policies)
        skew = self._clock_skew()
        decisions = {}
        for meter, row in zip(meters, rows):
            evidence = self._evidence(row, facts, now, skew, money[row.account_id], policies)
            if ahead:
                evidence = _as_of(evidence, real, row, policies[row.account_id])
            decisions[meter] = supply.decide(policies[row.account_id], evidence)
        return decisions

    def _supply_rows(self):
        """One row for each present meter of these accounts that are open."""
        self.env.flush_all()
        self.env.cr.execute(
            """
            SELECT a.id AS account_id, s.meter_id, s.rated_at, a.due_since, a.notice_at, a.location_id,
                   l.parent_path, l.tz, m.desired_relay, m.desired_cause, st.relay_reported,
                   m.medium, m.profile_id, m.essential_on, m.gateway_id,
                   m.is_protected AS meter_protected, m.protected_reason AS meter_reason,
                   a.is_protected, a.protected_reason, a.no_cut_until, a.no_cut_reason,
                   p.prepay_protected, p.prepay_protected_reason
              FROM prepay_account a
              JOIN prepay_account_meter s ON s.account_id = a.id AND s.end_at IS NULL
              JOIN prepay_meter m ON m.id = s.meter_id
              JOIN prepay_meter_state st ON st.id = m.state_id
              JOIN prepay_location l ON l.id = a.location_id
              JOIN res_partner p ON p.id = a.partner_id
             WHERE a.state = 'open' AND a.id = ANY(%s)
             ORDER BY a.id, s.id
            """,
            [list(self.ids)],
        )
        row_type = namedtuple("Row", [column.name for column in self.env.cr.description])
        return [row_type(*row) for row in self.env.cr.fetchall()]

    def _supply_facts(self, rows, now, policies):
        """Everything else that decisions about these rows need: a statement for each kind."""
        meter_ids = [row.meter_id for row in rows]
        zones = {row.tz: ZoneInfo(row.tz or "Asia/Shanghai") for row in rows}
        midnight = {tz: _midnight(now, zone) for tz, zone in zones.items()}
        midnights = [midnight[row.tz] for row in rows]
        self.env.cr.execute(
            "SELECT meter_id, count(*) FROM prepay_reading_hold "
            "WHERE state = 'held' AND meter_id = ANY(%s) GROUP BY 1",
            [meter_ids],
        )
        held = dict(self.env.cr.fetchall())
        self.env.cr.execute(
            """
            SELECT w.id, newest.state,
                   EXISTS (SELECT 1 FROM prepay_meter_command c
                            WHERE c.meter_id = w.id AND c.state IN ('queued', 'sent')),
                   (SELECT count(*) FROM prepay_meter_command c
                     WHERE c.meter_id = w.id AND c.sent_at >= w.midnight)
              FROM unnest(%s::int[], %s::timestamp[]) AS w(id, midnight)
              LEFT JOIN LATERAL (SELECT c.state FROM prepay_meter_command c WHERE c.meter_id = w.id
                                  ORDER BY c.epoch DESC LIMIT 1) newest ON true
            """,
            [meter_ids, midnights],
        )
        commands = {row[0]: row[1:] for row in self.env.cr.fetchall()}
        accounts = self.browse(dict.fromkeys(row.account_id for row in rows))
        profiles = {
            row.profile_id
            for row in rows
            if policies[row.account_id].essential_w and row.medium == "electricity"
        }
        parameters = self.env["prepay.meter.parameter"].sudo()
        return {
            "zones": zones,
            "held": held,
            "commands": commands,
            "in_flight": set(accounts._payment_in_flight().ids),
            "frozen": set(accounts._supply_frozen().ids),
            "days": accounts._supply_days(rows, now, zones),
            "weather": self.env["prepay.location"]._weather_flags(now),
            "can_limit": {
                profile.id
                for profile in self.env["prepay.meter.profile"].sudo().browse(profiles)
                if parameters._capability(profile, "overload") == "write"
            },
        }

    def _supply_frozen(self):
        """Accounts that cannot be paid into: they are not cut."""
        return self.filtered("is_frozen")

    def _supply_days(self, rows, now, zones):
        """{location id: (today is a holiday, a holiday is next)} in the place's own calendar."""
        places = {row.location_id: now.astimezone(zones[row.tz]).date() for row in rows}
        days, known = {}, {}
        for place in self.env["prepay.location"].sudo().browse(places):
            day = places[place.id]
            calendar, day_type = place._day_types()
            if (calendar, day) not in known:
                known[calendar, day] = (
                    day_type(day) == "holiday",
                    supply.before_holiday(day, day_type),
                )
            days[place.id] = known[calendar, day]
        return days

    def _evidence(self, row, facts, now, skew, money, policies):
        state, in_doubt, moved = facts["commands"][row.meter_id]
        own_cut = _own_cut(row)
        # The wish that still holds: a cut that expired is no longer wished.
        desired = row.desired_relay or None
        if desired == "open" and state in ("expired", "superseded"):
            # One that expired unproven may have moved the relay: money closes it.
            paid = money.available > policies[row.account_id].restore_above
            desired = "open" if own_cut and paid else None
        reason = self._protection(row, facts, now)
        flag = next(
            (facts["weather"][place] for place in _path(row.parent_path) if place in facts["weather"]),
            None,
        )  # fmt: skip
        holiday, holiday_next = facts["days"][row.location_id]
        return Evidence(
            now=now,
            tz=facts["zones"][row.tz],
            available=money.available,
            overdraft=money.overdraft,
            days_left=money.days_left,
            last_topup=money.last_topup,
            due_since=_aware(row.due_since),
            reading_at=_aware(row.rated_at),
            held_readings=facts["held"].get(row.meter_id, 0),
            payment_in_flight=row.account_id in facts["in_flight"],
            command_in_doubt=bool(in_doubt),
            protected=reason is not None,
            protected_reason=reason or "",
            notice_at=_aware(row.notice_at),
            relay=row.relay_reported or None,
            desired=desired,
            cut_by_policy=own_cut,
            operations_today=moved,
            clock_skew=skew,
            holiday=holiday,
            holiday_next=holiday_next,
            weather=flag is not None,
            weather_reason=flag or "",
            water=row.medium == "water",
            can_limit=row.profile_id in facts["can_limit"],
            limited=bool(row.essential_on),
        )

    def _protection(self, row, facts, now):
        """Why the meter, the account or the person is never cut, or None."""
        for protected, reason in (
            (row.meter_protected, row.meter_reason),
            (row.is_protected, row.protected_reason),
            (row.prepay_protected, row.prepay_protected_reason),
        ):
            if protected:
                return reason or ""
        if row.no_cut_until and _aware(row.no_cut_until) > now:
            return row.no_cut_reason or ""
        if row.account_id in facts["frozen"]:
            return self.env._("Account is frozen")
        return None

    def _clock_skew(self):
        """How wrong this machine's clock may be, the worse of two views.

        Against the database's clock, and against a clock that only counts: one that stood still
        or jumped since the last look shows there even when both stand on one machine.
        """
        self.env.cr.execute("SELECT clock_timestamp()")
        now, counted = datetime.now(timezone.utc), time.clock_gettime(time.CLOCK_BOOTTIME)
        skews = [now - self.env.cr.fetchone()[0]]
        if _last_look[0]:
            before, counted_before = _last_look[0]
            skews.append(now - before - timedelta(seconds=counted - counted_before))
        _last_look[0] = (now, counted)
        return max(skews, key=abs)


def _own_cut(row):
    return row.desired_relay == "open" and row.desired_cause == "arrears"


def _path(parent_path):
    """Ids of a place and those above it, the topmost first."""
    return [int(item) for item in (parent_path or "").split("/") if item]


def _midnight(now, zone):
    """Begin of the local day, as naive UTC."""
    local = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return local.astimezone(timezone.utc).replace(tzinfo=None)


def _as_of(evidence, real, row, policy):
    """Evidence as it will be at its `now` when nothing but time goes on."""
    ahead = evidence.now - real
    due = evidence.available is not None and evidence.available <= policy.cut_at
    return replace(
        evidence,
        reading_at=evidence.reading_at and evidence.reading_at + ahead,
        due_since=evidence.due_since or (min(real, evidence.now) if due else None),
        command_in_doubt=evidence.command_in_doubt and ahead < timedelta(minutes=10),
    )
