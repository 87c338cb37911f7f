"""Fixtures shared by the metering tests: a company with a room, a gateway and two meters."""

from odoo.tests import new_test_user
from odoo.tests.common import TransactionCase


class MeterCase(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.company = cls.env["res.company"].create({"name": "Test factory"})
        cls.env.user.company_ids += cls.company
        cls.env = cls.env(context={**cls.env.context, "allowed_company_ids": cls.company.ids})
        cls.operator = cls._user("operator-t", "prepay_meter.group_operator")
        cls.reader = cls._user("reader-t", "prepay_meter.group_user")
        cls.auditor = cls._user("auditor-t", "prepay_meter.group_auditor")
        cls.admin = cls._user("admin-t", "prepay_meter.group_admin")
        cls.project = cls.env["prepay.location"].create(
            {"name": "Plant", "kind": "project", "own_tz": "Asia/Shanghai"}
        )
        cls.room = cls.env["prepay.location"].create(
            {"name": "B-101", "kind": "room", "parent_id": cls.project.id}
        )
        cls.gateway = cls.env["prepay.gateway"].create(
            {"name": "GW", "location_id": cls.project.id, "host": "127.0.0.1", "port": 9}
        )
        cls.profile = cls.env.ref("prepay_meter.profile_dlt645")
        cls.meter = cls._meter("M-1", "000000000001")
        cls.other = cls._meter("M-2", "000000000002")

    @classmethod
    def _user(cls, login, *groups):
        return new_test_user(
            cls.env,
            login,
            groups=",".join(("base.group_user", *groups)),
            company_id=cls.company.id,
            company_ids=[(6, 0, cls.company.ids)],
        )

    @classmethod
    def _meter(cls, number, address, **vals):
        return cls.env["prepay.meter"].create(
            {
                "number": number,
                "address": address,
                "profile_id": cls.profile.id,
                "gateway_id": cls.gateway.id,
                "location_id": cls.room.id,
                **vals,
            }
        )

    def reported(self, meter, relay):
        """What the collector would have written: the relay as the meter reports it."""
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE prepay_meter_state SET relay_reported = %s, online = true WHERE id = %s",
            [relay, meter.state_id.id],
        )
        self.env.invalidate_all()

    def confirm(self, command):
        """What the collector writes when a command is proven."""
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE prepay_meter_command SET state = 'confirmed', sent_at = now() AT TIME ZONE 'UTC', "
            "confirmed_at = now() AT TIME ZONE 'UTC' WHERE id = %s",
            [command.id],
        )
        self.reported(command.meter_id, command.target)
