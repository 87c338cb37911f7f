from dataclasses import replace
from datetime import timezone

from odoo import api, fields, models
from odoo.tools import SQL

_LOCK = """
SELECT id FROM prepay_account_meter WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""
#: A tariff begins where nothing is rated yet: what was charged stays.
_PLAN = """
INSERT INTO prepay_tariff_change (supply_id, company_id, meter_id, from_at, tariff_id, before_id, batch_id,
                                  begun, create_uid, write_uid, create_date, write_date)
SELECT s.id, s.company_id, s.meter_id, f.from_at, %(tariff)s,
       COALESCE((SELECT c.tariff_id FROM prepay_tariff_change c
                  WHERE c.supply_id = s.id AND c.from_at < f.from_at ORDER BY c.from_at DESC LIMIT 1),
                (SELECT c.before_id FROM prepay_tariff_change c
                  WHERE c.supply_id = s.id AND c.from_at >= f.from_at ORDER BY c.from_at LIMIT 1),
                s.tariff_id),
       %(batch)s, false, %(uid)s, %(uid)s, %(now)s, %(now)s
  FROM prepay_account_meter s
 CROSS JOIN LATERAL (SELECT GREATEST(%(from_at)s, s.rated_at, s.provisional_until, s.start_at) AS from_at) f
 WHERE s.id = ANY(%(ids)s) AND (s.end_at IS NULL OR f.from_at < s.end_at)
ON CONFLICT (supply_id, from_at)
DO UPDATE SET tariff_id = EXCLUDED.tariff_id, batch_id = EXCLUDED.batch_id, begun = false
RETURNING supply_id, id
"""
#: What follows a change began after its tariff.
_CHAIN = """
UPDATE prepay_tariff_change n
   SET before_id = c.tariff_id
  FROM prepay_tariff_change c
 WHERE c.supply_id = ANY(%(ids)s) AND n.supply_id = c.supply_id
   AND n.from_at = (SELECT min(x.from_at) FROM prepay_tariff_change x
                     WHERE x.supply_id = c.supply_id AND x.from_at > c.from_at)
   AND n.before_id <> c.tariff_id
"""
_BEGIN = """
WITH due AS (
    UPDATE prepay_tariff_change d SET begun = true
      FROM prepay_account_meter o
     WHERE NOT d.begun AND d.from_at <= %(now)s AND o.id = d.supply_id AND o.end_at IS NULL
    RETURNING d.supply_id)
UPDATE prepay_account_meter s
   SET tariff_id = c.tariff_id
  FROM (SELECT DISTINCT ON (x.supply_id) x.supply_id, x.tariff_id FROM prepay_tariff_change x
         WHERE x.supply_id IN (SELECT supply_id FROM due) AND x.from_at <= %(now)s
         ORDER BY x.supply_id, x.from_at DESC) c
 WHERE s.id = c.supply_id AND s.tariff_id <> c.tariff_id
"""
#: The one that follows begins later than its changes do: those before stay history of the one before.
_HAND_ON = """
UPDATE prepay_tariff_change c
   SET supply_id = n.id, meter_id = n.meter_id, company_id = n.company_id
  FROM prepay_account_meter n
 WHERE n.id = %s AND c.supply_id = %s AND c.from_at > n.start_at
