"""Simulated meters and gateways that speak the real protocols.

Meters: DL/T 645 (`dlt645`), CJ/T 188 (`cjt188`), Modbus DDSY1352, DTSY1352, ADF300L/ADF400L and a
water meter (`modbus_*`); their settings are in `settings`, their faults in `faults`, what they use
in `load`. Gateways: `tcp_serial` and `modbus_tcp` listen (`gateway`), `dtu` (`dial`), `acrel_4g`
and `mqtt` dial out. `fleet` is the shorthand for many of them, `control` the HTTP interface.

Shares no code with `protocols`: an error in one is not mirrored by the other. No Odoo.
"""
