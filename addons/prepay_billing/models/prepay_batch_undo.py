from odoo import api, fields, models
from odoo.exceptions import UserError

from ..batch_kinds import KINDS


class PrepayBatch(models.Model):
    """An operation that brings back what was before another one."""

    _inherit = "prepay.batch"  # pylint: disable=consider-merging-classes-inherited

    undo_of_id = fields.Many2one(
        "prepay.batch", string="Undoes", readonly=True, copy=False, index="btree_not_null"
    )
    undo_ids = fields.One2many("prepay.batch", "undo_of_id", string="Undo Operations")
    undoable = fields.Boolean(compute="_compute_undoable")

    @api.depends("state", "done_count", "kind")
    def _compute_undoable(self):
        for batch in self:
            batch.undoable = bool(
                batch.state in ("done", "cancelled")
                and batch.done_count
                and not batch.undo_of_id
                and KINDS[batch.kind].undoable
            )

    def action_undo(self):
        """A new operation that brings back what was before, ready for a look and a confirmation."""
        self.ensure_one()
        self._check_operator()
        if not self.undoable:
            raise UserError(self.env._("%s cannot be undone.", self.number))
        undo = self.create(
            {
                "kind": self.kind,
                "company_id": self.company_id.id,
                "reason": self.env._("Undo of %s", self.number),
                "skip_offline": self.skip_offline,
                "undo_of_id": self.id,
            }
        )
        undo.action_preview()
        return undo._open()

    def _insert_undo(self):
        self.env.cr.execute(
            """
            INSERT INTO prepay_batch_line (batch_id, company_id, meter_id, state, tries, source_id, target_relay,
                                           target_value, target_document, target_tariff_id, target_policy_id,
                                           create_uid, write_uid, create_date, write_date)
            SELECT %(batch)s, company_id, meter_id, 'planned', 0, id, before_relay, before_value,
                   before_document, before_tariff_id, before_policy_id, %(uid)s, %(uid)s, %(now)s, %(now)s
              FROM prepay_batch_line WHERE batch_id = %(source)s AND state = 'done' ORDER BY id
            """,
            {
                "batch": self.id,
                "source": self.undo_of_id.id,
                "uid": self.env.uid,
                "now": fields.Datetime.now(),
            },
        )
