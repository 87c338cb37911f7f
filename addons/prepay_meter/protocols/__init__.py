"""Meter protocols as pure codecs: bytes to values and back.

No sockets, no clock, no Odoo; only the standard library. `exchange` is what a link uses.
"""
