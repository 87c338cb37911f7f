import re
from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import AccessError
from odoo.tools import SQL

from ..engine import forecast
from .prepay_account_supply import _SEVERITY

#: Kinds of places that are shown even when nothing is installed there.
TILES = ("room", "public")
#: Above so many rooms a building has to be chosen.
LIMIT = 10000
#: Channel and type of the notifications.
CHANNEL = "prepay_room_board"
#: More changed places than this are told as "everything".
MANY = 500
#: What a room shows when its meters differ, the first that occurs.
_SUPPLY = ("off", "switching", "limited", "unknown", "on")
_CONTACT = ("lost", "never", "silent", "online", "manual")
_LAST_SALES = 5
#: Columns whose change moves a tile, and how the place is found; see ``init``.
_WATCHED = (
    ("prepay_meter_state", "s", "id", ("relay_reported", "online")),
    ("prepay_meter_command", "m", "meter_id", ("state",)),
    ("prepay_meter", "m", "id", ("essential_on", "is_protected", "location_id", "active")),
    ("prepay_account_meter", "a", "account_id", ("meter_id", "end_at")),
    (
        "prepay_account",
        "a",
        "id",
        ("level", "state", "is_protected", "no_cut_until", "partner_id", "location_id", "medium"),
    ),
)


class PrepayRoomBoard(models.AbstractModel):
    """Rooms of a site at a glance: supply, balance and contact of each, by a few statements for all.

    Changes reach the boards without asking: triggers name what has changed, whoever wrote it, and
    ``room_live`` sends it on by the bus (places only; each board then asks as its own user).
    """

    _name = "prepay.room.board"
    _description = "Room Board"

    def init(self):
        """Triggers that name what has changed: s state row, m meter, a account, and its id."""
        self.env.cr.execute(
            """
            CREATE OR REPLACE FUNCTION prepay_room_changed() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM pg_notify('prepay_room', TG_ARGV[0] || (to_jsonb(NEW) ->> TG_ARGV[1]));
                RETURN NULL;
            END $$
            """
        )
        for table, kind, key, columns in _WATCHED:
            differs = SQL(" OR ").join(
                SQL("OLD.%s IS DISTINCT FROM NEW.%s", SQL.identifier(name), SQL.identifier(name))
                for name in columns
            )
            self._watch(table, "changed", kind, key, SQL("UPDATE"), SQL("WHEN (%s)", differs))
            if table != "prepay_meter_state":
                self._watch(table, "added", kind, key, SQL("INSERT"), SQL())
        # Consumption is posted in bulk and shows with the next look.
        self._watch(
            "prepay_ledger_entry",
            "added",
            "a",
            "account_id",
            SQL("INSERT"),
            SQL("WHEN (NEW.kind <> 'charge')"),
        )

    def _watch(self, table, name, kind, key, event, condition):
        self.env.cr.execute(
            SQL(
                "CREATE OR REPLACE TRIGGER %s AFTER %s ON %s FOR EACH ROW %s "
                "EXECUTE FUNCTION prepay_room_changed(%s, %s)",
                SQL.identifier(f"prepay_room_{name}"),
                event,
                SQL.identifier(table),
                condition,
                kind,
                key,
            )
        )

    # what the screen asks for

    @api.model
    @api.readonly
    def load(self, location_id=False, medium=False, allow_default=True):
        """Everything the board of a place shows.

        :param location_id: a project or building; False: the remembered one, or the first project
        :param medium: "electricity", "water", "both"; False: the remembered one
        :param allow_default: whether another place is taken when this one is not there any more
        :return: dict of ``location_id``, ``medium``, ``places`` (projects and buildings to choose
            from, top down), ``rooms`` (see :meth:`_rows`), ``may`` (what the user may do),
            ``as_of`` (naive UTC), ``total`` (rooms there are; more than ``rooms`` when too many)
        """
        self._check_reader()
        settings = self.env.user.sudo().res_users_settings_id
        if not medium:
            medium = settings.prepay_board_medium or "both"
        places = self._places()
        known = {place["id"] for place in places}
        chosen = location_id or settings.prepay_board_location_id.id
        if chosen not in known and allow_default:
            chosen = places[0]["id"] if places else False
        rooms = self._rows(medium, root=chosen) if chosen in known else []
        return {
            "location_id": chosen,
            "medium": medium,
            "places": places,
            "rooms": rooms[:LIMIT],
            "total": len(rooms),
            "may": self._may(),
            "as_of": fields.Datetime.to_string(fields.Datetime.now()),
        }

    @api.model
    @api.readonly
    def refresh(self, place_ids, medium):
        """The present rows of some places; those that the user may not see are left out.

        :return: dict of ``rooms`` and ``as_of``
        """
        self._check_reader()
        return {
            "rooms": self._rows(medium, ids=[int(place) for place in place_ids]),
            "as_of": fields.Datetime.to_string(fields.Datetime.now()),
        }

    @api.model
    def remember(self, location_id, medium):
        """Keep the place and the medium for the next time this user opens the board."""
        self._check_reader()
        settings = self.env["res.users.settings"]._find_or_create_for_user(self.env.user)
        settings.sudo().write(
            {"prepay_board_location_id": location_id, "prepay_board_medium": medium}
        )

    @api.model
    @api.readonly
    def details(self, place_id, medium):
        """The side panel of a room.

        :return: dict of ``accounts``, ``meters``, ``sales`` (None when the user may not see sales)
            and ``history`` (the model of the entries that the user may see)
        """
        self._check_reader()
        place = self.env["prepay.location"].browse(int(place_id)).exists()
        place.check_access("read")
        media = [False, *self._media(medium)]
        accounts = self.env["prepay.account"].search(
            [
                ("location_id", "=", place.id),
                ("state", "=", "open"),
                ("medium", "in", media),
            ]
        )
        meters = accounts.meter_ids | self.env["prepay.meter"].search(
            [("location_id", "=", place.id)]
        )
        present = {
            item.meter_id.id: item.account_id
            for item in meters.sudo().supply_ids
            if not item.end_at and item.account_id.state == "open"
        }
        meters = meters.filtered(
            lambda meter: (
                meter.medium in media
                and (meter.id not in present or present[meter.id].location_id == place)
            )
        )
        sales = self.env["prepay.topup"]
        may_sales = sales.has_access("read")
        if may_sales and accounts:
            sales = sales.search([("account_id", "in", accounts.ids)], limit=_LAST_SALES)
        return {
            "id": place.id,
            "name": place.display_name,
            "path": place.complete_name,
            "accounts": [self._account_row(account) for account in accounts],
            "meters": [self._meter_row(meter) for meter in meters],
            "sales": [self._sale_row(sale) for sale in sales] if may_sales else None,
            "history": "entries"
            if self.env["prepay.ledger.entry"].has_access("read")
            else "charges",
        }

    # rows

    @api.model
    def _rows(self, medium, root=None, ids=None):
        """One row for each place with a tile, in or below ``root`` or among ``ids``.

        Money is the least available amount of the open accounts, as text in CNY; ``days`` how long
        it lasts (None: not known); supply, level and contact are the worst of the room.
        """
        places = self.env["prepay.location"]
        self.env.flush_all()
        if root:
            domain = [("id", "child_of", root)]
        else:
            domain = [("id", "in", ids)]
        allowed = places._search(domain, order="id").subselect()
        accounts = self._account_rows(medium, allowed)
        meters = self._meter_rows(medium, allowed)
        rows = {}
        for row in self._place_rows(allowed, [*accounts, *meters]):
            place = row["id"]
            self._add_accounts(row, accounts.get(place, ()))
            self._add_meters(row, meters.get(place, ()))
            rows[place] = row
        return sorted(rows.values(), key=lambda row: row.pop("order"))

    def _place_rows(self, allowed, used):
        floors = SQL(
            """
            SELECT l.id, l.name, l.code, l.kind, l.building_id, b.name, f.id, f.name, l.parent_path, o.name
              FROM prepay_location l
              LEFT JOIN prepay_location b ON b.id = l.building_id
              LEFT JOIN prepay_location p ON p.id = l.parent_id
              LEFT JOIN prepay_location f
                     ON f.id = CASE WHEN l.kind = 'floor' THEN l.id WHEN p.kind = 'floor' THEN p.id
                                    ELSE p.parent_id END
                    AND f.kind = 'floor'
              LEFT JOIN prepay_location o ON o.id = split_part(l.parent_path, '/', 1)::int
             WHERE l.active AND l.id IN %s AND (l.kind = ANY(%s) OR l.id = ANY(%s))
            """,
            allowed,
            list(TILES),
            used,
        )
        for row in self.env.execute_query(floors):
            place, name, code, kind, building, building_name, floor, floor_name, _path, site = row
            yield {
                "id": place,
                "name": name,
                "code": code or "",
                "kind": kind,
                "building": building or 0,
                "building_name": building_name or "",
                "floor": floor or 0,
                "floor_name": floor_name or "",
                "order": (
                    _natural(site), building == place and kind == "project",
                    _natural(building_name), building or 0,
                    _natural(floor_name), floor or 0, _natural(name), place,
                ),
            }  # fmt: skip

    def _account_rows(self, medium, allowed):
        """{place id: rows of its open accounts}"""
        accounts = self.env["prepay.account"]
        readable = accounts._search([("state", "=", "open")], order="id").subselect()
        rows = self.env.execute_query(
            SQL(
                """
                SELECT a.location_id, a.id, a.number, a.level, a.days_left, a.daily_use > 0, a.forecast_at,
                       COALESCE(a.is_protected OR p.prepay_protected
                                OR a.no_cut_until > (now() AT TIME ZONE 'UTC'), false),
                       p.name, p.phone
                  FROM prepay_account a JOIN res_partner p ON p.id = a.partner_id
                 WHERE a.location_id IN %s AND a.id IN %s AND (a.medium IS NULL OR a.medium = ANY(%s))
                 ORDER BY a.id
                """,
                allowed,
                readable,
                list(self._media(medium)),
            )
        )
        available = accounts.browse([row[1] for row in rows])._available()
        found = {}
        for place, account, number, level, days, uses, at, protected, tenant, phone in rows:
            found.setdefault(place, []).append(
                {
                    "id": account,
                    "number": number,
                    "level": level or "normal",
                    "days": min(days or 0.0, float(forecast.HORIZON)) if uses and at else None,
                    "guaranteed": protected,
                    "tenant": tenant or "",
                    "phone": phone or "",
                    "available": available[account],
                }
            )
        return found

    def _meter_rows(self, medium, allowed):
        """{place id: rows of its meters}; a meter of an account stands in the account's room."""
        readable = self.env["prepay.meter"]._search([], order="id").subselect()
        rows = self.env.execute_query(
            SQL(
                """
                SELECT COALESCE(a.location_id, m.location_id), m.id, m.number, m.medium,
                       CASE WHEN newest.state IN ('queued', 'sent')
                                 AND m.desired_relay IS DISTINCT FROM s.relay_reported THEN 'switching'
                            WHEN s.relay_reported = 'open' THEN 'off'
                            WHEN s.relay_reported = 'closed' AND m.essential_on THEN 'limited'
                            WHEN s.relay_reported = 'closed' THEN 'on' ELSE 'unknown' END,
                       CASE WHEN m.gateway_id IS NULL THEN 'manual' WHEN s.last_seen IS NULL THEN 'never'
                            WHEN s.last_seen < (now() AT TIME ZONE 'UTC')
                                               - make_interval(hours => c.prepay_meter_lost_hours) THEN 'lost'
                            WHEN s.online THEN 'online' ELSE 'silent' END,
                       COALESCE(m.is_protected, false)
                  FROM prepay_meter m
                  JOIN prepay_meter_state s ON s.id = m.state_id
                  JOIN res_company c ON c.id = m.company_id
                  LEFT JOIN prepay_account_meter i ON i.meter_id = m.id AND i.end_at IS NULL
                  LEFT JOIN prepay_account a ON a.id = i.account_id AND a.state = 'open'
                  LEFT JOIN LATERAL (SELECT x.state FROM prepay_meter_command x WHERE x.meter_id = m.id
                                      ORDER BY x.epoch DESC LIMIT 1) newest ON m.desired_relay IS NOT NULL
                 WHERE COALESCE(a.location_id, m.location_id) IN %s AND m.id IN %s AND m.medium = ANY(%s)
                 ORDER BY m.medium, m.number
                """,
                allowed,
                readable,
                list(self._media(medium)),
            )
        )
        found = {}
        for place, *row in rows:
            found.setdefault(place, []).append(row)
        return found

    @staticmethod
    def _add_accounts(row, accounts):
        worst = max((_SEVERITY[account["level"]] for account in accounts), default=None)
        poorest = min(accounts, key=lambda account: account["available"], default=None)
        days = [account["days"] for account in accounts if account["days"] is not None]
        row.update(
            accounts=[account["id"] for account in accounts],
            numbers=" ".join(account["number"] for account in accounts),
            tenants=list(dict.fromkeys(account["tenant"] for account in accounts)),
            phones=" ".join(account["phone"] for account in accounts),
            level=next((code for code, rank in _SEVERITY.items() if rank == worst), "vacant"),
            guaranteed=any(account["guaranteed"] for account in accounts),
            amount=poorest and str(poorest["available"].quantize(Decimal("0.01"))),
            days=min(days, default=None),
        )

    @staticmethod
    def _add_meters(row, meters):
        supplies = {
            # A water meter without a valve reports none: that hides nothing of the others.
            supply
            for _id, _number, medium, supply, _contact, _guaranteed in meters
            if supply != "unknown" or medium == "electricity"
        }
        contacts = {meter[4] for meter in meters}
        row.update(
            meters=[meter[0] for meter in meters],
            meter_numbers=" ".join(meter[1] for meter in meters),
            media=sorted({meter[2] for meter in meters}),
            supply=next(
                (code for code in _SUPPLY if code in supplies), "unknown" if meters else "none"
            ),
            contact=next((code for code in _CONTACT if code in contacts), "none"),
        )
        row["guaranteed"] = row["guaranteed"] or any(meter[5] for meter in meters)

    def _places(self):
        """Projects and buildings of the user, top down, with the number of rooms in each building."""
        readable = self.env["prepay.location"]._search([], order="id").subselect()
        rows = self.env.execute_query(
            SQL(
                """
                SELECT l.id, l.name, l.kind, l.parent_path, COALESCE(n.rooms, 0)
                  FROM prepay_location l
                  LEFT JOIN (SELECT building_id, count(*) AS rooms FROM prepay_location
                              WHERE active AND kind = ANY(%s) GROUP BY 1) n ON n.building_id = l.id
                 WHERE l.active AND l.id IN %s AND (l.kind IN ('project', 'building') OR l.parent_id IS NULL)
                """,
                list(TILES),
                readable,
            )
        )
        paths = {row[0]: [int(item) for item in row[3].split("/") if item] for row in rows}
        names = {row[0]: row[1] for row in rows}
        totals = dict.fromkeys(paths, 0)
        for place, _name, _kind, _path, rooms in rows:
            for above in paths[place]:
                if above in totals:
                    totals[above] += rooms
        order = {
            place: [(_natural(names.get(above)), above) for above in path]
            for place, path in paths.items()
        }
        return [
            {
                "id": place,
                "name": name,
                "kind": kind,
                "depth": sum(above in names for above in paths[place]) - 1,
                "rooms": totals[place],
            }
            for place, name, kind, _path, _rooms in sorted(rows, key=lambda row: order[row[0]])
        ]

    # the side panel

    def _account_row(self, account):
        labels = dict(account._fields["level"]._description_selection(self.env))
        available = account._available()[account.id]
        decisions = account.sudo()._decide()
        return {
            "id": account.id,
            "number": account.number,
            "tenant": account.partner_id.sudo().name,
            "phone": account.phone or "",
            "opened_on": fields.Date.to_string(account.opened_on),
            "level": account.level,
            "level_label": labels[account.level],
            "available": f"{available:.2f}",
            "balance_at": fields.Datetime.to_string(account.balance_at),
            "lasts": account.days_left_text or "",
            "frozen": account.is_frozen,
            "reasons": account._tenant_reasons(),
            "checks": [
                {"meter": meter.number, "lines": account._decision_reasons(decision)}
                for meter, decision in decisions.items()
            ],
        }

    def _meter_row(self, meter):
        labels = {
            name: dict(meter._fields[name]._description_selection(self.env))
            for name in ("supply", "contact", "medium")
        }
        supply = "limited" if meter.supply == "on" and meter.essential_on else meter.supply
        return {
            "id": meter.id,
            "number": meter.number,
            "medium": meter.medium,
            "medium_label": labels["medium"][meter.medium],
            "supply": supply,
            "supply_label": self.env._("Limited")
            if supply == "limited"
            else labels["supply"][supply],
            "contact": meter.contact if meter.gateway_id else "manual",
            "contact_label": labels["contact"][meter.contact]
            if meter.gateway_id
            else self.env._("Read by hand"),
            "silent_for": meter.silent_for or "",
            "register": f"{Decimal(meter.last_value) / 1000:.2f}" if meter.last_read_at else "",
            "read_at": fields.Datetime.to_string(meter.last_read_at),
            "power_w": meter.power_w if meter.medium == "electricity" and meter.online else None,
            "guaranteed": meter.is_protected,
            "guaranteed_reason": meter.protected_reason or "",
            "reachable": bool(meter.gateway_id),
        }

    def _sale_row(self, sale):
        labels = dict(sale._fields["method"]._description_selection(self.env))
        states = dict(sale._fields["state"]._description_selection(self.env))
        return {
            "id": sale.id,
            "number": sale.number or "",
            "at": fields.Datetime.to_string(sale.paid_at or sale.create_date),
            "amount": f"{sale._exact_amount():.2f}",
            "method": labels.get(sale.method, ""),
            "state": sale.state,
            "state_label": states.get(sale.state, ""),
        }

    # rights

    def _check_reader(self):
        if not self.env.user.has_group("prepay_meter.group_user"):
            raise AccessError(self.env._("You may not see the room board."))

    def _may(self):
        """What the user may do from the board; each action checks again for itself."""
        user = self.env.user
        operate = user.has_group("prepay_meter.group_operator")
        return {
            "sell": user.has_group("prepay_billing.group_cashier"),
            "operate": operate,
            "import": user.has_group("prepay_meter.group_admin"),
            "places": operate,
        }

    @staticmethod
    def _media(medium):
        return ("electricity", "water") if medium == "both" else (medium,)

    # live

    @api.model
    def _channels(self):
        """What an open board hears: changes of its user's companies, and of no others."""
        user = self.env.user
        if not user.has_group("prepay_meter.group_user"):
            return []
        return [(company, CHANNEL) for company in user.company_ids]

    @api.model
    def _tell(self, names):
        """Tell the open boards which places have changed.

        :param names: what the triggers named, such as "s12", "m7", "a3"
        """
        by_kind = {kind: [] for kind in "sma"}
        for name in names:
            if name[:1] in by_kind and name[1:].isdecimal():
                by_kind[name[0]].append(int(name[1:]))
        rows = self.env.execute_query(
            SQL(
                """
                SELECT m.company_id, m.location_id FROM prepay_meter m
                 WHERE m.id = ANY(%(m)s) OR m.state_id = ANY(%(s)s)
                UNION
                SELECT a.company_id, a.location_id
                  FROM prepay_meter m
                  JOIN prepay_account_meter i ON i.meter_id = m.id AND i.end_at IS NULL
                  JOIN prepay_account a ON a.id = i.account_id
                 WHERE m.id = ANY(%(m)s) OR m.state_id = ANY(%(s)s)
                UNION
                SELECT company_id, location_id FROM prepay_account WHERE id = ANY(%(a)s)
                """,
                **by_kind,
            )
        )
        places = {}
        for company, place in rows:
            places.setdefault(company, []).append(place)
        for company, ids in places.items():
            self.env["bus.bus"]._sendone(
                (self.env["res.company"].browse(company), CHANNEL),
                CHANNEL,
                {"places": sorted(ids) if len(ids) <= MANY else None},
            )


def _natural(text):
    """Key that puts "2楼" before "10楼"."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part.lower())
        for part in re.split(r"(\d+)", text or "")
        if part
    ]
