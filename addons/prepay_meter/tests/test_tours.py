import base64
import json
import threading

from odoo.tests import HttpCase, tagged

from .test_screens import ScreenCase
from .test_site_import import METER, book, content


@tagged("post_install", "-at_install")
class TestTours(ScreenCase, HttpCase):
    def workbook(self, name, rows):
        """A file that the browser can fetch by its name."""
        attachment = self.env["ir.attachment"].create(
            {
                "name": f"{name}.xlsx",
                "datas": base64.b64encode(content(book(Meters=[METER, *rows]))),
                "public": True,
            }
        )
        self.env["ir.model.data"].create(
            {
                "module": "prepay_meter",
                "name": name,
                "model": attachment._name,
                "res_id": attachment.id,
            }
        )

    def test_site_import(self):
        """The administrator uploads a file with a mistake, then the right one."""
        good = [[f"N-{n}", "B-101", "DLT645-2007", "GW", f"00000000007{n}"] for n in (1, 2)]
        self.workbook("tour_good_workbook", good)
        self.workbook("tour_bad_workbook", [["N-1", "Nowhere", *good[0][2:]]])
        self.start_tour("/odoo/prepay-meters", "prepay_site_import", login=self.admin.login)
        meters = self.env["prepay.meter"].search([("number", "in", ("N-1", "N-2"))])
        self.assertEqual(meters.location_id, self.room)
        self.assertEqual(len(meters), 2)

    def test_profile_test(self):
        """The test is queued, somebody fills it in, and the screen shows it without a click."""
        self.lease(seconds=600)
        stop = threading.Event()
        collector = threading.Thread(target=self.collector, args=(stop,))
        collector.start()
        self.addCleanup(collector.join)
        self.addCleanup(stop.set)
        url = f"/odoo/prepay-profiles/{self.profile.id}"
        self.start_tour(url, "prepay_profile_test", login=self.admin.login)
        probe = self.env["prepay.meter.probe"].search([], limit=1)
        self.assertEqual((probe.state, probe.meter_id), ("done", self.meter))

    def collector(self, stop):
        """What a collector writes for a probe, from another thread as another process would."""
        result = [
            {"channel": "energy", "address": "0001FF00", "value": 1234560, "raw": "60 45 23 01"},
            {"channel": "voltage", "address": "02010100", "error": "No answer"},
        ]
        while not stop.wait(0.5):
            with self.registry.cursor() as cr:
                cr.execute(
                    "UPDATE prepay_meter_probe SET state = 'done', result = %s, frames = %s "
                    "WHERE state = 'queued'",
                    [json.dumps(result), "08:00:00.001 > 68 01 00 00\n08:00:00.200 < 68 81"],
                )
