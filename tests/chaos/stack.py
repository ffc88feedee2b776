"""The chaos tests' own PostgreSQL and Valkey, which they kill, freeze and restart; Django and Celery connect to
them.
"""

from __future__ import annotations

import os
import resource
import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis
from celery import current_app
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection
from kombu import pools

from project.stack import ports, postgres, valkey
from runs.dispatch import window
from tests.chaos.size import SIZE
from tests.servers import FAST
from tests.waiting import wait_for

# A killed server must have everything that it has acknowledged when it is back. fsync may be off for that: only a power
# cut would make a difference.
_SAFE = {**postgres.SETTINGS, "listen_addresses": "", "autovacuum_naptime": "5s"}
SETTINGS = _SAFE if SIZE.full else {**FAST, "synchronous_commit": "on"}


class Server:
    """One server process, which the tests may kill."""

    def __init__(self, found: postgres.Postgres | valkey.Valkey, log: Path) -> None:
        self.found = found
        self.log = log
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        if isinstance(self.found, postgres.Postgres):
            command = self.found.command(log=self.log, settings=SETTINGS)
        else:
            command = self.found.command(log=self.log, settings=valkey.FORGETTING)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command.argv,
                cwd=command.cwd,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # SIGXFSZ stays ignored, as it is in Python: a file that may not grow is then an error, and not a death.
                restore_signals=False,
            )
        wait_for(self.found.answers, what=f"{command.name} to answer", timeout_seconds=60)

    def end(self, number: signal.Signals) -> None:
        """Send a signal that ends the server, and wait for its end. SIGQUIT is PostgreSQL's immediate shutdown."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(60)

    def send(self, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP freezes the server, SIGCONT resumes it."""
        self.process.send_signal(number)


class Stack:
    """A PostgreSQL and a Valkey below `home`."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True)
        self.database = Server(postgres.prepare(home, password=secrets.token_hex(16)), home / "postgres.log")
        self.broker = Server(valkey.prepare(home / "valkey", port=ports.free()), home / "valkey.log")
        assert isinstance(self.database.found, postgres.Postgres)
        assert isinstance(self.broker.found, valkey.Valkey)
        self.postgres, self.url = self.database.found, self.broker.found.url
        self.postgres.create_database()

    def client(self) -> redis.Redis:
        """Return a client of the broker for the tests."""
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def demote(self) -> None:
        """Make the broker a replica of a server that does not exist: it ends each blocked BRPOP, and refuses writes."""
        self.client().replicaof(ports.HOST, ports.free())

    def promote(self) -> None:
        """Make the broker a primary again."""
        self.client().replicaof("NO", "ONE")

    def fail_over(self) -> Server:
        """Put a new primary under the broker's name; return the old one, which stays as a replica.

        Whoever is connected to the old one stays so. Its name, which is its port, leads new connections to the new one.
        """
        old, home = self.broker, self.broker.log.parent
        assert isinstance(old.found, valkey.Valkey)
        found = valkey.prepare(home / f"valkey-{secrets.token_hex(2)}", port=ports.free())
        new = Server(found, home / f"{found.data.name}.log")
        with self.client() as before, redis.Redis.from_url(found.url, socket_timeout=5) as after:
            before.replicaof(ports.HOST, found.port)
            before.config_set("port", ports.free())
            after.config_set("port", old.found.port)
        new.found = replace(found, port=old.found.port)
        self.broker = new
        return old

    def fill_disk(self) -> None:
        """Let the broker write an append-only file, and this file grow no more, as on a full disk."""
        client = self.client()
        client.config_set("appendonly", "yes")
        wait_for(lambda: _appends(client), what="the broker to have an append-only file", timeout_seconds=60)
        resource.prlimit(self.broker.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        client.set("full", "")
        wait_for(lambda: not _appends(client), what="the broker to notice it", timeout_seconds=60)

    def free_disk(self) -> None:
        """Let the file grow again, and wait until the broker has written what it kept for it."""
        client = self.client()
        resource.prlimit(
            self.broker.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        )
        wait_for(lambda: _appends(client), what="the broker to write its file again", timeout_seconds=60)
        client.config_set("appendonly", "no")

    def consumers(self) -> int:
        """Return how many connections to the broker wait in a BRPOP now: one for each worker group that is idle."""
        return sum(client["cmd"] == "brpop" and "b" in client["flags"] for client in self.client().client_list())

    def deadlocks(self) -> int:
        """Return the number of deadlocks in PostgreSQL's log. Its counters would not survive a crash."""
        return self.database.log.read_text(errors="replace").count("deadlock detected")

    def stop(self) -> None:
        """Stop both servers."""
        self.broker.end(signal.SIGKILL)
        self.database.end(signal.SIGINT)


@contextmanager
def standing(home: Path) -> Iterator[Stack]:
    """Start a stack, create the tables, and let this process's Django and Celery use it until the block ends."""
    stack = Stack(home)
    words = connection.settings_dict
    before = {key: words[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}
    url = settings.REDIS_URL
    try:
        _lead_to(
            {
                "NAME": postgres.DATABASE,
                "USER": postgres.USER,
                "PASSWORD": stack.postgres.password,
                "HOST": str(stack.postgres.socket),
                "PORT": "5432",
            },
            stack.url,
        )
        call_command("migrate", verbosity=0)
        yield stack
    finally:
        _lead_to(before, url)
        stack.stop()


def _appends(client: redis.Redis) -> bool:
    """Whether the broker keeps an append-only file, and could write it the last time."""
    info = client.info("persistence")
    in_work = info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"]
    return bool(info["aof_enabled"] and not in_work and info["aof_last_write_status"] == "ok")


def _lead_to(words: dict[str, Any], url: str) -> None:
    # The connections of all threads are created from this dictionary.
    connection.close()
    connection.settings_dict.update(words)
    ContentType.objects.clear_cache()
    settings.REDIS_URL = os.environ["REDIS_URL"] = url
    window.forget()
    # kombu keeps a pool for each address, also a closed one: whoever comes back to an address needs a new one.
    pools.reset()
    app: Any = current_app
    app._pool = app.amqp._producer_pool = None
    app.conf.update(broker_url=url)
