from odoo import fields, models
from odoo.exceptions import AccessError, UserError

#: Causes for which a relay that is off is not switched on by an opening: people or safety said so.
HELD_OFF = ("operator", "safety", "test", "overload", "schedule")


class PrepayOpening(models.Model):
    """Opening itself: all of it in one transaction, alone or as one of many."""

    _inherit = "prepay.opening"  # pylint: disable=consider-merging-classes-inherited

    def action_open(self):
        """Open the account, and print the receipt when that is wished."""
        self.ensure_one()
        self._open()
        if self.print_receipt:
            return self.action_print_receipt()
        return None

    def action_open_many(self):
        """Open these presets one by one (一键开户); what cannot be opened stays with its reason."""
        return self._start_batch()._show()

    def action_read_now(self):
        """Ask all meters that a gateway reaches for a reading."""
        reached = self.line_ids.filtered(lambda line: line.meter_id.gateway_id)
        return (reached or self.line_ids).action_read_now()

    def action_take_readings(self):
        """Take over the newest readings."""
        self.filtered(lambda item: item.state == "draft")._refresh_readings()

    def action_check(self):
        """Say for each preset what is missing, without opening anything."""
        self._check_opener()
        for opening in self.filtered(lambda item: item.state == "draft"):
            opening._refresh_readings()
            opening.problem = "\n".join(opening._problems()) or False

    def _check_opener(self):
        groups = (
            "prepay_meter.group_operator",
            "prepay_billing.group_cashier",
            "prepay_billing.group_accountant",
        )
        if not (self.env.su or any(map(self.env.user.has_group, groups))):
            raise AccessError(
                self.env._("Only operators, cashiers and accountants may open accounts.")
            )
        self.check_access("write")

    def _refresh_readings(self):
        """The newest reading of each meter that is not read by hand."""
        for line in self.line_ids.filtered(lambda item: item.source == "meter"):
            line._take_reading()

    def _open(self):
        """Everything of the opening in this transaction, or an error that says what is missing.

        :raises UserError: opened already, or something of the check list is wrong
        """
        self.ensure_one()
        self._check_opener()
        self._lock()
        if self.state not in ("draft", "queued"):
            raise UserError(
                self.env._(
                    "%(number)s for %(room)s has been opened already.",
                    number=self.number,
                    room=self.location_id.name,
                )
            )
        self.state = "draft"  # of a queued one too: its terms are completed now
        self._refresh_readings()
        problems = self._problems()
        if problems:
            raise UserError("\n".join(problems))
        tenant = self._take_tenant()
        self._make_accounts(tenant)
        self.line_ids.sudo()._store_readings()
        self._post_carried()
        self._take_payments()
        self.line_ids._set_parameters()
        self._switch_on()
        self.write(
            {
                "state": "done",
                "opened_at": fields.Datetime.now(),
                "opened_by_id": self.env.uid,
                "problem": False,
            }
        )
        self._issue_receipt()

    def _take_tenant(self):
        """The tenant; a new contact when nobody is known by that name and phone."""
        tenant = self.partner_id or self._find_tenant(self.tenant_name, self.tenant_phone)
        if not tenant:
            tenant = (
                self.env["res.partner"]
                .sudo()
                .create(
                    {
                        "name": self.tenant_name.strip(),
                        "phone": (self.tenant_phone or "").strip() or False,
                        "lang": self.company_id.partner_id.lang,
                    }
                )
                .sudo(False)
            )
        if not self.partner_id:
            self.partner_id = tenant
        return tenant

    def _make_accounts(self, tenant):
        """Accounts with their meters, or the meters on the present account."""
        groups = {}
        for line in self.line_ids:
            medium = line.medium if self.layout == "medium" else False
            groups.setdefault(medium, self.env["prepay.opening.meter"])
            groups[medium] |= line
        accounts = self.env["prepay.account"].sudo()
        for medium in sorted(groups, key=str):
            lines = groups[medium]
            if self.layout == "join":
                account = self.join_account_id.sudo()
                account.write({"supply_ids": [(0, 0, line._supply_values()) for line in lines]})
            else:
                account = accounts.create(
                    {
                        "partner_id": tenant.id,
                        "location_id": self.location_id.id,
                        "medium": medium,
                        "policy_id": self.policy_id.id,
                        "overdraft_limit": self.overdraft_limit,
                        "supply_ids": [(0, 0, line._supply_values()) for line in lines],
                    }
                )
            for line in lines:
                line.supply_id = account.supply_ids.filtered(
                    lambda item, line=line: item.meter_id == line.meter_id and not item.end_at
                )
            if not self.account_id:
                self.account_id = account

    def _switch_on(self):
        """Meters that stand off since a closing or from the factory get supply when there is money."""
        available = self.account_ids.sudo()._available()
        for line in self.line_ids:
            meter = line.meter_id.sudo()
            if (
                available.get(line.supply_id.account_id.id, 0) > 0
                and meter.relay_reported == "open"
                and meter.desired_relay != "closed"
                and meter.desired_cause not in HELD_OFF
            ):
                meter._request_relay(
                    "closed", "restore", self.company_id._prepay_env()._("Account opened")
                )

    # many at once

    def _start_batch(self):
        """Open what is preset of these: few at once, many in the background."""
        self._check_opener()
        presets = self.filtered(lambda item: item.state == "draft")
        if not presets:
            raise UserError(self.env._("None of these waits to be opened. Choose presets."))
        batch = self.env["prepay.opening.batch"].sudo().create({"user_id": self.env.uid})
        presets.write({"state": "queued", "batch_id": batch.id, "problem": False})
        batch._begin(presets)
        return batch.sudo(False)

    def _open_or_note(self):
        """Open, or take everything back and keep the reason.

        :return: whether it was opened
        """
        self.ensure_one()
        problem = False
        try:
            with self.env.cr.savepoint():
                self._open()
                self.env.flush_all()
        except Exception as error:
            # Whatever fails, only this row fails; what can be repeated is repeated by the caller.
            self.env.invalidate_all(flush=False)
            problem = self.env["prepay.opening.batch"]._explain(error)
        if problem:
            self.write({"state": "draft", "problem": problem})
        return not problem
