"""What goes wrong inside a process: messages, deaths at chosen points, clocks, actions that end their process.

`home` is a directory of the tests. A file armed/<point>/<n> kills the first child that comes to this point; `bus`, with
the shares of messages to drop, double and hold back, makes the way to the broker a bad one.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import redis

from actions import registry
from actions.base import Action, Config, Context, Json, Retryable
from actions.catalogue.http_request import HttpRequest, HttpRequestConfig
from runs.control import inserts
from runs.dispatch import admission
from runs.domain import releases
from runs.engine import attempt, lease, record, release, tickets
from runs.maintenance import sweep
from runs.worker import delivery

POINTS = ("after_claim", "before_effect", "after_effect", "before_commit", "after_commit", "before_publish")


class Ending(HttpRequestConfig):
    end: str


class Deadly(Action[Ending]):
    """Tells the witness that it is performed, and takes its process down in one of the ways in which code does."""

    name: ClassVar[str] = "chaos_deadly"
    summary: ClassVar[str] = "End the process"
    output: ClassVar[str] = "none"
    timeout_seconds: ClassVar[float] = 2.0
    config_class: ClassVar[type[Config]] = Ending

    def perform(self, config: Ending, context: Context) -> Json:
        HttpRequest().perform(config, context)
        if config.end == "segfault":
            ctypes.string_at(0)
        elif config.end == "exit":
            sys.exit("an action's own idea")
        elif config.end == "memory":
            # As the kernel's out-of-memory killer does.
            os.kill(os.getpid(), signal.SIGKILL)
        elif config.end == "hang":
            # Holds Python's one lock: neither the executor nor the lease's thread gets a turn.
            re.match(r"(a+)+$", "a" * 40 + "b")
        raise Retryable("it came back")


class Late(Action[Config]):
    """An action that only some deployments have."""

    name: ClassVar[str] = "chaos_late"
    summary: ClassVar[str] = "Be new"
    output: ClassVar[str] = "none"
    config_class: ClassVar[type[Config]] = Config

    def perform(self, config: Config, context: Context) -> Json:
        return {"new": True}


def deploy(*actions: type[Action[Any]]) -> None:
    """These actions exist in this process."""
    registry.ACTIONS.update({action.name: f"{__name__}.{action.__name__}" for action in actions})


@contextlib.contextmanager
def installed(home: Path, *, repeat_seconds: float) -> Iterator[None]:
    """The bad bus, how soon knocks repeat, and the actions above in this process, until the block ends."""
    push, before, known = redis.Redis.lpush, releases.REPEAT_SECONDS, dict(registry.ACTIONS)
    install(home, repeat_seconds=repeat_seconds)
    deploy(Late)
    try:
        yield
    finally:
        _replace(redis.Redis, "lpush", push)
        _repeat_after(before)
        registry.ACTIONS.clear()
        registry.ACTIONS.update(known)


def install(home: Path, *, repeat_seconds: float) -> None:
    """What every process of the chaos tests shares, the tests' own too."""
    deploy(Deadly)
    _repeat_after(repeat_seconds)
    _bad_bus(home)


def arm(home: Path, *, host: str) -> None:
    """What a worker has besides: points at which it may be killed, and the host that it believes to be on."""
    # Armed before the pool forks: only children die, and not the main process, whose sweep comes to some points too.
    main = os.getpid()
    there = f"{host} {lease.host()}"
    _replace(lease, "host", lambda: there)
    _deadly(home, main, tickets, "claim", after="after_claim")
    _deadly(home, main, attempt, "attempt", before="before_effect", after="after_effect")
    _deadly(home, main, record, "_record", after="before_commit")
    _deadly(home, main, record, "record", after="after_commit")
    _deadly(home, main, delivery, "deliver", after="before_publish")


def _repeat_after(seconds: float) -> None:
    for module in (admission, inserts, sweep, release, tickets):
        _replace(module, "REPEAT_SECONDS", seconds)


def _bad_bus(home: Path) -> None:
    """By the command that puts a message into a list: Celery uses it, and runs.dispatch.window, which sends most
    knocks.
    """
    push: Callable[..., Any] = redis.Redis.lpush
    held: list[Any] = []

    def bad_push(self: Any, queue: str, *messages: Any) -> Any:
        # Celery's client puts the prefix before the name behind this.
        if not queue.endswith("runs"):
            return push(self, queue, *messages)
        sent: list[Any] = []
        for message in messages:
            fate = _fate(home)
            if fate == "hold":
                held.append(message)
            elif fate != "drop":
                sent += [message, message] if fate == "double" else [message]
                while held:
                    sent.append(held.pop())
        return push(self, queue, *sent) if sent else 0

    _replace(redis.Redis, "lpush", bad_push)


def _fate(home: Path) -> str:
    """What becomes of a message; each fault is two letters in the file `bus-log`."""
    try:
        shares = (home / "bus").read_text().split()
    except OSError:
        return "pass"
    chance = random.random()
    for fate, share in zip(("drop", "double", "hold"), map(float, shares), strict=True):
        if chance < share:
            with (home / "bus-log").open("ab") as log:
                log.write(fate[:2].encode())
            return fate
        chance -= share
    return "pass"


def _deadly(home: Path, main: int, holder: Any, name: str, *, before: str = "", after: str = "") -> None:
    original = getattr(holder, name)

    def deadly(*args: Any, **options: Any) -> Any:
        if before and os.getpid() != main:
            _die(home, before)
        answer = original(*args, **options)
        if after and os.getpid() != main:
            _die(home, after)
        return answer

    _replace(holder, name, deadly)


def _die(home: Path, point: str) -> None:
    """kill -9 of this process if one is armed for the point. Its file then says when, and who."""
    for armed in (home / "armed" / point).glob("*"):
        with contextlib.suppress(FileNotFoundError):
            armed.rename(home / "died" / f"{time.time_ns()}-{os.getpid()}-{point}")
            os.kill(os.getpid(), signal.SIGKILL)


def _replace(holder: Any, name: str, value: Any) -> None:
    # Celery logs what its signals' receivers raise and goes on: without this a name that moved would arm nothing.
    assert hasattr(holder, name), f"{holder.__name__} has no {name}"
    setattr(holder, name, value)
