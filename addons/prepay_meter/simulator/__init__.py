"""Simulated meters that speak the real protocols on loopback TCP ports.

Shares no code with `protocols`: an error in one is not mirrored by the other. No Odoo.
"""
