import asyncio
import json
import signal
import sys

from odoo.cli import Command


class PrepaySimulator(Command):
    """Simulate gateways and meters that speak the real protocols

    Needs no database. Prints one line READY {json} with the addresses when all ports are open.
    """

    name = "prepay_simulator"

    def run(self, args):
        parser = self.parser
        parser.add_argument("--config", required=True, help="JSON file with gateways and meters")
        parser.add_argument(
            "--control-port", type=int, default=0, help="port of the HTTP control, 0 = choose"
        )
        parser.add_argument(
            "--control-host", default="127.0.0.1", help="address of the HTTP control"
        )
        parser.add_argument("--state", help="file that keeps registers and relays over restarts")
        options = parser.parse_args(args)
        # Only now: an import error while commands are looked for would be silent.
        # Commands are loaded as odoo.cli modules, so the import cannot be relative.
        # pylint: disable-next=odoo-addons-relative-import
        from odoo.addons.prepay_meter.simulator.simulation import Simulation, load_config

        async def serve():
            simulation = Simulation(
                load_config(options.config),
                options.control_port,
                options.control_host,
                options.state,
            )
            stopped = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, stopped.set)
            await simulation.start()
            sys.stdout.write(f"READY {json.dumps(simulation.ready())}\n")
            sys.stdout.flush()
            try:
                await stopped.wait()
            finally:
                await simulation.stop()

        try:
            asyncio.run(serve())
        except (OSError, ValueError) as error:
            raise SystemExit(f"prepay_simulator: {error}") from error
