import re
import unicodedata
from decimal import Decimal

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL

from ..amounts import amount_text
from .prepay_tariff_version import UNITS

#: Between the words of an account in its search text; never part of a word.
MARK = "|"


def normalize(text):
    """Lower case, full-width letters and digits as half-width ones, blanks single."""
    text = unicodedata.normalize("NFKC", text or "").replace(MARK, " ").lower()
    return " ".join(text.split())


def squeeze(text):
    """Letters and digits only: A-103 is also found as a103, a phone number without its blanks."""
    return re.sub(r"[\W_]+", "", text)


class PrepayAccount(models.Model):
    """The account at the counter: how it is found, and what the screen shows.

    All words of an account stand in one column. Any part of a word finds, which no index of a stock
    PostgreSQL serves; a scan of one short text per account takes some milliseconds for 20,000 of them
    (tests/bench/test_counter.py).
    """

    _inherit = "prepay.account"  # pylint: disable=consider-merging-classes-inherited

    search_text = fields.Char(compute="_compute_search_text", store=True, copy=False)

    @api.depends(
        "number",
        "location_id.name",
        "location_id.code",
        "location_id.complete_name",
        "partner_id.name",
        "partner_id.phone",
        "supply_ids.end_at",
        "supply_ids.meter_id.number",
    )
    def _compute_search_text(self):
        for account in self:
            words = []
            for word in account._search_words():
                word = normalize(word)
                words += [word, squeeze(word)]
            account.search_text = MARK + MARK.join(dict.fromkeys(filter(None, words))) + MARK

    def _search_words(self):
        """What the account is found by; the room comes first."""
        self.ensure_one()
        room, tenant = self.location_id, self.partner_id
        meters = self.supply_ids.filtered(lambda item: not item.end_at).meter_id
        return [
            room.name,
            room.code,
            room.complete_name,
            tenant.name,
            tenant.phone,
            self.number,
            *meters.mapped("number"),
        ]

    @api.model
    def _search_at_counter(self, text, limit):
        """Accounts that match every word of ``text``, best first, of those the user may see.

        A whole word is better than the end of the room's name (103 for A-103), that is better than
        its beginning, that than any part; closed accounts come last.
        """
        words = normalize(text).split()
        if not words:
            return self.browse()
        domain = Domain.TRUE
        for word in words:
            found = Domain("search_text", "like", _literal(word))
            if squeeze(word) not in ("", word):
                found |= Domain("search_text", "like", _literal(squeeze(word)))
            domain &= found
        self.flush_model(["state"])
        query = self._search(domain)
        column, last = SQL.identifier(self._table, "search_text"), _literal(words[-1])
        room = SQL("split_part(%s, %s, 2)", column, MARK)
        query.order = SQL(
            "%(state)s = 'closed', CASE WHEN %(text)s LIKE %(word)s THEN 0 WHEN %(room)s LIKE %(end)s THEN 1 "
            'WHEN %(room)s LIKE %(begin)s THEN 2 ELSE 3 END, %(text)s COLLATE "C", %(id)s',
            state=SQL.identifier(self._table, "state"),
            text=column,
            room=room,
            word=f"%{MARK}{last}{MARK}%",
            end=f"%{last}",
            begin=f"{last}%",
            id=SQL.identifier(self._table, "id"),
        )
        query.limit = limit
        return self.browse(row[0] for row in self.env.execute_query(query.select()))

    def _sold_together(self):
        """By account those that are sold in one sale: the ones for both media of a tenant's room.

        Accounts that stand alone are left out.
        """
        self.fetch(["state", "medium", "location_id", "partner_id"])
        paired = self.filtered(lambda account: account.medium and account.state == "open")
        if not paired:
            return {}
        others = self.search_fetch(
            [
                ("location_id", "in", paired.location_id.ids),
                ("partner_id", "in", paired.partner_id.ids),
                ("state", "=", "open"),
                ("medium", "!=", False),
            ],
            ["medium", "location_id", "partner_id"],
            order="id",
        )
        rooms = others.grouped(lambda account: (account.location_id, account.partner_id))
        together = {}
        for account in paired:
            other = rooms[account.location_id, account.partner_id].filtered(
                lambda item, medium=account.medium: item.medium != medium
            )[:1]
            if other:
                together[account] = (account | other).sorted(lambda item: (item.medium, item.id))
        return together

    def _meter_numbers(self):
        """Numbers of the present meters by account id."""
        self.env["prepay.account.meter"].flush_model(["account_id", "meter_id", "end_at"])
        self.env["prepay.meter"].flush_model(["number"])
        self.env.cr.execute(
            "SELECT s.account_id, array_agg(m.number ORDER BY m.number) FROM prepay_account_meter s"
            " JOIN prepay_meter m ON m.id = s.meter_id"
            " WHERE s.account_id = ANY(%s) AND s.end_at IS NULL GROUP BY 1",
            [self.ids],
        )
        return dict(self.env.cr.fetchall())

    def _counter_values(self, own, granted, accrued, overdraft):
        self.ensure_one()
        counter = self.env["prepay.counter"]
        available = own + granted + overdraft - accrued
        media = dict(self._fields["medium"]._description_selection(self.env))
        levels = dict(self._fields["level"]._description_selection(self.env))
        supplies = dict(self._fields["supply"]._description_selection(self.env))
        return {
            "id": self.id,
            "number": self.number,
            "name": self.display_name,
            "room": self.location_id.name,
            "path": self.location_id.parent_id.complete_name or "",
            "tenant": self.partner_id.name or "",
            "phone": self.partner_id.phone or "",
            "closed": self.state != "open",
            "frozen": self.is_frozen and (self.frozen_reason or True),
            "medium": self.medium or False,
            "medium_label": media.get(self.medium, ""),
            "media": sorted(set(self.meter_ids.mapped("medium"))),
            "available": amount_text(available),
            "arrears": amount_text(max(-(own + granted - accrued), Decimal(0))),
            "balance": amount_text(own),
            "granted": amount_text(granted),
            "accrued": amount_text(accrued),
            "overdraft": amount_text(overdraft),
            "level": self.level,
            "level_label": levels[self.level],
            "as_of": counter._time(self.balance_at),
            "days_left": self.days_left_text or "",
            "meters": [
                {
                    "id": meter.id,
                    "number": meter.number,
                    "medium": meter.medium,
                    "unit": UNITS[meter.medium],
                    "register": f"{meter.register:.2f}" if meter.last_read_at else "",
                    "read_at": counter._time(meter.last_read_at),
                    "online": bool(meter.online),
                    "supply": meter.supply,
                    "supply_label": supplies[meter.supply],
                }
                for meter in self.meter_ids
            ],
        }


def _literal(word):
    """The word for LIKE, whose wildcards mean themselves."""
    return re.sub(r"([\\%_])", r"\\\1", word)
