from contextlib import contextmanager
from datetime import date, datetime, timedelta

from odoo.exceptions import ValidationError
from odoo.tests import TransactionCase, new_test_user


class DormitoryCommon(TransactionCase):
    """A company with two rooms of two beds, three employees and one of the dormitory staff."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.company = cls.env["res.company"].create({"name": "Dormitory company"})
        cls.other_company = cls.env["res.company"].create({"name": "Other dormitory company"})
        cls.staff = cls._user("dorm_staff", cls.company, "prepay_hr.group_dormitory")
        cls.accountant = cls._user("dorm_acc", cls.company, "prepay_billing.group_accountant")
        cls.room, cls.room2 = (cls._room(name, cls.company) for name in ("R-1", "R-2"))
        cls.ann, cls.bob, cls.eve = (
            cls._employee(name, cls.company) for name in ("Ann", "Bob", "Eve")
        )
        cls.today = cls.room._local_today()

    @classmethod
    def _user(cls, login, company, *groups):
        return new_test_user(
            cls.env,
            login,
            groups=",".join(("base.group_user", *groups)),
            company_id=company.id,
            company_ids=[(6, 0, company.ids)],
            tz="Asia/Shanghai",
        )

    @classmethod
    def _room(cls, name, company, beds=2):
        return cls.env["prepay.location"].create(
            {"name": name, "kind": "room", "company_id": company.id, "bed_count": beds}
        )

    @classmethod
    def _employee(cls, name, company):
        return cls.env["hr.employee"].create({"name": name, "company_id": company.id})

    @classmethod
    def _tariff(cls, company, name="Tariff", medium="electricity"):
        return cls.env["prepay.tariff"].create(
            {
                "name": name,
                "medium": medium,
                "company_id": company.id,
                "version_ids": [(0, 0, {"valid_from": "2020-01-01", "price": 1})],
            }
        )

    @classmethod
    def _meter(cls, room, number, read=True):
        meter = cls.env["prepay.meter"].create(
            {
                "number": number,
                "profile_id": cls.env.ref("prepay_meter.profile_dlt645").id,
                "address": "000000000001",
                "location_id": room.id,
            }
        )
        if read:
            cls._read(meter)
        return meter

    @classmethod
    def _read(cls, meter):
        """The meter was read some minutes ago."""
        at = datetime.now().replace(microsecond=0) - timedelta(minutes=5)
        cls.env["prepay.reading"]._ingest([(meter.id, "energy", at, 1_234_000)])
        cls.env.flush_all()
        cls.env.invalidate_all()

    def _stay(self, employee, room=None, bed="1", start=None, end=None, user=None):
        return (
            self.env["prepay.occupancy"]
            .with_user(user or self.staff)
            .create(
                {
                    "employee_id": employee.id,
                    "location_id": (room or self.room).id,
                    "bed": bed,
                    "check_in": start or self.today,
                    "check_out": end,
                }
            )
        )

    @contextmanager
    def _refused(self, words, error=ValidationError):
        """The block fails with these words, and is undone."""
        with self.assertRaises(error) as caught:
            yield
        self.assertRegex(str(caught.exception), words)

    def _day(self, offset) -> date:
        return self.today + timedelta(days=offset)
