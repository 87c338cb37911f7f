from odoo.cli import Command
from odoo.sql_db import connection_info_for
from odoo.tools import config


class PrepayCollector(Command):
    """Poll meters, store readings and switch relays for one database

    Several collectors may serve the same database: they share the gateways by leases and take over
    from one another. Options are those of the server, such as -c and -d.
    """

    name = "prepay_collector"

    def run(self, args):
        config.parse_config(args, setup_logging=True)
        names = config["db_name"]
        if len(names) != 1:
            raise SystemExit(
                "Name exactly one database: odoo prepay_collector -c odoo.conf -d DATABASE"
            )
        from odoo.addons.prepay_meter.collector import service

        service.run(connection_info_for(names[0])[1])
