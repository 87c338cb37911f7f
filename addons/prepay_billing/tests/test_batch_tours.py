"""A batch operation on the screen, in Chinese."""

from odoo.tests import HttpCase, tagged

from .test_batch import BatchCase


@tagged("post_install", "-at_install")
class TestBatchTours(BatchCase, HttpCase):
    def test_from_the_list_to_the_result(self):
        self.operator.lang = "zh_CN"
        self.start_tour("/odoo/prepay-meters", "prepay_batch", login=self.operator.login)
        batch = self.env["prepay.batch"].search([("kind", "=", "off")])
        self.assertEqual((batch.state, batch.reason, batch.tiles), ("queued", "线路检修", "opened"))
        self.assertEqual(batch.meter_ids, self.meter + self.other + self.third)
        self.run_round()
        self.confirm(self.meter.command_ids)
        self.run_round()
        self.start_tour(
            f"/odoo/prepay-batches/{batch.id}", "prepay_batch_live", login=self.operator.login
        )
