from odoo import api, models

from odoo.addons.prepay_meter.channels import BILLED, BY_CODE


class PrepayReading(models.Model):
    _inherit = "prepay.reading"

    @api.model
    def _may_compact_before(self, day):
        """Readings that are not rated yet stay as they are, with all that are younger.

        The bound is the day of the first reading after a rating cursor. A meter that is silent has none
        and holds nothing up; one whose readings cannot be rated does, until that is settled.
        """
        day = super()._may_compact_before(day)
        self.env.flush_all()
        self.env.cr.execute(
            """
            SELECT min(r.read_at)::date
              FROM prepay_account_meter s
              JOIN prepay_meter m ON m.id = s.meter_id
             CROSS JOIN LATERAL (
                   SELECT d.read_at
                     FROM prepay_readings(
                          s.meter_id, CASE m.medium WHEN 'water' THEN %s ELSE %s END,
                          COALESCE(s.rated_at, s.start_at - interval '1 microsecond'),
                          LEAST(s.end_at, %s::timestamp)) d
                    ORDER BY d.read_at LIMIT 1
                   ) r
             WHERE COALESCE(s.rated_at, s.start_at) < LEAST(s.end_at, %s::timestamp)
            """,
            [BY_CODE[BILLED["water"]].number, BY_CODE[BILLED["electricity"]].number, day, day],
        )
        first = self.env.cr.fetchone()[0]
        return min(day, first) if first else day
