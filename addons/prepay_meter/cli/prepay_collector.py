import configparser
import json
import os
import socket
import sys
from pathlib import Path

from odoo.cli import Command
from odoo.sql_db import connection_info_for
from odoo.tools import config

SECTION = "prepay_collector"
#: Log levels of Odoo by those of Python.
LEVELS = {"debug": "DEBUG", "warn": "WARNING", "error": "ERROR", "critical": "CRITICAL"}
FLAGS = ("mqtt-tls", "acrel-keep-channel")
#: Options of the command line and of the configuration file: name, value, what it is.
OPTIONS = (
    ("name", "NAME", "name of this collector; each one needs its own (default: the host's)"),
    ("spool", "DIR", "folder for readings while the database is away (default: in the data folder)"),
    ("health", "HOST:PORT", "pages /health and /metrics"),
    ("dtu-listen", "HOST:PORT", "port that 4G DTUs dial in to"),
    ("acrel-listen", "HOST:PORT", "port that Acrel 4G meters dial in to"),
    ("registration-seconds", "S", "time in which a device must say who it is (default: 10)"),
    ("acrel-keep-channel", "", "keep the channel of a 4G meter open after a time-out"),
    ("mqtt", "HOST:PORT", "MQTT broker"),
    ("mqtt-user", "USER", "user at the broker; the password is in PREPAY_MQTT_PASSWORD or a file"),
    ("mqtt-password-file", "FILE", "file with the password"),
    ("mqtt-tls", "", "encrypted, with a certificate that the broker must show"),
    ("mqtt-ca", "FILE", "authorities that may sign the broker's certificate (default: the system's)"),
)  # fmt: skip


class PrepayCollector(Command):
    """Read meters, store readings and switch relays for one database

    Several collectors may serve the same database: they share the gateways by leases and take over
    from one another. Options are those of the server, such as -c and -d, and these, which may also
    stand in section [prepay_collector] of the configuration file:
    """

    name = "prepay_collector"

    def run(self, args):
        parser = self.parser
        parser.allow_abbrev = False
        for name, value, text in OPTIONS:
            if value:
                parser.add_argument(f"--{name}", metavar=value, help=text)
            else:
                parser.add_argument(f"--{name}", action="store_const", const="yes", help=text)
        given, others = parser.parse_known_args(args)
        config.parse_config(others, setup_logging=True)
        databases = config["db_name"]
        if len(databases) != 1:
            raise SystemExit(
                "Name exactly one database: odoo prepay_collector -c odoo.conf -d DATABASE"
            )
        told = {**self._from_file(config["config"])}
        told |= {
            key.replace("_", "-"): text for key, text in vars(given).items() if text is not None
        }
        # Only now: an import error while commands are looked for would be silent.
        # Commands are loaded as odoo.cli modules, so the import cannot be relative.
        # pylint: disable-next=odoo-addons-relative-import
        from odoo.addons.prepay_meter.collector import __main__ as program
        from odoo.addons.prepay_meter.collector import options

        try:
            chosen, lock = self._options(options, told, databases[0])
        except options.OptionError as error:
            raise SystemExit(f"prepay_collector: {error}") from error
        os.set_inheritable(lock.fileno(), True)
        os.environ[program.HANDOVER] = json.dumps(
            {
                "database": databases[0],
                "conninfo": connection_info_for(databases[0])[1],
                "options": options.to_document(chosen),
                "logfile": config["logfile"] or "",
                "level": LEVELS.get(config["log_level"], "INFO"),
            }
        )
        # The same process number, without Odoo in memory.
        os.execv(sys.executable, [sys.executable, program.__file__])

    def _from_file(self, path):
        """Section [prepay_collector] of Odoo's configuration file, if it has one."""
        parser = configparser.RawConfigParser()
        try:
            parser.read([path], encoding="utf-8")
        except (OSError, configparser.Error) as error:
            raise SystemExit(f"prepay_collector: {error}") from error
        found = {}
        known = {name for name, _value, _text in OPTIONS}
        for key, text in parser.items(SECTION) if parser.has_section(SECTION) else ():
            name = key.replace("_", "-")
            if name not in known:
                raise SystemExit(
                    f"prepay_collector: unknown option “{key}” in section [{SECTION}] of {path}. "
                    f"There are: {', '.join(sorted(known))}"
                )
            off = text.strip().lower() in ("", "0", "no", "off", "false", "none")
            if name in FLAGS:
                found[name] = None if off else "yes"
            elif text.strip():
                found[name] = text.strip()
        return found

    def _options(self, options, told, database):
        """Options of the collector, and the lock on its folder."""

        def address(name):
            return options.address(told[name], name) if told.get(name) else None

        try:
            seconds = float(told.get("registration-seconds") or 10)
            if not 1 <= seconds <= 600:
                raise ValueError
        except ValueError:
            raise options.OptionError(
                f"registration-seconds: “{told['registration-seconds']}” is not 1 to 600"
            ) from None
        broker = None
        if at := address("mqtt"):
            broker = options.Broker(
                at[0] or "127.0.0.1",
                at[1],
                told.get("mqtt-user", ""),
                options.password(told.get("mqtt-password-file", "")),
                bool(told.get("mqtt-tls")),
                told.get("mqtt-ca", ""),
            )
        name = told.get("name") or socket.gethostname()
        if told.get("spool"):
            folder = Path(told["spool"])
        else:
            folder = Path(config["data_dir"], "prepay_collector", database)
            folder = folder / told["name"] if told.get("name") else folder
        folder, name, lock = options.claim(folder, name)
        chosen = options.Options(
            spool=folder,
            health=address("health"),
            dtu=address("dtu-listen"),
            acrel_4g=address("acrel-listen"),
            registration_seconds=seconds,
            keep_channel=bool(told.get("acrel-keep-channel")),
            mqtt=broker,
            name=name,
        )
        return chosen, lock
