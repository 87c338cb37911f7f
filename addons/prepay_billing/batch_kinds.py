"""What a batch operation can do: one small class for each kind, in :data:`KINDS`.

A kind says which meters it leaves out (``leaves_out``: reasons and SQL conditions over the tables of
``prepay.batch.line._judged``, the first that holds counts), how its outcome is followed (``follow``) and
how the wish is stated (``request``). Requests run in the transaction that marks the lines as sent:
either both are committed or neither.
"""

from __future__ import annotations

from odoo.tools import SQL, split_every

#: Ids in one notification: at most 8,000 bytes fit.
NOTIFIED = 700

NO_GATEWAY = ("no_gateway", "m.gateway_id IS NULL")
OFFLINE = ("offline", "%(skip_offline)s AND st.online IS NOT TRUE")
NOT_OPENED = ("not_opened", "s.id IS NULL")
PROTECTED = (
    "protected",
    "m.is_protected OR a.is_protected OR r.prepay_protected OR a.no_cut_until > %(now)s",
)


def _can(action: str) -> str:
    return (
        "EXISTS (SELECT FROM prepay_meter_control c WHERE c.profile_id = m.profile_id"
        f" AND c.action = '{action}' AND c.writable IS NOT FALSE)"
    )


class Kind:
    """One kind of operation.

    ``follow``: "command", "parameter", "reading", "resend", or "" when the request is all.
    ``limit``: "power" or "price": which setting asks for a second person.
    """

    parameter = ""
    follow = ""
    limit = ""
    undoable = False
    needs_reason = False
    #: Lines that one transaction starts.
    chunk = 200
    leaves_out: tuple = ()
    #: The same for undoing; ``o`` is the line that is undone.
    undo_leaves_out: tuple = ()

    def __init__(self, code: str, label: str) -> None:
        self.code, self.label = code, label

    def target(self, batch) -> dict:
        """What each line gets: columns of ``prepay.batch.line`` that begin with target_."""
        return {}

    def request(self, batch, lines) -> None:
        """State the wish for these lines and mark them; in the caller's transaction."""
        raise NotImplementedError


class ReadNow(Kind):
    follow = "reading"
    leaves_out = (
        NO_GATEWAY,
        (
            "passive",
            "EXISTS (SELECT FROM prepay_meter_profile f WHERE f.id = m.profile_id AND f.protocol = 'mqtt')",
        ),
        OFFLINE,
    )

    def request(self, batch, lines):
        lines._mark_sent()
        self.ask(batch.env, lines.meter_id.ids)

    @staticmethod
    def ask(env, meter_ids):
        """Wake the collectors at commit; to ask twice does no harm."""
        for part in split_every(NOTIFIED, meter_ids):
            env.cr.execute("SELECT pg_notify('prepay_read', %s)", [",".join(map(str, part))])


class Relay(Kind):
    follow = "command"
    undoable = True
    needs_reason = True

    def __init__(self, code, label, relay):
        super().__init__(code, label)
        self.relay = relay
        self.limit = "power" if relay == "open" else ""
        self.leaves_out = (
            NO_GATEWAY,
            ("incapable", f"NOT {_can(relay)}"),
            *((PROTECTED,) if relay == "open" else ()),
            OFFLINE,
            ("same", "m.desired_relay = l.target_relay AND st.relay_reported = l.target_relay"),
        )
        self.undo_leaves_out = (
            ("no_former", "l.target_relay IS NULL"),
            (
                "newer",
                "m.desired_epoch <> (SELECT epoch FROM prepay_meter_command c WHERE c.id = o.command_id)",
            ),
            ("protected", f"l.target_relay = 'open' AND ({PROTECTED[1]})"),
            OFFLINE,
        )

    def target(self, batch):
        return {"target_relay": self.relay}

    def request(self, batch, lines):
        for relay, group in lines.grouped("target_relay").items():
            meters = group.meter_id.with_context(tracking_disable=True)
            commands = meters._request_relay(relay, "operator", batch._reason_text())
            made = {command.meter_id.id: command.id for command in commands}
            group._mark_sent(command_id=[made[line.meter_id.id] for line in group])


class Parameter(Kind):
    """A setting of the meter, or of the platform when the meter cannot keep it."""

    follow = "parameter"
    undoable = True

    def __init__(self, code, label, parameter, platform=False, electricity=False, reason=False):
        super().__init__(code, label)
        self.parameter, self.needs_reason = parameter, reason
        actions = ("keep_power", "keep_power_off") if parameter == "guarantee" else (parameter,)
        able = " AND ".join(map(_can, actions))
        done = (
            "p.desired = l.target_value AND p.desired_document IS NOT DISTINCT FROM l.target_document"
            " AND p.state IN ('synced', 'unproven', 'platform')"
        )
        out = []
        if electricity:
            out.append(("medium", "m.medium = 'water'"))
        if platform:
            offline = (OFFLINE[0], f"{OFFLINE[1]} AND m.gateway_id IS NOT NULL AND {able}")
            out.append(offline)
        else:
            out += [NO_GATEWAY, ("incapable", f"NOT ({able})"), OFFLINE]
        if parameter not in ("clock", "release"):
            out.append(("same", done))
        self.undoable = parameter not in ("clock", "release")
        self.leaves_out = tuple(out)
        self.undo_leaves_out = (
            ("no_former", "o.before_known IS NOT TRUE"),
            ("newer", "p.epoch <> o.parameter_epoch"),
        )

    def target(self, batch):
        value, document = batch._wish()
        return {"target_value": value, "target_document": document}

    def request(self, batch, lines):
        parameters = batch.env["prepay.meter.parameter"]

        def wish(line):
            return line.target_value, repr(line.target_document)

        for group in lines.grouped(wish).values():
            value, document = group[0].target_value, group[0].target_document
            meters = group.meter_id.with_context(tracking_disable=True)
            rows = parameters._request(
                meters, self.parameter, value, document or None, batch._reason_text()
            )
            if self.parameter == "guarantee":
                until = batch.guarantee_until if value and not batch.undo_of_id else False
                meters.protected_until = until
            made = {row.meter_id.id: row for row in rows}
            ordered = [made[line.meter_id.id] for line in group]
            group._mark_sent(
                parameter_id=[row.id for row in ordered],
                parameter_epoch=[row.epoch for row in ordered],
            )


