"""Running Odoo: its configuration file and its command line."""

from pathlib import Path

from . import odoo_source, paths, process
from .postgres import Server

LANGUAGES = "en_US,zh_CN"


def write_config(name: str, data_dir: Path, **options: object) -> Path:
    """Write `.local/run/<name>.conf`; the database comes from the environment."""
    paths.RUN.mkdir(parents=True, exist_ok=True)
    data_dir.mkdir(parents=True, exist_ok=True)
    settings: dict[str, object] = {
        "addons_path": ",".join(map(str, addons_path())),
        "data_dir": data_dir,
        "http_interface": "127.0.0.1",
        "list_db": False,
        "max_cron_threads": 0,
        # The launcher's servers are for one machine: no sending of real mail.
        "smtp_server": "127.0.0.1",
        "smtp_port": 9,
        **options,
    }
    path = paths.RUN / f"{name}.conf"
    text = "[options]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items())
    # Other launchers may read it now: replace it in one go.
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.rename(path)
    return path


def addons_path() -> list[Path]:
    return [*odoo_source.core_addons(), paths.ADDONS]


def command(config: Path | None, *arguments: object) -> list[str]:
    """The `odoo` script under our Python.

    A subcommand comes first, after the addons path: Odoo looks for the commands
    of addons before it reads the configuration.
    """
    words = [str(argument) for argument in arguments]
    flags = ["-c", str(config)] if config else []
    if words and not words[0].startswith("-"):
        addons = "--addons-path=" + ",".join(map(str, addons_path()))
        flags = [addons, words.pop(0), *flags]
    return [str(paths.PYTHON), str(odoo_source.binary()), *flags, *words]


def run(
    server: Server,
    config: Path,
    log: str,
    *arguments: object,
    advice: str = "",
    text: str = "",
) -> None:
    """Run Odoo to its end, its output in a log file."""
    process.run(
        command(config, *arguments),
        log,
        env=server.environment(),
        advice=advice,
        cwd=paths.ROOT,
        text=text,
    )
