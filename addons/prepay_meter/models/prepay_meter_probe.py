from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError

from ..channels import BY_CODE
from ..units import human
from .prepay_meter_state import RELAY_STATES

#: Days for which results are kept.
KEPT_DAYS = 30
#: Seconds after which a test that no collector has taken is called out.
PATIENCE = 30


class PrepayMeterProbe(models.Model):
    """A trial of a meter profile against a live meter: each point is read once.

    The ERP writes the row as *queued* and wakes the collector, which fills in values, raw bytes,
    frames and errors by SQL. A probe reads only; it never writes to a device and stores no reading.
    """

    _name = "prepay.meter.probe"
    _description = "Profile Test"
    _order = "id desc"
    _rec_name = "profile_id"
    _check_company_auto = True

    gateway_id = fields.Many2one(
        "prepay.gateway", required=True, index=True, ondelete="cascade", readonly=True
    )
    company_id = fields.Many2one(related="gateway_id.company_id", store=True, index=True)
    profile_id = fields.Many2one(
        "prepay.meter.profile", required=True, index=True, ondelete="cascade", readonly=True
    )
    meter_id = fields.Many2one("prepay.meter", index=True, ondelete="cascade", readonly=True)
    address = fields.Char(required=True, readonly=True)
    state = fields.Selection(
        [("queued", "Queued"), ("running", "Running"), ("done", "Done"), ("failed", "Failed")],
        required=True,
        default="queued",
        readonly=True,
        index=True,
    )
    result = fields.Json(readonly=True)
    result_table = fields.Html(string="Values", compute="_compute_result_table", sanitize=False)
    frames = fields.Text(readonly=True)
    error = fields.Text(readonly=True)
    finished_at = fields.Datetime(readonly=True)
    stale = fields.Boolean(compute="_compute_stale")

    @api.depends("state", "create_date", "gateway_id.lease_until")
    def _compute_stale(self):
        """A test that waits too long: the collector has stopped since."""
        limit = fields.Datetime.now() - timedelta(seconds=PATIENCE)
        for probe in self:
            probe.stale = (
                probe.state in ("queued", "running")
                and bool(probe.create_date)
                and probe.create_date < limit
            )

    @api.depends("result")
    @api.depends_context("lang")
    def _compute_result_table(self):
        points = self.env["prepay.meter.point"]
        channels = dict(points._fields["channel"]._description_selection(self.env))
        for probe in self:
            rows = [probe._row(item, channels) for item in probe.result or []]
            probe.result_table = rows and self.env["ir.qweb"]._render(
                "prepay_meter.probe_result_table", {"rows": rows}
            )

    def _row(self, item, channels):
        """One line of the table of values.

        :param dict item: ``channel``, ``address``, ``value``, ``raw``, ``error`` as the collector wrote them
        """
        code, value = item.get("channel"), item.get("value")
        number = isinstance(value, int) and not isinstance(value, bool)
        base = human_value = ""
        if number:
            unit = BY_CODE[code].unit if code in BY_CODE else ""
            base = f"{value} {unit}".rstrip()
            human_value = human(code, value)
        elif value is not None:
            base = str(value)
            relay = dict(
                self.env["prepay.meter.state"]
                ._fields["relay_reported"]
                ._description_selection(self.env)
            )
            human_value = relay.get(base, base) if base in dict(RELAY_STATES) else base
        return {
            "channel": channels.get(code, code),
            "address": item.get("address") or "",
            "base": base,
            "human": human_value,
            "raw": item.get("raw") or "",
            "error": item.get("error") or "",
        }

    @api.model_create_multi
    def create(self, vals_list):
        probes = super().create(vals_list)
        probes._start()
        return probes

    def action_again(self):
        """The same test once more, as a new one."""
        self.ensure_one()
        again = self.create(
            {name: self[name].id for name in ("gateway_id", "profile_id", "meter_id")}
            | {"address": self.address}
        )
        return again._open()

    def _start(self):
        """Check that the tests can run and wake the collector at commit."""
        for probe in self:
            if probe.profile_id.protocol == "mqtt":
                raise UserError(
                    self.env._(
                        "Meters of profile %s send by themselves and cannot be asked. Look at the readings "
                        "of a meter instead.",
                        probe.profile_id.name,
                    )
                )
            if not probe.profile_id.point_ids:
                raise UserError(
                    self.env._(
                        "Profile %s has no points. Add what is to be read first.",
                        probe.profile_id.name,
                    )
                )
            if not probe.gateway_id._is_served():
                raise UserError(
                    self.env._(
                        "No collector serves gateway %s. Start the collector process, then test again.",
                        probe.gateway_id.name,
                    )
                )
            self.env["prepay.meter"]._raise_bad_address(
                probe.meter_id.number, probe.profile_id.protocol, probe.address
            )
        self.env.flush_all()
        gateways = ",".join(map(str, self.gateway_id.ids))
        self.env.cr.execute("SELECT pg_notify('prepay_probe', %s)", [gateways])

    def _open(self):
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Profile Test"),
            "res_model": self._name,
            "res_id": self.id,
            "view_mode": "form",
            "views": [(False, "form")],
        }

    @api.autovacuum
    def _gc_probes(self):
        self.search([("create_date", "<", f"-{KEPT_DAYS}d")]).unlink()
