"""Meter profiles as files: the same content there and back, and errors that name the place."""

import base64
import json

from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import tagged

from odoo.addons.prepay_meter import profile_file

from .common import MeterCase


@tagged("post_install", "-at_install")
class TestProfileFile(MeterCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env = cls.env(user=cls.admin)
        cls.profile = cls.env.ref("prepay_meter.profile_dlt645").copy(
            {"code": "T-1", "name": "Trial", "max_power_w": 13200}
        )

    def data(self, profile=None):
        return json.loads(profile_file.dump(profile or self.profile))

    def wizard(self, data):
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        wizards = self.env["prepay.meter.profile.import.wizard"]
        return wizards.create({"data": base64.b64encode(content)})

    def refused(self, data, message):
        with self.assertRaisesRegex(UserError, message):
            self.wizard(data).action_preview()

    def test_every_shipped_profile_goes_there_and_back(self):
        profiles = self.env["prepay.meter.profile"].search([])
        text = profile_file.dump(profiles)
        self.assertEqual(
            text, profile_file.dump(profiles[::-1]), "the order does not depend on ours"
        )
        loaded = profile_file.load(self.env, text.encode())
        self.assertEqual(len(loaded), len(profiles))
        for profile, data in zip(profiles.sorted("code"), loaded):
            with self.subTest(profile.code):
                self.assertEqual(profile_file.differences(profile, data), [])
                data["code"] += "-again"
                new = self.env["prepay.meter.profile.import.wizard"]._apply(data, profile.browse())
                self.assertEqual(profile_file.as_data(new), data)

    def test_no_secret_leaves_the_system(self):
        self.profile.write({"password": "02345678", "operator_code": "87654321"})
        text = profile_file.dump(self.profile)
        self.assertNotIn("345678", text)
        self.assertNotIn("876543", text)
        data = self.data()
        data["profiles"][0]["password"] = "02000000"
        self.refused(data, "“password” is secret")

    def test_update_keeps_secrets_and_shows_differences(self):
        data = self.data()
        self.profile.write({"password": "02345678", "max_power_w": 5000})
        point = self.profile.point_ids.filtered(lambda item: item.channel == "voltage")
        point.scale = "1000"
        self.profile.point_ids.filtered(lambda item: item.channel == "current").unlink()
        wizard = self.wizard(data)
        wizard.action_preview()
        self.assertEqual((wizard.line_ids.status, wizard.line_ids.action), ("changed", "update"))
        changes = wizard.line_ids.changes
        self.assertIn("Largest Plausible Power (W): 5000 → 13200", changes)
        self.assertIn("Voltage 02010100: Scale: 1000 → 100", changes)
        self.assertIn("+ Current 02020100", changes)
        self.assertNotIn("power 0203", changes)
        self.assertEqual(self.profile.max_power_w, 5000, "a preview changes nothing")
        wizard.action_import()
        self.assertEqual(self.data(), data)
        self.assertEqual(self.profile.password, "02345678")
        again = self.wizard(data)
        again.action_preview()
        self.assertEqual((again.line_ids.status, again.line_ids.action), ("same", "skip"))

    def test_copy_gets_a_free_code(self):
        data = self.data()
        for code in ("T-1-2", "T-1-3"):
            wizard = self.wizard(data)
            wizard.action_preview()
            wizard.line_ids.action = "copy"
            action = wizard.action_import()
            new = self.env["prepay.meter.profile"].search(action["domain"])
            self.assertEqual((new.code, new.point_ids.mapped("channel")),
                             (code, self.profile.point_ids.mapped("channel")))  # fmt: skip

    def test_new_profile_and_order_of_points(self):
        data = self.data()
        data["profiles"][0]["code"] = "NEW"
        data["profiles"][0]["points"].reverse()
        wizard = self.wizard(data)
        wizard.action_preview()
        self.assertEqual(wizard.line_ids.status, "new")
        with self.assertRaises(ValidationError):
            wizard.line_ids.action = "copy"
        wizard.action_import()
        new = self.env["prepay.meter.profile"].search([("code", "=", "NEW")])
        self.assertEqual(
            new.point_ids.mapped("channel"), self.profile.point_ids.mapped("channel")[::-1]
        )

    def test_translated_names(self):
        self.env["res.lang"].sudo()._activate_lang("zh_CN")
        self.profile.with_context(lang="zh_CN").name = "试用"
        data = self.data()
        self.assertEqual(data["profiles"][0]["name"], {"en_US": "Trial", "zh_CN": "试用"})
        data["profiles"][0]["code"] = "ZH"
        wizard = self.wizard(data)
        wizard.action_preview()
        wizard.action_import()
        new = self.env["prepay.meter.profile"].search([("code", "=", "ZH")])
        self.assertEqual((new.name, new.with_context(lang="zh_CN").name), ("Trial", "试用"))

    def test_readable_text(self):
        lines = profile_file.dump(self.profile).splitlines()
        self.assertEqual(lines[:3], ["{", '  "format": "prepay.meter.profile",', '  "version": 1,'])
        points = [line for line in lines if '"channel": "energy"' in line]
        self.assertEqual(len(points), 1, "one line for each point")

    def test_files_that_are_none(self):
        self.refused(b"", "Choose a file")
        self.refused(b"{", "not valid JSON at line 1, column 2")
        self.refused("表计".encode("gbk"), "not JSON text in UTF-8")
        self.refused(b"[" * 100000, "not JSON text|not valid JSON")
        self.refused(b'{"format": NaN}', "not JSON text")
        self.refused([], "not a file of meter profiles")
        self.refused({"format": "prepay.meter.profile", "version": 2}, "has version 2")
        self.refused({**self.data(), "profiles": []}, "has no profiles")
        self.refused({**self.data(), "profiles": [1]}, "Profile 1 is not an object")
        self.refused(b" " * 2_000_001, "larger than 2 MB")

    def test_bad_values_name_profile_point_and_value(self):
        for change, message in (
            (
                {"max_power_w": "much"},
                "Profile T-1, Largest Plausible Power .*“much”.*whole number",
            ),
            ({"max_power_w": 2**40}, "“1099511627776”.*whole number"),
            ({"max_power_w": True}, "“true”.*whole number"),
            ({"protocol": "rs232"}, "Protocol: “rs232”.*one of: modbus"),
            ({"code": None}, "Profile 1, Code"),
            ({"name": {"zh_CN": "x"}}, "with en_US among them"),
            ({"note": 3}, "Notes: “3”"),
            ({"colour": "red"}, "“colour” is not known here"),
            ({"points": {}}, "“points” must be a list"),
            ({"points": ["x"]}, "Profile T-1, Points 1 is not an object"),
            (
                {
                    "points": [
                        {"channel": "energy", "address": "00", "encoding": "bcd", "size": 1.5}
                    ]
                },
                r"Profile T-1, Points 1 \(Energy, total 00\), Size: “1.5”",
            ),
            (
                {"points": [{"channel": "mood", "address": "00", "encoding": "bcd"}]},
                "Channel: “mood”.*one of",
            ),
            ({"points": [{"channel": "energy", "encoding": "bcd"}]}, "Address: nothing is entered"),
            (
                {"points": [{"channel": "energy", "address": "XYZ", "encoding": "bcd"}]},
                "Profile T-1: .*“XYZ” is not a hexadecimal",
            ),
            (
                {
                    "points": [
                        {"channel": "energy", "address": "01", "encoding": "bcd", "scale": "-1"}
                    ]
                },
                "Profile T-1: .*“-1” .*not a positive number",
            ),
        ):
            data = self.data()
            data["profiles"][0].update(change)
            with self.subTest(change):
                self.refused(data, message)
        twice = self.data()
        twice["profiles"] *= 2
        self.refused(twice, "T-1 is in the file twice")

    def test_all_or_nothing(self):
        """One bad profile of two: nothing is kept."""
        data = self.data()
        good = json.loads(json.dumps(data["profiles"][0]))
        good["code"] = "GOOD"
        data["profiles"][0]["points"][0]["address"] = "nothex"
        data["profiles"].insert(0, good)
        self.refused(data, "T-1")
        self.assertFalse(self.env["prepay.meter.profile"].search([("code", "=", "GOOD")]))

    def test_rights(self):
        self.profile.with_user(self.reader).action_export()
        for user in (self.reader, self.operator, self.auditor):
            with self.subTest(user.login), self.assertRaises(AccessError):
                self.env["prepay.meter.profile.import.wizard"].with_user(user).create({})

    def test_download_of_form_and_list(self):
        self.profile.action_export()
        download = self.env["prepay.download"].search([], order="id desc", limit=1)
        self.assertEqual(download.name, "T-1.json")
        self.assertEqual(base64.b64decode(download.data).decode(), profile_file.dump(self.profile))
        self.env["prepay.meter.profile"].search([]).action_export()
        download = self.env["prepay.download"].search([], order="id desc", limit=1)
        self.assertEqual(download.name, "meter-profiles.json")

    def test_duplicates(self):
        first, second = self.profile.copy(), self.profile.copy()
        self.assertNotEqual(first.code, second.code)
        self.assertEqual(len(first.point_ids), len(self.profile.point_ids))

    def test_abilities(self):
        abilities = self.profile.can_do.split(", ")
        self.assertIn("Close relay (restore)", abilities)
        self.assertIn("Alarm amount 1", abilities)
        self.assertNotIn("Credit", abilities, "it is described and not released")
        self.assertIn("Voltage", self.profile.can_report)
