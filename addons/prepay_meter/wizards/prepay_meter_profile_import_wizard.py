import base64

from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError
from psycopg2 import IntegrityError

from .. import profile_file


class PrepayMeterProfileImportWizard(models.TransientModel):
    """Take meter profiles from a file, after a look at what would change."""

    _name = "prepay.meter.profile.import.wizard"
    _description = "Import Meter Profiles"

    data = fields.Binary(string="File", attachment=False)
    filename = fields.Char()
    state = fields.Selection([("upload", "Upload"), ("preview", "Preview")], default="upload")
    line_ids = fields.One2many("prepay.meter.profile.import.line", "wizard_id", string="Profiles")

    def action_preview(self):
        """Check the file and list what it would do."""
        self.ensure_one()
        profiles = self.env["prepay.meter.profile"].with_context(active_test=False)
        lines = []
        for data in self._load():
            present = profiles.search([("code", "=", data["code"])])
            changes = profile_file.differences(present, data) if present else []
            action = "update" if changes else "skip" if present else "create"
            lines.append(
                {
                    "code": data["code"],
                    "profile_id": present.id,
                    "changes": "\n".join(changes),
                    "status": {"create": "new", "update": "changed", "skip": "same"}[action],
                    "action": action,
                }
            )
            self._try(data, present)
        self.write({"state": "preview", "line_ids": [(5, 0, 0), *((0, 0, line) for line in lines)]})
        return self._reopen()

    def action_back(self):
        self.ensure_one()
        self.write({"state": "upload", "line_ids": [(5, 0, 0)]})
        return self._reopen()

    def action_import(self):
        """Create, update or copy the profiles as chosen, all or none."""
        self.ensure_one()
        by_code = {data["code"]: data for data in self._load()}
        profiles = self.env["prepay.meter.profile"]
        for line in self.line_ids:
            if line.action == "skip":
                continue
            present = profiles.with_context(active_test=False).search([("code", "=", line.code)])
            if line.action == "create" and present:
                raise UserError(
                    self.env._(
                        "Profile %s was added by somebody else meanwhile. Check the file again.",
                        line.code,
                    )
                )
            update = present if line.action == "update" else profiles
            profiles |= self._apply(by_code[line.code], update, copy=line.action == "copy")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_meter.prepay_meter_profile_action"
        )
        if profiles:
            action["domain"] = [("id", "in", profiles.ids)]
        return {**action, "target": "main"}

    def _load(self):
        if not self.data:
            raise UserError(self.env._("Choose a file first."))
        return profile_file.load(self.env, base64.b64decode(self.data))

    @api.model
    def _apply(self, data, present, copy=False):
        """Write one profile of the file: ``present`` is updated, without it a new one is made."""
        values = profile_file.to_values(self.env, data)
        if present:
            # The code is the same, and a name given in another language stays.
            present.with_context(lang="en_US").write(values)
            profile = present
        else:
            if copy:
                values["code"] = present._free_code(values["code"])
            profile = present.with_context(lang="en_US").create(values)
        for name, texts in profile_file.translations(self.env, data).items():
            profile.update_field_translations(name, texts)
        self.env.flush_all()
        return profile.with_env(self.env)

    def _try(self, data, present):
        """Apply and take back, so that rules of the models speak before anything is kept."""
        savepoint = self.env.cr.savepoint()
        try:
            self._apply(data, present)
        except (UserError, ValidationError) as error:
            raise profile_file.FileError(
                self.env._("Profile %(code)s: %(reason)s", code=data["code"], reason=error.args[0])
            ) from None
        except IntegrityError as error:
            raise profile_file.FileError(
                self.env._(
                    "Profile %(code)s: %(reason)s",
                    code=data["code"],
                    reason=error.diag.message_primary,
                )
            ) from None
        finally:
            savepoint.close(rollback=True)

    def _reopen(self):
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Import Meter Profiles"),
            "res_model": self._name,
            "res_id": self.id,
            "views": [(False, "form")],
            "target": "new",
        }
