"""Writes a plan that has no problems, or tries it out and takes everything back."""

from __future__ import annotations

from odoo.exceptions import UserError, ValidationError
from odoo.tools import mute_logger, split_every
from psycopg2 import IntegrityError

from ..channels import BY_CODE

#: Rows written at once; when one of them fails they are tried one by one.
BATCH = 200
#: More problems help nobody.
MOST = 100


def try_out(plan):
    """Write everything and take it back; what the models refuse becomes a problem of its row."""
    if plan.problems:
        return
    # The ORM speaks through exceptions; the server's log of refused statements says nothing more.
    with mute_logger("odoo.sql_db"):
        savepoint = plan.env.cr.savepoint()
        try:
            _Writer(plan, careful=True).run()
        finally:
            savepoint.close(rollback=True)
    plan.env.invalidate_all(flush=False)


def write(plan):
    """Write the plan in the present transaction."""
    _Writer(plan, careful=False).run()


class _Writer:
    def __init__(self, plan, careful):
        self.plan = plan
        self.env = plan.env
        self.careful = careful
        self.ids = {"place": {}, "gateway": {}, "meter": {}}

    def run(self):
        places = self.plan.items["places"]
        for item in places:
            if item.record:
                self.ids["place"][item.ident] = item.record.id
        for depth in sorted({item.depth for item in places}):
            self._put("place", "prepay.location", [i for i in places if i.depth == depth])
        self._put("gateway", "prepay.gateway", self.plan.items["gateways"])
        self._put("meter", "prepay.meter", self.plan.items["meters"])
        if not self.plan.problems:
            self._readings()

    def _put(self, kind, model, items):
        for item in items:
            if item.record:
                self.ids[kind][item.ident] = item.record.id
        # What changes comes first: it may free an address that a new one takes.
        changed = [item for item in items if item.status == "changed"]
        self._batches(changed, lambda part: self._change(part))
        new = [item for item in items if item.status == "new"]
        self._batches(new, lambda part: self._create(kind, model, part))

    def _batches(self, items, work):
        for part in split_every(BATCH, items, list):
            if len(self.plan.problems) >= MOST:
                return
            if not self.careful:
                work(part)
            elif not self._attempt(part, work):
                for item in part:
                    if len(self.plan.problems) < MOST:
                        self._attempt([item], work, tell=True)

    def _attempt(self, part, work, tell=False):
        """Whether the rows could be written; ``tell``: a refusal becomes a problem."""
        try:
            with self.env.cr.savepoint():
                work(part)
                self.env.flush_all()
            return True
        except IntegrityError as error:
            message = self._explain(error)
        except (UserError, ValidationError) as error:
            message = str(error.args[0])
        if tell:
            self.plan.bad(part[0].table, part[0].row, "", message)
        return False

    def _explain(self, error):
        """Words of the constraint that the database applied."""
        for name in ("prepay.location", "prepay.gateway", "prepay.meter"):
            if self.env[name]._table == error.diag.table_name:
                for rule in self.env[name]._table_objects.values():
                    if rule.full_name(self.env[name]) == error.diag.constraint_name:
                        return rule.get_error_message(self.env[name], error.diag)
        return error.diag.message_primary

    def _values(self, item):
        values = dict(item.values)
        for name, (kind, target) in item.refs.items():
            values[name] = target if kind == "id" else self.ids[kind][target]
        return values

    def _change(self, items):
        for item in items:
            item.record.with_env(self.env).write(self._values(item))

    def _create(self, kind, model, items):
        # What is new has no history to track.
        records = self.env[model].with_context(tracking_disable=True)
        records = records.create([self._values(item) for item in items])
        for item, record in zip(items, records):
            self.ids[kind][item.ident] = record.id

    def _readings(self):
        rows = []
        for item in self.plan.items["readings"]:
            if item.status != "new":
                continue
            values = item.values
            target = values["meter"]
            meter = target.record.id if target.record else self.ids["meter"][target.ident]
            rows.append((meter, values["channel"], values["read_at"], values["value"]))
        # Oldest first: the newest register stays the last value.
        rows.sort(key=lambda row: (row[2], row[0], BY_CODE[row[1]].number))
        if rows:
            self.env["prepay.reading"]._ingest(rows)
