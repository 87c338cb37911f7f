from odoo.tests import tagged

from ..models.prepay_account_counter import normalize, squeeze
from .test_counter import CounterCase


@tagged("post_install", "-at_install")
class TestCounterSearch(CounterCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.building = cls.env["prepay.location"].create(
            {"name": "2号楼", "kind": "building", "parent_id": cls.project.id}
        )
        cls.rooms = cls.env["prepay.location"].create(
            [
                {"name": name, "kind": "room", "parent_id": cls.building.id, "code": code}
                for name, code in (
                    ("A-103", "R103"),
                    ("A-1031", False),
                    ("103", False),
                    ("50%", False),
                )
            ]
        )
        cls.tenants = cls.env["res.partner"].create(
            [
                {"name": name, "phone": phone}
                for name, phone in (
                    ("王小明", "138 1111 2222"),
                    ("李四", "+86 139-3333-4444"),
                    ("Anna Smith", False),
                    ("赵六", False),
                )
            ]
        )
        cls.accounts = cls.env["prepay.account"].create(
            [
                {"partner_id": tenant.id, "location_id": room.id}
                for tenant, room in zip(cls.tenants, cls.rooms)
            ]
        )

    def found(self, text, limit=10):
        return [row["account_ids"] for row in self.counter.search_accounts(text, limit)]

    def ids(self, *places):
        return [[self.accounts[place].id] for place in places]

    def test_whatever_the_cashier_types(self):
        for text, place in (
            ("A-103", 0),
            ("a103", 0),
            ("ａ－１０３", 0),
            ("r103", 0),
            ("小明", 0),
            ("王小明", 0),
            ("13811112222", 0),
            ("138-1111-2222", 0),
            ("1111 2222", 0),
            ("13933334444", 1),
            ("3333", 1),
            ("smith anna", 2),
            ("ANNA", 2),
            ("2号楼 1031", 1),
            ("2号 四", 1),
        ):
            with self.subTest(text):
                self.assertEqual(self.found(text)[:1], self.ids(place))
        self.assertEqual(self.found("M-1"), [[self.account.id]])
        self.assertEqual(self.found(self.account.number), [[self.account.id]])

    def test_best_first(self):
        self.assertEqual(self.found("103"), self.ids(2, 0, 1), "the name, its end, a part")
        self.assertEqual(self.found("103", 2), self.ids(2, 0))

    def test_every_word_must_match(self):
        self.assertEqual(self.found("王小明 1031"), [])
        self.assertEqual(self.found("   "), [])
        self.assertEqual(self.found(""), [])

    def test_wildcards_mean_themselves(self):
        self.assertEqual(self.found("%"), self.ids(3))
        self.assertEqual(self.found("_"), [])
        self.assertEqual(self.found("\\"), [])
        self.assertEqual(self.found("50%"), self.ids(3))
        self.assertEqual(self.found("|"), [])

    def test_closed_accounts_come_last(self):
        self.accounts[2].state = "closed"
        self.assertEqual(self.found("103"), self.ids(0, 1, 2))
        self.assertTrue(self.counter.search_accounts("Anna")[0]["closed"])

    def test_follows_every_change(self):
        self.tenants[0].write({"name": "陈七", "phone": "15000000000"})
        self.assertEqual(self.found("陈七"), self.ids(0))
        self.assertEqual(self.found("15000000000"), self.ids(0))
        self.assertEqual(self.found("王小明"), [])
        self.building.name = "9号楼"
        self.assertEqual(self.found("9号楼 A-103")[:1], self.ids(0))
        self.rooms[0].name = "C-7"
        self.assertEqual(self.found("c7"), self.ids(0))
        self.meter.number = "M-77"
        self.assertEqual(self.found("M-77"), [[self.account.id]])
        self.account.supply_ids.end_at = self.start
        self.assertEqual(self.found("M-77"), [], "the meter is gone from the account")

    def test_words(self):
        self.assertEqual(normalize("  Ａ－１ \t x|y "), "a-1 x y")
        self.assertEqual(normalize(False), "")
        self.assertEqual(squeeze("a-1 (x_y) 号"), "a1xy号")