class Resend(Kind):
    """Settings that failed or were refused are tried again."""

    follow = "resend"
    leaves_out = (
        NO_GATEWAY,
        (
            "nothing_failed",
            "NOT EXISTS (SELECT FROM prepay_meter_parameter q WHERE q.meter_id = m.id"
            " AND q.state IN ('failed', 'refused'))",
        ),
        OFFLINE,
    )

    def request(self, batch, lines):
        rows = batch.env["prepay.meter.parameter"].search(
            [("meter_id", "in", lines.meter_id.ids), ("state", "in", ("failed", "refused"))]
        )
        rows.action_retry()
        lines._mark_sent()


class Tariff(Kind):
    """Another tariff from a moment on; use before it stays with the one before."""

    limit = "price"
    undoable = True
    leaves_out = (
        NOT_OPENED,
        ("medium", "(SELECT medium FROM prepay_tariff t WHERE t.id = l.target_tariff_id) <> m.medium"),
        ("same", "s.tariff_id = l.target_tariff_id"),
    )  # fmt: skip
    undo_leaves_out = (
        NOT_OPENED,
        (
            "newer",
            "NOT EXISTS (SELECT FROM prepay_tariff_change x WHERE x.id = o.change_id"
            " AND x.supply_id = s.id AND NOT EXISTS (SELECT FROM prepay_tariff_change y"
            " WHERE y.supply_id = s.id AND y.from_at > x.from_at))",
        ),
    )

    def target(self, batch):
        return {"target_tariff_id": batch.tariff_id.id}

    def request(self, batch, lines):
        changes = batch.env["prepay.tariff.change"]
        for tariff, group in lines.grouped("target_tariff_id").items():
            if batch.undo_of_id:
                starts = changes._take_back(group.mapped("source_id.change_id"))
            else:
                starts = changes._plan(
                    group.supply_id, tariff, batch.valid_from or batch.started_at, batch
                )
            group._mark_recorded(
                {line: starts.get(line.supply_id.id) for line in group}, follow_changes=True
            )


class Policy(Kind):
    undoable = True
    leaves_out = (NOT_OPENED, ("same", "a.policy_id IS NOT DISTINCT FROM l.target_policy_id"))
    undo_leaves_out = (
        NOT_OPENED,
        ("newer", "a.policy_id IS DISTINCT FROM o.target_policy_id"),
    )

    def target(self, batch):
        return {"target_policy_id": batch.policy_id.id or None}

    def request(self, batch, lines):
        for policy, group in lines.grouped("target_policy_id").items():
            group.account_id.with_context(tracking_disable=True).policy_id = policy
            group._mark_recorded({})


class Open(Kind):
    """Presets of openings are opened, each by itself."""

    chunk = 20
    leaves_out = (
        ("opened", "s.id IS NOT NULL"),
        (
            "no_preset",
            "NOT EXISTS (SELECT FROM prepay_opening_meter n JOIN prepay_opening e ON e.id = n.opening_id"
            " WHERE n.meter_id = m.id AND e.state = 'draft')",
        ),
    )

    def request(self, batch, lines):
        presets = batch.env["prepay.opening"].search(
            [("line_ids.meter_id", "in", lines.meter_id.ids), ("state", "=", "draft")]
        )
        for preset in presets:
            meters = preset.line_ids.meter_id
            mine = lines.filtered_domain([("meter_id", "in", meters.ids)])
            if preset._open_or_note():
                mine._mark_recorded({})
            else:
                mine._fail(preset.problem or "")


KINDS = {
    kind.code: kind
    for kind in (
        ReadNow("read", "Read Now"),
        Relay("off", "Force Off", "open"),
        Relay("on", "Force On", "closed"),
        Parameter("release", "Return to Prepaid", "release", reason=True),
        Parameter("guarantee_on", "Guarantee the Supply", "guarantee", platform=True, reason=True),
        Parameter("guarantee_off", "End the Guarantee", "guarantee", platform=True, reason=True),
        Tariff("tariff", "Change the Tariff"),
        Parameter("alarm_1", "Alarm Amount 1", "alarm_1"),
        Parameter("alarm_2", "Alarm Amount 2", "alarm_2"),
        Parameter("overload", "Overload Limit", "overload", platform=True, electricity=True),
        Parameter("malicious", "Malicious Load", "malicious", platform=True, electricity=True),
        Parameter("time_control", "Time Control", "time_control", platform=True),
        Parameter("clock", "Set the Clock", "clock"),
        Policy("policy", "Supply Policy"),
        Open("open", "Open the Presets"),
        Resend("resend", "Send Failed Settings Again"),
    )
}


def skip_case(kind: Kind, values: dict, undo: bool) -> SQL:
    """SQL of the reason for which a meter is left out, or NULL."""
    whens = SQL(" ").join(
        SQL("WHEN %s THEN %s", SQL(text, **values) if "%(" in text else SQL(text), code)
        for code, text in (kind.undo_leaves_out if undo else kind.leaves_out)
    )
    return SQL("CASE %s END", whens)
