from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..const import KINDS, PLACEHOLDERS
from ..tools import text

_SAMPLE = {
    "room": "A-101",
    "account": "000123",
    "tenant": "张伟",
    "amount": "50.00",
    "available": "12.34",
    "time": "06-01 10:30",
}


class PrepayNoticeTemplate(models.Model):
    """The words of a kind of notice, in each language.

    Names in braces are replaced by values; nothing else in the text has a meaning.
    """

    _name = "prepay.notice.template"
    _description = "Notice Text"
    _order = "kind, company_id"
    _rec_name = "kind"

    kind = fields.Selection(KINDS, required=True)
    company_id = fields.Many2one(
        "res.company", index=True, help="Empty: for all companies without a text of their own."
    )
    active = fields.Boolean(default=True)
    body = fields.Text(
        string="Text",
        required=True,
        translate=True,
        help="Allowed names: {room} {account} {tenant} {amount} {available} {company} {time}",
    )
    preview = fields.Text(compute="_compute_preview")
    parts = fields.Integer(
        string="SMS Parts",
        compute="_compute_preview",
        help="70 characters fit into one SMS, else 67 into each part.",
    )

    _kind_unique = models.UniqueIndex(
        "(kind, COALESCE(company_id, 0)) WHERE active",
        "There is already a text for this kind of notice.",
    )

    @api.depends("body", "company_id")
    def _compute_preview(self):
        for template in self:
            company = template.company_id or self.env.company
            words = text.fill(template.body or "", {**_SAMPLE, "company": company.name})
            template.preview = company._prepay_sign(words) if words else False
            template.parts = text.parts_of(template.preview or "")

    @api.depends("kind")
    def _compute_display_name(self):
        labels = dict(self._fields["kind"]._description_selection(self.env))
        for template in self:
            template.display_name = labels.get(template.kind, "")

    @api.constrains("body")
    def _check_body(self):
        field = self._fields["body"]
        for template in self:
            for lang, body in (field._get_stored_translations(template) or {}).items():
                template._check_text(lang, body)

    def _check_text(self, lang, body):
        problem = text.problem_of(body or "", PLACEHOLDERS)
        if not problem:
            return
        code, detail = problem
        kind = dict(self._fields["kind"]._description_selection(self.env))[self.kind]
        allowed = " ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        if code == "unknown":
            message = self.env._(
                "Text “%(kind)s” (%(lang)s): {%(name)s} is not known. Use only %(allowed)s.",
                kind=kind,
                lang=lang,
                name=detail,
                allowed=allowed,
            )
        else:
            message = self.env._(
                "Text “%(kind)s” (%(lang)s): the brace at “%(near)s” has no partner. "
                "Use braces only around %(allowed)s.",
                kind=kind,
                lang=lang,
                near=detail,
                allowed=allowed,
            )
        raise ValidationError(message)

    def _update_field_translations(self, field_name, translations, digest=None, source_lang=""):
        # The dialog of translations writes past the constraints.
        result = super()._update_field_translations(field_name, translations, digest, source_lang)
        if field_name == "body":
            self._check_body()
        return result

    @api.model
    def _text(self, kind, company, lang, values):
        """The finished text of a notice in a language, or None when there is no template."""
        templates = self.sudo().search(
            [("kind", "=", kind), ("company_id", "in", (company.id, False))]
        )
        template = templates.sorted(lambda item: not item.company_id)[:1]
        body = template.with_context(lang=lang).body
        return company._prepay_sign(text.fill(body, values)) if body else None
