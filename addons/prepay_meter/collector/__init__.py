"""The collector: one asyncio process that polls meters, stores readings and switches relays.

It knows the database by plain SQL and the devices by the codecs; Odoo's ORM is not in the loop.
"""
