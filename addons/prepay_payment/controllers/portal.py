from decimal import Decimal, InvalidOperation

from odoo import http
from odoo.exceptions import UserError, ValidationError
from odoo.http import content_disposition, request
from werkzeug.exceptions import NotFound

from odoo.addons.payment.controllers.portal import PaymentPortal

PRESETS = (20, 50, 100, 200)
LEVEL_CLASS = {
    "normal": "text-bg-success",
    "alarm1": "text-bg-warning",
    "alarm2": "text-bg-warning",
    "arrears": "text-bg-danger",
    "cut": "text-bg-danger",
}
SUPPLY_CLASS = {
    "on": "text-bg-success",
    "off": "text-bg-danger",
    "switching": "text-bg-info",
    "unknown": "text-bg-light border",
}


class PrepaidPortal(PaymentPortal):
    """The tenant's pages: accounts, an order, its payment, its way to the meter.

    Every page finds its record among the user's own ones; what is not there and what belongs to
    somebody else give the same answer.
    """

    def _prepare_home_portal_values(self, counters):
        values = super()._prepare_home_portal_values(counters)
        if "prepay_account_count" in counters:
            values["prepay_account_count"] = len(self._prepaid_own("prepay.account"))
        return values

    @http.route("/my/prepaid", type="http", auth="user", website=True)
    def prepaid_accounts(self, **_kwargs):
        accounts = self._prepaid_own("prepay.account", [("state", "=", "open")])
        return self._prepaid_render("portal_accounts", accounts=accounts)

    @http.route(
        "/my/prepaid/<int:account_id>/topup",
        type="http",
        auth="user",
        methods=["GET", "POST"],
        website=True,
    )
    def prepaid_topup(self, account_id, amount=None, **_kwargs):
        account = self._prepaid_one("prepay.account", account_id)
        error = None
        if request.httprequest.method == "POST":
            try:
                order = account.sudo(False)._order_online(self._prepaid_amount(amount))
                return request.redirect(f"/my/prepaid/order/{order.id}/pay")
            except UserError as refusal:
                error = str(refusal)
        limit = account.company_id.prepay_max_topup
        return self._prepaid_render(
            "portal_topup",
            account=account,
            amount=amount,
            error=error,
            presets=[preset for preset in PRESETS if not limit or preset <= limit],
            orders=account.topup_ids.filtered(lambda topup: topup.state == "done")[:5],
        )

    @http.route(
        "/my/prepaid/<int:account_id>/statement/<string:month>",
        type="http",
        auth="user",
        methods=["GET"],
        website=True,
    )
    def prepaid_statement(self, account_id, month, **_kwargs):
        """The PDF of one month ("2026-03"), in the language of the tenant."""
        account = self._prepaid_one("prepay.account", account_id)
        if month not in account._statement_months():
            raise NotFound()
        report = request.env["ir.actions.report"].sudo()
        pdf, _kind = report._render_qweb_pdf(
            "prepay_billing.report_statement", account.ids, data={"month": month}
        )
        name = f"{account.number}-{month}.pdf"
        return request.make_response(
            pdf,
            headers=[
                ("Content-Type", "application/pdf"),
                ("Content-Disposition", content_disposition(name, "inline")),
                ("Cache-Control", "no-store"),
            ],
        )

    @http.route("/my/prepaid/order/<int:order_id>", type="http", auth="user", website=True)
    def prepaid_order(self, order_id, **_kwargs):
        return self._prepaid_render("portal_order", **self._prepaid_order_values(order_id))

    @http.route("/my/prepaid/order/<int:order_id>/steps", type="http", auth="user", website=True)
    def prepaid_order_steps(self, order_id, **_kwargs):
        """The changing part of the order's page."""
        response = self._prepaid_render(
            "portal_order_steps", **self._prepaid_order_values(order_id)
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    @http.route(
        "/my/prepaid/order/<int:order_id>/pay",
        type="http",
        auth="user",
        methods=["GET"],
        website=True,
    )
    def prepaid_pay(self, order_id, **_kwargs):
        order = self._prepaid_one("prepay.topup", order_id)
        if not order._is_payable():
            return request.redirect(f"/my/prepaid/order/{order.id}")
        report = {}
        providers, methods = self._prepaid_channels(order, report)
        partner = request.env.user.partner_id
        return self._prepaid_render(
            "portal_pay",
            order=order,
            account=order.account_id,
            reference_prefix=order.order_ref,
            amount=order.amount,
            currency=order.currency_id,
            partner_id=partner.id,
            providers_sudo=providers,
            payment_methods_sudo=methods,
            tokens_sudo=request.env["payment.token"]
            .sudo()
            ._get_available_tokens(providers.ids, partner.id),
            availability_report=report,
            show_tokenize_input_mapping=self._compute_show_tokenize_input_mapping(providers),
            transaction_route=f"/my/prepaid/order/{order.id}/transaction",
            landing_route=f"/my/prepaid/order/{order.id}",
            access_token="",
        )

    @http.route("/my/prepaid/order/<int:order_id>/transaction", type="jsonrpc", auth="user")
    def prepaid_transaction(self, order_id, access_token=None, **kwargs):
        """Begin a payment of the order. Amount, payer and landing page are the order's."""
        order = self._prepaid_one("prepay.topup", order_id)
        self._validate_transaction_kwargs(kwargs)
        if not order._is_payable():
            raise ValidationError(request.env._("This order can no longer be paid. Start again."))
        providers, _methods = self._prepaid_channels(order)
        if kwargs.get("provider_id") not in providers.ids:
            raise ValidationError(request.env._("This way to pay is not available."))
        kwargs.update(
            amount=order.amount,
            currency_id=order.currency_id.id,
            partner_id=request.env.user.partner_id.id,
            landing_route=f"/my/prepaid/order/{order.id}",
            reference_prefix=order.order_ref,
            is_validation=False,
            custom_create_values={"prepay_topup_id": order.id},
        )
        tx = self._create_transaction(**kwargs)
        order.transaction_id = tx
        return tx._get_processing_values()

    # helpers

    def _prepaid_own(self, model, domain=()):
        """The user's own records, also for employees who may see others in the back office."""
        if not request.env[model].has_access("read"):
            return request.env[model]
        user = request.env.user
        partners = (user.partner_id | user.commercial_partner_id).ids
        return request.env[model].search([("partner_id", "in", partners), *domain])

    def _prepaid_one(self, model, record_id):
        """One of the user's own records, with the rights of the system from here on."""
        record = self._prepaid_own(model, [("id", "=", record_id)])
        if not record:
            raise NotFound()
        return record.sudo()

    def _prepaid_amount(self, text):
        """An amount as people type it."""
        try:
            return Decimal((text or "").strip()[:12].replace("，", ".").replace(",", "."))
        except InvalidOperation:
            raise UserError(request.env._("Enter an amount such as 50 or 12.50.")) from None

    def _prepaid_channels(self, order, report=None):
        """Channels and methods by which this order can be paid."""
        partner = request.env.user.partner_id
        providers = (
            request.env["payment.provider"]
            .sudo()
            ._get_compatible_providers(
                order.company_id.id,
                partner.id,
                order.amount,
                currency_id=order.currency_id.id,
                report=report,
            )
        )
        methods = (
            request.env["payment.method"]
            .sudo()
            ._get_compatible_payment_methods(
                providers.ids, partner.id, currency_id=order.currency_id.id, report=report
            )
        )
        return providers, methods

    def _prepaid_order_values(self, order_id):
        order = self._prepaid_one("prepay.topup", order_id)
        suspended = request.env["prepay.suspense"].sudo().search(
            [("order_id", "=", order.id), ("state", "=", "open")], limit=1
        )  # fmt: skip
        steps, tx = order._progress(), order.transaction_id
        under_way = tx.state in ("pending", "authorized", "done")
        expired = order.state == "pending" and not order._is_payable() and not under_way
        refused = order.state == "pending" and tx.state in ("error", "cancel")
        if expired or refused or order.state == "cancelled":
            steps = []
        return {
            "order": order,
            "account": order.account_id,
            "tx": tx,
            "steps": steps,
            "refused": refused,
            "suspended": suspended,
            "expired": expired,
            "payable": order._is_payable() and not under_way and not suspended,
            "running": any(step["state"] == "active" for step in steps),
        }

    def _prepaid_render(self, template, **values):
        accounts = request.env["prepay.account"]
        values.update(
            page_name="prepaid",
            levels=dict(accounts._fields["level"]._description_selection(request.env)),
            supplies=dict(accounts._fields["supply"]._description_selection(request.env)),
            level_class=LEVEL_CLASS,
            supply_class=SUPPLY_CLASS,
        )
        return request.render(f"prepay_payment.{template}", values)
