from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import format_amount

from ..amounts import amount_text, price_text
from ..engine import payer_code, rating
from ..engine.errors import EngineError
from ..engine.tariff import FLAT
from .prepay_tariff_version import UNITS

#: A second sale of the same amount within so many minutes is asked about.
DUPLICATE_MINUTES = 5
#: Methods that are paid with the code on the payer's phone, and whose code it must be.
CODE_METHODS = {"wechat_code": payer_code.WECHAT, "alipay_code": payer_code.ALIPAY}
RECENT = 5
RESULTS = 10
DIGITS_KEPT = 4


class SaleRefused(UserError):
    """A sale that is not made. ``context`` names the field of the screen that must be corrected."""

    def __init__(self, message, field="", account=None, code=""):
        super().__init__(message)
        self.context = {"field": field, "account_id": account and account.id, "code": code}


class PrepayCounter(models.AbstractModel):
    """The counter (售电窗口): search, what an account looks like, and the one way to sell.

    Amounts travel as text with two decimals: a browser's numbers are binary fractions.
    """

    _name = "prepay.counter"
    _description = "Counter"

    # what the screen asks

    @api.model
    @api.readonly
    def setup(self):
        """What the screen needs once: methods, quick amounts, the person's own choices."""
        self._check_cashier()
        company = self.env.company
        labels = dict(self.env["prepay.topup"]._fields["method"]._description_selection(self.env))
        return {
            "methods": [
                {
                    "code": code,
                    "label": labels[code],
                    "cash": code == "cash",
                    "payer_code": CODE_METHODS.get(code, False),
                    "captured": self._captures(code, company),
                }
                for code in self._methods(company)
            ],
            "quick_amounts": company._quick_amounts(),
            "print": self.env.user.prepay_print_sale,
            "shift": self._open_shift(),
        }

    @api.model
    def set_print(self, wanted):
        """The person's choice to print after each sale."""
        self._check_cashier()
        self.env.user.sudo().prepay_print_sale = bool(wanted)

    @api.model
    @api.readonly
    def search_accounts(self, text, limit=RESULTS):
        """Accounts for what was typed, best first; the two accounts of one tenant's room as one result.

        :return: dicts with account_ids, title, path, tenant, phone, numbers, state, available, level
        """
        self._check_cashier()
        limit = min(int(limit), 50)
        found = self.env["prepay.account"]._search_at_counter(text or "", 2 * limit)
        partners = found._sold_together()
        accounts = found.union(*partners.values())
        # Only what is shown: whole records of accounts, tenants and meters take longer than the search.
        accounts.fetch(["number", "location_id", "partner_id", "state", "level", "medium"])
        accounts.location_id.fetch(["name", "parent_id"])
        accounts.location_id.parent_id.fetch(["complete_name"])
        accounts.partner_id.fetch(["name", "phone"])
        meters = accounts._meter_numbers()
        money = accounts._available()
        levels = dict(accounts._fields["level"]._description_selection(self.env))
        results, shown = [], set()
        for account in found:
            if account.id in shown or len(results) == limit:
                continue
            together = partners.get(account, account)
            shown.update(together.ids)
            level = max(together.mapped("level"), key=list(levels).index)
            results.append(
                {
                    "account_ids": together.ids,
                    "title": account.location_id.name,
                    "path": account.location_id.parent_id.complete_name or "",
                    "tenant": account.partner_id.name or "",
                    "phone": account.partner_id.phone or "",
                    "numbers": together.mapped("number"),
                    "meters": [number for item in together for number in meters.get(item.id, ())],
                    "closed": account.state != "open",
                    "available": amount_text(sum(money[item.id] for item in together)),
                    "level": level,
                    "level_label": levels[level],
                }
            )
        return results

    @api.model
    @api.readonly
    def find_account(self, account_id=False, location_id=False):
        """The accounts to sell to when another screen names an account or a room."""
        self._check_cashier()
        accounts = self.env["prepay.account"]
        if account_id:
            account = accounts.browse(account_id).exists()
        else:
            account = accounts.search(
                [("location_id", "=", location_id), ("state", "=", "open")], limit=1
            )
        return account._sold_together().get(account, account).ids

    @api.model
    @api.readonly
    def account_state(self, account_ids):
        """Everything the screen shows of these accounts of one sale, and their last sales."""
        self._check_cashier()
        accounts = self.env["prepay.account"].browse(account_ids).exists()
        accounts.check_access("read")
        money = accounts._wallets()
        return {
            "accounts": [account._counter_values(*money[account.id]) for account in accounts],
            "recent": [
                topup._counter_values()
                for topup in self.env["prepay.topup"].search(
                    [("account_id", "in", accounts.ids), ("state", "in", self._shown_states())],
                    limit=RECENT,
                )
            ],
            "shift": self._open_shift(),
        }

    @api.model
    def _shown_states(self):
        """States of top-ups that are sales, for the list of the last ones."""
        states = dict(self.env["prepay.topup"]._fields["state"]._description_selection(self.env))
        return [state for state in ("done", "reversed") if state in states]

    @api.model
    @api.readonly
    def quote(self, account_id, medium, quantity):
        """What a quantity costs at the present price, with the tiers of what is used already.

        With prices by time the flat price (平) counts, or the price of this hour where there is none.

        :param medium: "electricity" (kWh) or "water" (m³)
        :return: amount as text, and how it was computed
        :raises SaleRefused: no such meter, no price, or no quantity
        """
        self._check_cashier()
        account = self.env["prepay.account"].browse(account_id)
        account.check_access("read")
        wanted = self._decimal(quantity, account, 3)
        supply = account.supply_ids.filtered(
            lambda item: not item.end_at and item.medium == medium
        )[:1]
        if not supply:
            raise SaleRefused(
                self.env._("Account %s has no such meter. Enter an amount.", account.display_name),
                "amount",
                account,
            )
        base = wanted * 1000
        now = datetime.now(timezone.utc)
        try:
            versions = supply.tariff_id.sudo()._engine_versions()[supply.tariff_id.id]
            zone = ZoneInfo(account.location_id.tz or "Asia/Shanghai")
            valid = [version for version in versions if version.valid_from <= now]
            prices = valid[-1].tiers[0].prices if valid else {}
            rate = FLAT if FLAT in prices else next(iter(prices), FLAT)
            rated = rating.rate(
                rating.Interval(now, now + timedelta(seconds=1), int(base), rate),
                versions,
                zone,
                tiers=rating.TierState(supply.tier_period or "", supply.tier_used or 0),
                heads=max(supply.heads, 1),
            )
        except EngineError:
            raise SaleRefused(
                self.env._(
                    "Account %(account)s: tariff %(tariff)s has no price now. Enter an amount.",
                    account=account.display_name,
                    tariff=supply.tariff_id.name,
                ),
                "amount",
                account,
            ) from None
        amount = sum((line.amount for line in rated.lines), Decimal(0))
        parts = [
            f"{Decimal(line.quantity) / 1000:f} {UNITS[medium]} × {price_text(line.price)}"
            for line in rated.lines
            if line.quantity or len(rated.lines) == 1
        ]
        return {"amount": amount_text(amount), "text": " + ".join(parts)}

    @api.model
    def sell(self, vals):
        """Sell to one account or to the accounts of one room, in one transaction.

        A key makes it safe to repeat: the same key sells once, whoever asks again gets the same answer.

        :param vals: key (text made by the screen), parts (list of account_id, amount as text), method;
            optional received, code, note, confirmed (the duplicate is meant)
        :return: see :meth:`sale_state`
        :raises SaleRefused: nothing is sold, and why
        """
        parts = [
            (self.env["prepay.account"].browse(int(part["account_id"])), part.get("amount"))
            for part in vals.get("parts") or ()
        ]
        topups = self._sell(
            parts,
            vals.get("method") or "cash",
            key=vals.get("key") or None,
            received=vals.get("received") or None,
            code=(vals.get("code") or "").strip(),
            note=vals.get("note") or False,
            confirmed=bool(vals.get("confirmed")),
        )
        return self.sale_state(topups.ids)

    @api.model
    def capture(self, key, code=""):
        """Take the money of an ordered sale by the payer's code, or ask again whether it came.

        The gateway is called here, between two transactions that touch the ledger: the order is stored
        before, and what the gateway said is stored before anything is credited.

        :return: the state of the sale, and ``message`` when the code was refused
        """
        topups = self._by_key(key)
        message = ""
        if topups and set(topups.mapped("capture_state")) == {"ordered"}:
            answer = self._capture_code(topups, (code or "").strip())
            message = answer.get("message") or ""
            if answer["state"] in ("captured", "refused"):
                topups.sudo().write(
                    {
                        "capture_state": answer["state"],
                        "payment_reference": answer.get("reference") or topups[0].payment_reference,
                    }
                )
        return {**self.sale_state(topups.ids), "message": message}

    @api.model
    def complete(self, key):
        """Credit an ordered sale whose money was captured. Safe to repeat."""
        topups = self._by_key(key)
        captured = topups.filtered(
            lambda topup: topup.capture_state == "captured" and topup.state == "draft"
        )
        if captured:
            captured.sudo()._credit()
        return self.sale_state(topups.ids)

    @api.model
    def sale_state(self, topup_ids):
        """What became of a sale: balances, numbers, and the way to the power (paid … confirmed)."""
        self._check_cashier()
        topups = self.env["prepay.topup"].browse(topup_ids).exists()
        topups.check_access("read")
        money = topups.account_id._available()
        capture = set(topups.mapped("capture_state")) - {False}
        return {
            "topup_ids": topups.ids,
            "state": "done"
            if all(topup.state == "done" for topup in topups)
            else next(iter(capture), "ordered"),
            "total": amount_text(sum((topup._exact_amount() for topup in topups), Decimal(0))),
            "sales": [
                {
                    **topup._counter_values(),
                    "available": amount_text(money[topup.account_id.id]),
                    "steps": [
                        {**step, "at": self._time(step["at"], "%H:%M:%S")}
                        for step in topup._progress()
                    ],
                }
                for topup in topups
            ],
            "shift": self._open_shift(),
        }

    # selling

    @api.model
    def _sell(
        self,
        parts,
        method,
        *,
        key=None,
        received=None,
        code="",
        note=False,
        confirmed=False,
        opening=None,
    ):
        """The one way money is taken at a counter: every check, then the posting.

        :param parts: list of (account, amount as Decimal, text or number in CNY)
        :param key: unique for one sale; the same key again returns the first sale's top-ups
        :param received: cash handed over, CNY
        :param confirmed: a sale like one some minutes ago is meant
        :param opening: the prepay.opening whose first payment this is, and whose receipt names it
        :return: the top-ups, credited unless the payer's code is still to be captured
        :raises AccessError: the user is no cashier, or may not see an account
        :raises SaleRefused: why it is not sold, and the field to correct
        """
        self._check_cashier()
        accounts = self.env["prepay.account"].union(*[account for account, _amount in parts])
        accounts.check_access("read")
        sold = self._by_key(key)
        if sold:
            self._check_same(sold, parts)
            return sold
        amounts = {}
        for account, amount in parts:
            if account in amounts:
                raise SaleRefused(
                    self.env._("Account %s: enter it only once in a sale.", account.display_name),
                    "amount",
                    account,
                )
            amounts[account] = self._decimal(amount, account)
        self._check_parts(amounts)
        self._check_method(amounts, method, received, code)
        # From here on the only counter sale of these accounts: limits and duplicates see all others.
        self.env["prepay.wallet.guard"].sudo()._enter(accounts)
        self._check_hoarding(amounts)
        if not confirmed:
            self._check_duplicate(amounts)
        captured = self._captures(method, accounts.company_id)
        if captured:  # before the payer pays: afterwards nothing may stop the credit
            self.env["prepay.shift"]._take(accounts.company_id, self.env.user)
        topups = (
            self.env["prepay.topup"]
            .sudo()
            .create(
                [
                    {
                        "account_id": account.id,
                        "amount": float(amount),
                        "method": method,
                        "cashier_id": self.env.uid,
                        "note": note,
                        "opening_id": opening.id if opening else False,
                        "sale_key": key,
                        "capture_state": "ordered" if captured else False,
                        "payment_reference": code[-DIGITS_KEPT:] or False,
                    }
                    for account, amount in amounts.items()
                ]
            )
        )
        if not captured:
            topups._credit()
        return topups.sudo(False)

    @api.model
    def _by_key(self, key):
        """The top-ups of a sale, by the screen's key."""
        topups = self.env["prepay.topup"]
        return topups.search([("sale_key", "=", key)], order="id") if key else topups

    def _check_same(self, sold, parts):
        asked = {account.id: self._decimal(amount, account) for account, amount in parts}
        if asked != {topup.account_id.id: topup._exact_amount() for topup in sold}:
            raise SaleRefused(
                self.env._(
                    "This sale was made already with other amounts: %s. Begin a new one.",
                    ", ".join(sold.mapped("number")),
                )
            )

    @api.model
    def _check_cashier(self):
        if not self.env.user.has_group("prepay_billing.group_cashier"):
            raise AccessError(self.env._("Only cashiers may sell at the counter."))

    def _decimal(self, value, account, decimals=2):
        """A typed number as Decimal.

        :raises SaleRefused: no number, or more decimals than there are
        """
        try:
            number = Decimal(str(value).strip() or "0") if value is not None else Decimal(0)
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite() or abs(number) >= 10**12:
            raise SaleRefused(
                self.env._(
                    "Account %(account)s: “%(value)s” is not a number. Enter digits and a point.",
                    account=account.display_name,
                    value=value,
                ),
                "amount",
                account,
            )
        if number != round(number, decimals):
            raise SaleRefused(
                self.env._(
                    "Account %(account)s: %(value)s has more than %(decimals)s decimals. Enter at most "
                    "%(decimals)s.",
                    account=account.display_name,
                    value=value,
                    decimals=decimals,
                ),
                "amount",
                account,
            )
        return number

    def _check_parts(self, amounts):
        if not amounts:
            raise SaleRefused(self.env._("Enter an amount."), "amount")
        for account, amount in amounts.items():
            if account.state != "open":
                raise SaleRefused(
                    self.env._(
                        "Account %s is closed. Open an account for the room first.",
                        account.display_name,
                    ),
                    "amount",
                    account,
                    "closed",
                )
            if amount <= 0:
                raise SaleRefused(
                    self.env._("Account %s: enter an amount above zero.", account.display_name),
                    "amount",
                    account,
                )
            limit = account.company_id.prepay_max_topup
            if limit and amount > Decimal(f"{limit:.2f}"):
                raise SaleRefused(
                    self.env._(
                        "Account %(account)s: %(amount)s is above the largest sale of %(limit)s. "
                        "Sell in parts or change the limit in the settings.",
                        account=account.display_name,
                        amount=self._money_text(amount, account),
                        limit=self._money_text(limit, account),
                    ),
                    "amount",
                    account,
                )
        if len({account.company_id for account in amounts}) > 1:
            raise SaleRefused(
                self.env._("The accounts belong to different companies. Sell one after the other.")
            )

    def _check_method(self, amounts, method, received, code):
        company = next(iter(amounts)).company_id
        if method not in self._methods(company):
            labels = dict(
                self.env["prepay.topup"]._fields["method"]._description_selection(self.env)
            )
            raise SaleRefused(
                self.env._("%s is not taken at the counter.", labels.get(method, method)), "method"
            )
        if method in CODE_METHODS:
            self._check_code(company, method, code)
        if received is not None and method == "cash":
            handed = self._decimal(received, next(iter(amounts)))
            total = sum(amounts.values())
            if handed < total:
                raise SaleRefused(
                    self.env._(
                        "The cash received, %(received)s, is less than the amount, %(total)s.",
                        received=amount_text(handed),
                        total=amount_text(total),
                    ),
                    "received",
                )

    def _check_code(self, company, method, code):
        channel = payer_code.channel_of(code)
        if not self._captures(method, company):
            if not (code.isdecimal() and len(code) >= DIGITS_KEPT):
                raise SaleRefused(
                    self.env._(
                        "Enter at least the last four digits of the code that the other device charged."
                    ),
                    "code",
                )
            if len(code) < 16:
                return
        if channel != CODE_METHODS[method]:
            raise SaleRefused(
                self.env._(
                    "%s is not such a payment code. Scan the code on the payer's phone again.",
                    f"…{code[-DIGITS_KEPT:]}" if code else self.env._("An empty field"),
                ),
                "code",
            )

    def _check_hoarding(self, amounts):
        money = self.env["prepay.account"].union(*amounts)._available()
        for account, amount in amounts.items():
            limit = Decimal(f"{account.company_id.prepay_hoarding_limit or 0:.2f}")
            after = money[account.id] + amount
            if limit and after > limit:
                raise SaleRefused(
                    self.env._(
                        "Account %(account)s: %(after)s would be available after the sale, at most %(limit)s "
                        "may be. Sell at most %(most)s.",
                        account=account.display_name,
                        after=self._money_text(after, account),
                        limit=self._money_text(limit, account),
                        most=self._money_text(max(limit - money[account.id], Decimal(0)), account),
                    ),
                    "amount",
                    account,
                )

    def _check_duplicate(self, amounts):
        """The same amount for the same account within five minutes is probably a second press."""
        for account, amount in amounts.items():
            recent = self.env["prepay.topup"].search(
                [
                    ("account_id", "=", account.id),
                    ("amount", "=", float(amount)),
                    ("state", "=", "done"),
                    ("paid_at", ">=", f"-{DUPLICATE_MINUTES}M"),
                ],
                limit=1,
            )
            if recent:
                raise SaleRefused(
                    self.env._(
                        "%(number)s: %(amount)s was sold to account %(account)s at %(time)s already. "
                        "Press Enter again if it is meant once more.",
                        number=recent.number,
                        amount=self._money_text(amount, account),
                        account=account.display_name,
                        time=self._time(recent.paid_at, "%H:%M:%S"),
                    ),
                    "amount",
                    account,
                    "duplicate",
                )

    # what other addons decide

    @api.model
    def _methods(self, company):
        """Codes of the methods that the counter of a company offers, in the order of the screen."""
        selection = self.env["prepay.topup"]._fields["method"]._description_selection(self.env)
        return [
            code
            for code, _label in selection
            if code not in CODE_METHODS
            or company.prepay_codes_elsewhere
            or self._captures(code, company)
        ]

    @api.model
    def _captures(self, method, company):
        """Whether an addon takes the money of a payer's code for this company."""
        return False

    @api.model
    def _capture_code(self, topups, code):
        """Take the money of one sale from the payer's code; an addon for payments does it.

        Called outside any ledger transaction, maybe several times for one sale: the first ``sale_key``
        is the order number for the gateway, so that a repeated call asks and never charges again. An
        empty code only asks.

        :param topups: the ordered top-ups of one sale, paid together
        :param code: digits of the payer's code; never stored
        :return: dict with ``state`` ("captured", "waiting" while the payer confirms, "refused"),
            ``reference`` (the channel's number) and ``message`` for the cashier
        """
        raise UserError(self.env._("No payment channel takes payer's codes here."))

    @api.model
    def _open_shift(self):
        """The person's open shift and the money in it, for the head of the screen, or False."""
        shift = self.env["prepay.shift"].search(
            [
                ("user_id", "=", self.env.uid),
                ("company_id", "=", self.env.company.id),
                ("state", "=", "open"),
            ],
            limit=1,
        )
        return bool(shift) and {
            "id": shift.id,
            "name": shift.number,
            "total": amount_text(Decimal(f"{shift.net:.2f}")),
        }

    # texts

    def _money_text(self, amount, account):
        return format_amount(self.env, float(amount), account.currency_id)

    def _time(self, moment, pattern="%Y-%m-%d %H:%M"):
        """A time of the person's zone, or of China, as text; False without one."""
        if not moment:
            return False
        zone = self.env.context.get("tz") or self.env.user.tz or "Asia/Shanghai"
        local = fields.Datetime.context_timestamp(self.with_context(tz=zone), moment)
        return local.strftime(pattern)
