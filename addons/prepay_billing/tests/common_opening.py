"""Fixtures of openings: a free room with an electricity and a water meter that were just read."""

from datetime import datetime, timedelta

from .common import BillingCase


class OpeningCase(BillingCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.now = datetime.now().replace(microsecond=0)
        cls.staff = cls._user(
            "staff-t", "prepay_billing.group_cashier", "prepay_meter.group_operator"
        )
        cls.water_tariff = cls.env["prepay.tariff"].create(
            {
                "name": "Water",
                "medium": "water",
                "company_id": cls.company.id,
                "version_ids": [
                    (0, 0, {"valid_from": cls.start - timedelta(days=300), "price": 3.45})
                ],
            }
        )
        cls.free = cls._room("C-101")
        cls.power = cls._meter("P-1", "000000000101", location_id=cls.free.id)
        cls.water = cls._meter(
            "W-1",
            "00000000000101",
            location_id=cls.free.id,
            profile_id=cls.env.ref("prepay_meter.profile_cjt188").id,
        )
        cls.newest(cls.power, 1234.567)
        cls.newest(cls.water, 12.5)

    @classmethod
    def _room(cls, name):
        return cls.env["prepay.location"].create(
            {"name": name, "kind": "room", "parent_id": cls.project.id}
        )

    @classmethod
    def newest(cls, meter, register, minutes=5):
        """A reading of the meter some minutes ago; the meter is online."""
        channel = "volume" if meter.medium == "water" else "energy"
        at = cls.now - timedelta(minutes=minutes)
        cls.env["prepay.reading"]._ingest([(meter.id, channel, at, round(register * 1000))])
        cls.env.flush_all()
        cls.env.cr.execute(
            "UPDATE prepay_meter_state SET online = true WHERE id = %s", [meter.state_id.id]
        )
        cls.env.invalidate_all()
        return at

    def preset(self, **vals):
        """A preset of the free room by the staff, with what the form fills in."""
        return (
            self.env["prepay.opening"]
            .with_user(self.staff)
            .create(
                {
                    "location_id": self.free.id,
                    "tenant_name": "Li Na",
                    "tenant_phone": "13900000002",
                    **vals,
                }
            )
        )

    def line(self, opening, meter):
        return opening.line_ids.filtered(lambda line: line.meter_id == meter)
