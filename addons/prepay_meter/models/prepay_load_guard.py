from datetime import timedelta
from zoneinfo import ZoneInfo

from odoo import api, fields, models

from ..plans import state_at

#: Causes of this guard; a relay opened for another one is never closed here.
OWN = ("overload", "schedule")
#: A relay moves at most so often in a day of its place (S-10).
RELAY_MOVES = 6
#: Evidence of an overload older than this cuts nothing.
FRESH = timedelta(minutes=10)
#: Causes of people: what they decided within a period of the time control holds until its end.
BY_HAND = ("operator", "safety", "test", "closing")
#: Closings by time control are spread over so many seconds (S-08).
SPREAD = 300
#: States in which a command may have moved the relay.
MOVED = ("sent", "confirmed", "unproven")


class PrepayLoadGuard(models.AbstractModel):
    """What the platform does for meters that cannot: cut an overload, keep hours of supply.

    It only states wishes with :meth:`prepay.meter._request_relay`, never touches a protected meter,
    never closes a relay that was opened for another cause, and moves no relay more than six times a
    day; then it stays open and a person is asked.
    """

    _name = "prepay.load.guard"
    _description = "Load Guard"

    @api.model
    def _cron_guard(self):
        """Act on overloads that the collector saw, and on the hours of time controls."""
        now = fields.Datetime.now()
        self._cut_overloads(now)
        self._recover(now)
        self._keep_hours(now)

    # overload and malicious load

    @api.model
    def _cut_overloads(self, now):
        """Open the relays of meters with a fresh overload, where the company wants that."""
        kinds = {"overload": "overload", "malicious_load": "malicious"}
        events = self.env["prepay.meter.event"].search(
            [
                ("kind", "in", list(kinds)),
                ("cleared_at", "=", False),
                ("last_at", ">=", now - FRESH),
                ("meter_id.active", "=", True),
                ("company_id.prepay_load_guard", "=", "cut"),
            ]
        )
        for event in events:
            meter = event.meter_id
            rule = meter.parameter_ids.filtered(
                lambda row, kind=kinds[event.kind]: row.kind == kind
            )
            if not rule or rule.state != "platform" or not rule.desired:
                continue
            newest = self._newest(meter)
            if newest and newest.requested_at >= event.last_at:
                continue  # seen before the relay last moved
            if meter.is_protected or meter._live_desired() == "open":
                continue
            if meter.relay_reported == "open":
                continue
            if self._moves_today(meter, now) >= RELAY_MOVES:
                self._ask_person(
                    meter, rule, self.env._("Overload: the relay has moved six times today.")
                )
                continue
            reason = self.env._("Overload: %s", event.detail or "")
            if event.kind == "malicious_load":
                reason = self.env._("Malicious load: %s", event.detail or "")
            meter._request_relay("open", "overload", reason)

    @api.model
    def _recover(self, now):
        """Close again what an overload opened, after the pause of the company and so often an hour."""
        meters = self.env["prepay.meter"].search(
            [("desired_relay", "=", "open"), ("desired_cause", "=", "overload")]
        )
        for meter in meters:
            company = meter.company_id
            newest = self._newest(meter)
            if newest.state not in MOVED and meter.relay_reported != "open":
                continue  # the cut was never carried out
            pause = timedelta(minutes=max(company.prepay_recovery_minutes, 1))
            if (newest.confirmed_at or newest.sent_at or newest.requested_at) + pause > now:
                continue
            if self._wanted(meter, now) == "off":
                continue  # the time control closes it
            rule = meter.parameter_ids.filtered(lambda row: row.kind in ("overload", "malicious"))
            recoveries = self.env["prepay.meter.command"].search_count(
                [
                    ("meter_id", "=", meter.id),
                    ("target", "=", "closed"),
                    ("cause", "=", "overload"),
                    ("requested_at", ">", now - timedelta(hours=1)),
                ]
            )
            limit = company.prepay_recoveries_per_hour
            if recoveries >= limit:
                self._ask_person(
                    meter,
                    rule[:1],
                    self.env._("Overload again after %s recoveries in one hour.", limit),
                )
            elif self._moves_today(meter, now) >= RELAY_MOVES:
                self._ask_person(
                    meter, rule[:1], self.env._("Overload: the relay has moved six times today.")
                )
            else:
                meter._request_relay(
                    "closed",
                    "overload",
                    self.env._(
                        "Recovery %(count)s of %(limit)s after an overload",
                        count=recoveries + 1,
                        limit=limit,
                    ),
                )

    # time control

    @api.model
    def _keep_hours(self, now):
        """Open and close relays by the time controls that the meters cannot keep themselves."""
        rules = self.env["prepay.meter.parameter"].search(
            [
                ("kind", "=", "time_control"),
                ("state", "=", "platform"),
                ("meter_id.active", "=", True),
                ("meter_id.gateway_id", "!=", False),
            ]
        )
        for rule in rules:
            meter = rule.meter_id
            wanted, since = self._plan_at(rule, meter, now)
            if wanted == "off" and not meter.is_protected:
                self._switch_off(meter, rule, since, now)
            elif meter.desired_relay == "open" and meter.desired_cause == "schedule":
                newest = self._newest(meter)
                if newest.state not in MOVED and meter.relay_reported != "open":
                    continue
                if self._moves_today(meter, now) >= RELAY_MOVES:
                    self._ask_person(
                        meter,
                        rule,
                        self.env._("Time control: the relay has moved six times today."),
                    )
                    continue
                commands = meter._request_relay(
                    "closed", "schedule", self.env._("Time control: supply on")
                )
                commands.not_before = now + timedelta(seconds=meter.id * 7919 % SPREAD)

    @api.model
    def _switch_off(self, meter, rule, since, now):
        if meter._live_desired() == "open":
            return
        # An older wish that the rule was made after is no objection; a person's newer one is.
        newest = self._newest(meter)
        if newest and newest.cause in BY_HAND and newest.requested_at >= since:
            return
        if meter.relay_reported == "open":
            return
        if self._moves_today(meter, now) >= RELAY_MOVES:
            self._ask_person(
                meter, rule, self.env._("Time control: the relay has moved six times today.")
            )
            return
        meter._request_relay("open", "schedule", self.env._("Time control: supply off"))

    @api.model
    def _plan_at(self, rule, meter, now):
        """What a time control wants now, and since when (naive UTC); None without any times."""
        zone = ZoneInfo(meter.location_id.tz or "Asia/Shanghai")
        utc = ZoneInfo("UTC")
        local = now.replace(tzinfo=utc).astimezone(zone).replace(tzinfo=None)
        found = state_at(rule.desired_document or [], local)
        if found is None:
            return None, None
        wanted, since = found
        return wanted, since.replace(tzinfo=zone).astimezone(utc).replace(tzinfo=None)

    @api.model
    def _wanted(self, meter, now):
        rule = meter.parameter_ids.filtered(
            lambda row: row.kind == "time_control" and row.state == "platform"
        )
        return self._plan_at(rule, meter, now)[0] if rule else None

    # limits

    @api.model
    def _newest(self, meter):
        return self.env["prepay.meter.command"].search(
            [("meter_id", "=", meter.id)], order="epoch desc", limit=1
        )

    @api.model
    def _moves_today(self, meter, now):
        """Relay commands of the day of the place that were, or are about to be, carried out."""
        zone = ZoneInfo(meter.location_id.tz or "Asia/Shanghai")
        utc = ZoneInfo("UTC")
        local = now.replace(tzinfo=utc).astimezone(zone)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        return self.env["prepay.meter.command"].search_count(
            [
                ("meter_id", "=", meter.id),
                ("requested_at", ">=", midnight.astimezone(utc).replace(tzinfo=None)),
                ("state", "in", ("queued", *MOVED)),
            ]
        )

    @api.model
    def _ask_person(self, meter, rule, summary):
        """One activity for whoever set the rule; not another one while it is open."""
        todo = self.env.ref("mail.mail_activity_data_todo")
        if meter.activity_ids.filtered(
            lambda activity: activity.activity_type_id == todo and activity.summary == summary
        ):
            return
        user = rule.desired_by_id or self.env.user
        meter.activity_schedule(
            "mail.mail_activity_data_todo",
            summary=summary,
            note=self.env._("The supply stays as it is until a person decides."),
            user_id=user.id,
        )
