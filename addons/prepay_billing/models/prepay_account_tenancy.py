from decimal import Decimal

from odoo import fields, models

_UNITS = {"electricity": "kWh", "water": "m³"}


class PrepayAccount(models.Model):
    """The end of an account: what is settled, and how it closes."""

    _inherit = "prepay.account"  # pylint: disable=consider-merging-classes-inherited

    closed_on = fields.Date(readonly=True, copy=False, tracking=True, help="Day at the site.")

    def action_close(self):
        return self._new_document("prepay_billing.prepay_closing_action")

    def action_hand_over(self):
        return self._new_document("prepay_billing.prepay_handover_action")

    def action_change_room(self):
        return self._new_document("prepay_billing.prepay_room_change_action")

    def _new_document(self, xml_id):
        """The draft of this account when there is one, else a new document for it."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(xml_id)
        draft = self.env[action["res_model"]].search(
            [("account_id", "=", self.id), ("state", "in", ("draft", "waiting"))], limit=1
        )
        action |= {
            "views": [(False, "form")],
            "view_mode": "form",
            "res_id": draft.id,
            "context": {"default_account_id": self.id},
        }
        return action

    def _present_supplies(self):
        """Meters that the account pays for now, in one order."""
        return self.supply_ids._origin.filtered(lambda item: not item.end_at).sorted("id")

    def _settle(self, lines):
        """End the present meters at their final readings and post what was used.

        :param lines: ``prepay.tenancy.supply.line`` records
        :return: (settlement as texts, for JSON and people; what an undoing needs, by assignment)
        """
        self.ensure_one()
        supplies = self.env["prepay.account.meter"].browse(lines.supply_id._origin.ids)
        lines = lines.sorted(lambda line: supplies.ids.index(line.supply_id._origin.id))
        own, granted, accrued = self._money()[self.id]
        before = self._posted(supplies)
        kept = supplies._end_with(lines)
        after = self._posted(supplies)
        left, unused, _rest = self._money()[self.id]
        residues = supplies._residues()
        rows = []
        for line in lines:
            supply_id = line.supply_id._origin.id
            quantity, amount = (new - old for new, old in zip(after[supply_id], before[supply_id]))
            final = line._register_base()
            rows.append(
                {
                    "supply": supply_id,
                    "meter": line.meter_id.number,
                    "unit": _UNITS[line.meter_id.medium],
                    "from": f"{(final - int(quantity)) / 1000:.3f}",
                    "to": f"{final / 1000:.3f}",
                    "used": f"{quantity / 1000:.3f}",
                    "amount": f"{amount:.2f}",
                }
            )
        settlement = {
            "lines": rows,
            "own_before": f"{own:.2f}",
            "granted_before": f"{granted:.2f}",
            "accrued": str(accrued),
            "lapse": f"{max(unused, Decimal(0)):.2f}",
            "own": f"{left + min(unused, Decimal(0)):.2f}",
            "remainder": str(-sum(residues.values())),
        }
        return settlement, kept

    def _posted(self, supplies):
        """{assignment id: (quantity, amount)} of its posted charges: Wh or L, CNY as Decimal."""
        self.env["prepay.charge"].flush_model()
        self.env.cr.execute(
            """
            SELECT s.id, COALESCE(SUM(c.quantity_base) FILTER (WHERE c.kind = 'usage'), 0)::text,
                   COALESCE(SUM(c.amount), 0)::text
              FROM unnest(%s::int[]) AS s(id)
              LEFT JOIN prepay_charge c ON c.supply_id = s.id AND c.state = 'posted'
             GROUP BY s.id
            """,
            [supplies.ids],
        )
        return {row[0]: (Decimal(row[1]), Decimal(row[2])) for row in self.env.cr.fetchall()}

    def _close(self):
        """No balance, no meter: the account is closed."""
        for account in self:
            today = fields.Datetime.context_timestamp(
                account.with_context(tz=account.location_id.tz), fields.Datetime.now()
            )
            account.write(
                {
                    "state": "closed",
                    "closed_on": today.date(),
                    "level": "normal",
                    "due_since": False,
                    "notice_at": False,
                }
            )

    def _reopen(self):
        self.write({"state": "open", "closed_on": False})