"""


class PrepayTariffChange(models.Model):
    """From when on a meter of an account has another tariff; use before stays with the one before.

    ``tariff_id`` of the assignment is the tariff of now. While its rating stands before a change, the
    charge run takes the prices of both tariffs, each for its own time, so that the interval of readings
    in which the change lies is split at its moment.
    """

    _name = "prepay.tariff.change"
    _description = "Tariff Change of a Meter"
    _order = "from_at desc, id desc"
    _rec_name = "tariff_id"

    supply_id = fields.Many2one(
        "prepay.account.meter", required=True, index=True, ondelete="cascade", readonly=True
    )
    account_id = fields.Many2one(related="supply_id.account_id")
    meter_id = fields.Many2one("prepay.meter", required=True, ondelete="cascade", readonly=True)
    company_id = fields.Many2one("res.company", required=True, index=True, readonly=True)
    from_at = fields.Datetime(string="From", required=True, readonly=True)
    tariff_id = fields.Many2one(
        "prepay.tariff", required=True, index=True, ondelete="restrict", readonly=True
    )
    before_id = fields.Many2one("prepay.tariff", required=True, ondelete="restrict", readonly=True)
    batch_id = fields.Many2one(
        "prepay.batch", string="Batch Operation", index=True, ondelete="set null", readonly=True
    )
    begun = fields.Boolean(string="In Force", readonly=True, help="The tariff of the meter is set.")

    _moment_unique = models.Constraint(
        "UNIQUE (supply_id, from_at)", "A meter has one tariff at a time."
    )
    _waiting_idx = models.Index("(from_at) WHERE NOT begun")

    @api.model
    def _plan(self, supplies, tariff, from_at, batch):
        """Give these assignments another tariff from a moment on, or from where they are rated.

        :param from_at: naive UTC
        :return: {assignment id: change id}; those that end before are not in it
        """
        self.env.flush_all()
        self.env.cr.execute(_LOCK, [supplies.ids])
        self.env.cr.execute(
            _PLAN,
            {
                "ids": supplies.ids,
                "tariff": tariff.id,
                "from_at": from_at,
                "batch": batch.id or None,
                "uid": self.env.uid,
                "now": fields.Datetime.now(),
            },
        )
        made = dict(self.env.cr.fetchall())
        self.env.cr.execute(_CHAIN, {"ids": supplies.ids})
        self._begin()
        return made

    @api.model
    def _take_back(self, changes):
        """The former tariff again: as if there had been no change where nothing was rated by it, else from now.

        :return: {assignment id: the change that takes it back, or None when it was removed}
        """
        supplies = changes.supply_id
        self.env.flush_all()
        self.env.cr.execute(_LOCK, [supplies.ids])
        supplies.invalidate_recordset()
        unused, used = changes.browse(), changes.browse()
        for change in changes:
            rated = change.supply_id.provisional_until or change.supply_id.rated_at
            if rated and rated > change.from_at:
                used += change
            else:
                unused += change
        done = dict.fromkeys(unused.supply_id.ids)
        for change in unused.filtered("begun"):
            change.supply_id.with_context(prepay_tariff_known=True).tariff_id = change.before_id
        for before, group in used.grouped("before_id").items():
            done |= self._plan(group.supply_id, before, fields.Datetime.now(), self.browse())
        unused.unlink()
        return done

    @api.model
    def _begin(self, now=None):
        """Set the tariff of those whose time has come."""
        self.env.flush_all()
        self.env.cr.execute(_BEGIN, {"now": now or fields.Datetime.now()})
        if self.env.cr.rowcount:
            self.env["prepay.account.meter"].invalidate_model(["tariff_id"])
        self.invalidate_model()

    @api.model
    def _hand_on(self, supply, following):
        """What is planned for an assignment goes on with the one that follows it at its end.

        With the two changed about, an end that is undone gets it back, and the tariff of now with it.
        """
        self.env.flush_all()
        self.env.cr.execute(_HAND_ON, [following.id, supply.id])
        if self.env.cr.rowcount and following.tariff_id != supply.tariff_id:
            following.with_context(prepay_tariff_known=True).tariff_id = supply.tariff_id
        self.env.invalidate_all()

    @api.model
    def _split(self, picked, versions):
        """Give the assignments whose rating stands before a change the prices of both tariffs.

        :param list picked: rows of assignments that are about to be rated
        :param dict versions: engine versions by tariff id; the new keys are added
        :return: the rows, with the key under which ``versions`` has these prices as ``tariff_id``
        """
        self.env.cr.execute(
            SQL(
                """
                SELECT c.supply_id, c.before_id, c.from_at, c.tariff_id
                  FROM prepay_tariff_change c JOIN prepay_account_meter s ON s.id = c.supply_id
                 WHERE c.supply_id = ANY(%s) AND c.from_at > COALESCE(s.rated_at, s.start_at)
                 ORDER BY c.supply_id, c.from_at
                """,
                [row.id for row in picked],
            )
        )
        lines = {}
        for supply_id, before, from_at, tariff in self.env.cr.fetchall():
            lines.setdefault(supply_id, [before]).append((from_at, tariff))
        if not lines:
            return picked
        keys = {supply_id: tuple(line) for supply_id, line in lines.items()}
        used = {key[0] for key in keys.values()} | {
            tariff for key in keys.values() for _at, tariff in key[1:]
        }
        missing = self.env["prepay.tariff"].browse(used - versions.keys())
        if missing:
            versions.update(missing.sudo()._engine_versions())
        for key in set(keys.values()):
            versions[key] = _timeline(key, versions)
        return [row._replace(tariff_id=keys[row.id]) if row.id in keys else row for row in picked]


def _timeline(key, versions):
    """Versions of one tariff until each change, then those of the next: (tariff, (moment, tariff), …)."""
    items = list(versions[key[0]])
    for from_at, tariff in key[1:]:
        moment = from_at.replace(tzinfo=timezone.utc)
        items = [version for version in items if version.valid_from < moment]
        before = [version for version in versions[tariff] if version.valid_from <= moment]
        if before:
            items.append(replace(before[-1], valid_from=moment))
        items += [version for version in versions[tariff] if version.valid_from > moment]
    return tuple(items)
