import doctest
from datetime import date

from odoo.tests import BaseCase, tagged

from .. import stays


@tagged("post_install", "-at_install")
class TestStays(BaseCase):
    def test_documentation(self):
        result = doctest.testmod(stays)
        self.assertTrue(result.attempted)
        self.assertFalse(result.failed)

    def test_peak_equals_counting_days(self):
        days = [date(2026, 1, day) for day in range(1, 6)]
        ends = [*days, None]
        spans = [(a, b) for a in days for b in ends if b is None or a <= b]
        for first in spans:
            for second in spans:
                counted = max(
                    sum(a <= day and (b is None or day < b) for a, b in (first, second))
                    for day in [*days, date(2026, 2, 1)]
                )
                self.assertEqual(stays.peak([first, second]), counted)
                self.assertEqual(stays.overlap(first, second), counted == 2)
