import doctest

from odoo.tests import BaseCase, tagged

from ..tools import phone, text, url


@tagged("post_install", "-at_install")
class TestTools(BaseCase):
    def test_documentation(self):
        for module in (phone, text, url):
            with self.subTest(module.__name__):
                result = doctest.testmod(module)
                self.assertTrue(result.attempted)
                self.assertFalse(result.failed)

    def test_phone_numbers(self):
        good = {
            "13800000101": "13800000101",
            "8613800000101": "13800000101",
            "0086 138 0000 0101": "13800000101",
            "(+86)138-0000-0101": "13800000101",
            "+1 555 555 5555": "+15555555555",
        }
        for given, expected in good.items():
            self.assertEqual(phone.normalise(given), expected)
        for given in (
            None,
            "",
            "12800000101",
            "138000001010",
            "１３８００００0101",
            "13800000101;1",
            "+0123456789",
        ):
            self.assertIsNone(phone.normalise(given))

    def test_addresses(self):
        self.assertIsNone(url.problem_of("http://[::1]:8000/"))
        self.assertEqual(url.problem_of("http://127.0.0.1.example.com/"), "plain")
        self.assertEqual(url.problem_of("http://localhost@evil.example.com/"), "userinfo")
        for bad in (
            None,
            "",
            "https://",
            "https:///x",
            "//host/x",
            "https://[/",
            "https://host:x/",
        ):
            self.assertEqual(url.problem_of(bad), "address")
