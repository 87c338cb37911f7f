"""Billing engine: pure functions over plain data.

========  ==================================================================
module    holds
========  ==================================================================
calendar  kind of a local day: workday, weekend, holiday
tariff    tariff versions as plain data, and what they must fulfil
rating    usage between two register values; usage x tariff -> exact lines,
          fixed fees, differences of what was provisional
rounding  exact products, exact amount -> fen with a carried residue
ledger    kinds of wallet entries, their signs and buckets, balances
supply    money and evidence -> level, and open / close / nothing, with reasons
          (its plain data: supply_types)
supply_batch  many cuts and restores at once: blast limit, spread of restores
forecast  how many days the money lasts, and what to top up
moments   which moments can be calculated with
errors    the exceptions of all of them: code, plain text, values
========  ==================================================================

Standard library only: no Odoo, no input or output, no clock (`now` is always an
argument), no global state. The same calls give the same answers in the ERP, in a
simulator and in a test.

Units: energy in Wh and water in litres, as integers; money in CNY, as `Decimal`.
Times are aware; days and windows are those of the site's zone.
Codes of rules in the docstrings (M-11, R-04, S-03, ...) are the identifiers of the
project's list of invariants.
"""
