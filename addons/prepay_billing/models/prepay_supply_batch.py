from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from odoo import api, fields, models
from odoo.exceptions import UserError

from ..engine.supply_batch import blast, blast_limit

#: Minutes in which cuts count towards the limit (S-09).
WINDOW = 10
#: Hours for which an approval lets meters be cut, and a refusal keeps them on.
APPROVED_HOURS, REFUSED_HOURS = 4, 24
#: Hours for which a question waits where the policies allow cuts at any time.
ASKED_HOURS = 12


class PrepaySupplyBatch(models.Model):
    """Cuts of one site at one time: what stopped them, who let them go on, and who undid them."""

    _name = "prepay.supply.batch"
    _description = "Batch of Cuts"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    _order = "id desc"
    _rec_name = "site_id"

    site_id = fields.Many2one(
        "prepay.location", required=True, index=True, ondelete="restrict", readonly=True
    )
    company_id = fields.Many2one(related="site_id.company_id", store=True, index=True)
    state = fields.Selection(
        [
            ("waiting", "Waits for a Person"),
            ("approved", "Approved"),
            ("refused", "Refused"),
            ("lapsed", "Lapsed"),
            ("done", "Carried Out"),
            ("undone", "Undone"),
        ],
        required=True,
        default="done",
        readonly=True,
        index=True,
        tracking=True,
    )
    made_at = fields.Datetime(string="Since", default=fields.Datetime.now, readonly=True)
    reason = fields.Char(string="Why It Stopped", readonly=True)
    held_ids = fields.Many2many("prepay.meter", string="Meters That Wait", readonly=True)
    held_count = fields.Integer(compute="_compute_counts")
    decision_ids = fields.One2many("prepay.supply.decision", "batch_id", readonly=True)
    cut_count = fields.Integer(string="Cuts", compute="_compute_counts")
    decided_by_id = fields.Many2one("res.users", readonly=True)
    decided_at = fields.Datetime(readonly=True)
    valid_until = fields.Datetime(readonly=True)
    undo_reason = fields.Char(string="Reason for Undoing", readonly=True)

    _waiting_unique = models.UniqueIndex(
        "(site_id) WHERE state = 'waiting'", "This site already waits for a person."
    )

    @api.depends("held_ids", "decision_ids")
    def _compute_counts(self):
        for batch in self:
            batch.held_count = len(batch.held_ids)
            batch.cut_count = len(batch.decision_ids)

    @api.depends("site_id", "made_at")
    def _compute_display_name(self):
        for batch in self:
            at = fields.Datetime.context_timestamp(batch, batch.made_at or fields.Datetime.now())
            batch.display_name = f"{batch.site_id.name} · {at:%Y-%m-%d %H:%M}"

    # screens

    def action_approve(self):
        """Let the meters that wait go on; each is decided anew with all its checks."""
        batches = self._decided("approved", APPROVED_HOURS)
        accounts = batches.held_ids.account_id
        accounts._evaluate_supply()

    def action_refuse(self):
        """Keep the supply of these meters on for a day."""
        self._decided("refused", REFUSED_HOURS)

    def action_undo(self):
        """Open the dialogue that takes the cuts of these batches back."""
        return self.decision_ids.action_undo()

    def _decided(self, state, hours):
        if not self.env.user.has_group("prepay_meter.group_operator"):
            raise UserError(self.env._("Only operators may decide about mass cuts."))
        self.check_access("read")
        now = fields.Datetime.now()
        batches = self.sudo().filtered(lambda batch: batch.state == "waiting")
        if not batches:
            raise UserError(self.env._("This was decided already."))
        lapsed = batches.filtered(lambda batch: batch.valid_until and batch.valid_until <= now)
        if lapsed:
            raise UserError(
                self.env._(
                    "%s: nobody answered in time. When the cuts are due again, a new question is asked.",
                    lapsed[0].display_name,
                )
            )
        batches.write(
            {
                "state": state,
                "decided_by_id": self.env.uid,
                "decided_at": now,
                "valid_until": now + timedelta(hours=hours),
            }
        )
        batches.activity_ids.action_done()
        return batches

    # limit

    @api.model
    def _admit(self, cuts):
        """Which cuts may go on now, each with its batch; the others wait for a person.

        :param cuts: {meter: decision}
        :return: {meter: batch}
        """
        if not cuts:
            return {}
        now = fields.Datetime.now()
        self._lapse(now)
        sites = {}
        for meter in cuts:
            sites.setdefault(_site(meter.account_id.location_id), []).append(meter)
        wanted = dict(sites)
        known = self.search(
            [
                ("site_id", "in", [site.id for site in sites]),
                "|",
                ("state", "=", "waiting"),
                "&",
                ("state", "in", ("approved", "refused")),
                ("valid_until", ">", now),
            ]
        )
        refused = known.filtered(lambda batch: batch.state == "refused").held_ids
        wanted = {
            site: [meter for meter in meters if meter not in refused]
            for site, meters in sites.items()
        }
        approved = {
            meter: batch
            for batch in known.filtered(lambda item: item.state == "approved")
            for meter in batch.held_ids
        }
        waiting = {batch.site_id: batch for batch in known if batch.state == "waiting"}
        limits, counts = self._limits(list(sites)), self._recent(list(sites), now)
        # Whoever has been asked decides, also when it became less meanwhile.
        limits.update(dict.fromkeys(waiting, -1))
        verdict = blast(wanted, counts, limits, approved)
        for site, meters in verdict.held.items():
            self._hold(waiting.get(site), site, meters, limits[site], counts.get(site, 0))
        result, fresh = {}, {}
        for meter in verdict.allowed:
            site = _site(meter.account_id.location_id)
            if meter in approved:
                result[meter] = approved[meter]
                continue
            if site not in fresh:
                fresh[site] = self.create({"site_id": site.id})
            result[meter] = fresh[site]
        return result

    @api.model
    def _limits(self, sites):
        """{site: cuts allowed within the window}"""
        meters = self.env["prepay.meter"].sudo()
        return {
            site: blast_limit(
                meters.search_count([("location_id", "child_of", site.id)]),
                site.company_id.prepay_blast_percent,
                site.company_id.prepay_blast_count,
            )
            for site in sites
        }

    @api.model
    def _recent(self, sites, now):
        """{site: cuts within the window}, without those that a person approved."""
        return dict(
            self.env["prepay.supply.decision"]._read_group(
                [
                    ("action", "in", ("open", "limit")),
                    ("decided_at", ">", now - timedelta(minutes=WINDOW)),
                    ("batch_id.state", "!=", "approved"),
                    ("batch_id.site_id", "in", [site.id for site in sites]),
                ],
                ["site_id"],
                ["__count"],
            )
        )

    @api.model
    def _hold(self, batch, site, meters, limit, recent):
        ids = [meter.id for meter in meters]
        if batch:
            batch.held_ids = [(6, 0, sorted({*batch.held_ids.ids, *ids}))]
            return
        asked_until = self._asked_until(site, meters, fields.Datetime.now())
        words = site.company_id._prepay_env()
        reason = words._(
            "%(count)s meters at once, after %(recent)s in ten minutes; allowed are %(limit)s.",
            count=len(ids),
            recent=recent,
            limit=limit,
        )
        batch = self.create(
            {
                "site_id": site.id,
                "state": "waiting",
                "reason": reason,
                "held_ids": [(6, 0, ids)],
                "valid_until": asked_until,
            }
        )
        user = site.company_id.prepay_blast_user_id or self._someone(site.company_id)
        batch.activity_schedule(
            "mail.mail_activity_data_todo",
            summary=words._("Approve or refuse %s cuts", len(ids)),
            note=reason,
            user_id=user.id,
        )

    @api.model
    def _asked_until(self, site, meters, now):
        """Until when a question waits: the end of the cut window, the latest of these meters.

        :param now: naive UTC
        :return: naive UTC
        """
        zone = ZoneInfo(site.tz)
        local = now.replace(tzinfo=timezone.utc).astimezone(zone)
        accounts = meters[0].account_id.union(*(meter.account_id for meter in meters))
        ends = []
        for policy in accounts._engine_policies().values():
            if policy.window_end is None:
                ends.append(now + timedelta(hours=ASKED_HOURS))
                continue
            day = local.date() + timedelta(days=local.time() >= policy.window_end)
            end = datetime.combine(day, policy.window_end, zone)
            ends.append(end.astimezone(timezone.utc).replace(tzinfo=None))
        return max(ends, default=now + timedelta(hours=ASKED_HOURS))

    @api.model
    def _lapse(self, now=None):
        """Questions that nobody answered in time end; nobody is cut by an approval of yesterday's."""
        lapsed = self.search(
            [("state", "=", "waiting"), ("valid_until", "<=", now or fields.Datetime.now())]
        )
        if lapsed:
            lapsed.state = "lapsed"
            lapsed.activity_ids.unlink()

    @api.model
    def _someone(self, company):
        """A person who may decide: an administrator of the company, or who runs this."""
        group = self.env.ref("prepay_meter.group_admin")
        return (
            group.all_user_ids.filtered(
                lambda user: user.active and not user.share and company in user.company_ids
            )[:1]
            or self.env.user
        )


def _site(location):
    """The topmost place above a room."""
    top = int(location.parent_path.split("/")[0])
    return location.browse(top)
