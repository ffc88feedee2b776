"""Faults inside a process: lost messages, deaths at chosen points, wrong clocks, actions that kill their process.

They are controlled by files below `home`, a directory of the tests. A file armed/<point>/<n> kills the first child that
reaches this point. The file `bus` has the shares of messages that are dropped, doubled and delayed on their way to the
broker.
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
    """Reports to the witness, then kills its process: by a segfault, sys.exit, as the OOM killer, or an endless
    loop.
    """

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
            # What the kernel's out-of-memory killer does.
            os.kill(os.getpid(), signal.SIGKILL)
        elif config.end == "hang":
            # Holds Python's global interpreter lock, so that neither the executor nor the lease's thread can run.
            re.match(r"(a+)+$", "a" * 40 + "b")
        raise Retryable("it came back")


class Late(Action[Config]):
    """An action that only some workers have, as after a deploy."""

    name: ClassVar[str] = "chaos_late"
    summary: ClassVar[str] = "Be new"
    output: ClassVar[str] = "none"
    config_class: ClassVar[type[Config]] = Config

    def perform(self, config: Config, context: Context) -> Json:
        return {"new": True}


class BusyConfig(Config):
    seconds: float


class Busy(Action[BusyConfig]):
    """Occupies a thread of its worker, however long: `sleep` waits as a row if it takes longer than a second."""

    name: ClassVar[str] = "chaos_busy"
    summary: ClassVar[str] = "Occupy a worker"
    output: ClassVar[str] = "none"
    config_class: ClassVar[type[Config]] = BusyConfig

    def perform(self, config: BusyConfig, context: Context) -> Json:
        time.sleep(config.seconds)
        return None


def deploy(*actions: type[Action[Any]]) -> None:
    """Register these actions in this process."""
    registry.ACTIONS.update({action.name: f"{__name__}.{action.__name__}" for action in actions})


@contextlib.contextmanager
def installed(home: Path, *, repeat_seconds: float) -> Iterator[None]:
    """Call `install` in this process, and undo it at the end of the block."""
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
    """Install the message faults, the repeat time of knocks, and the actions above; for all processes, also the
    tests'.
    """
    deploy(Deadly, Busy)
    _repeat_after(repeat_seconds)
    _bad_bus(home)


def arm(home: Path, *, host: str) -> None:
    """Install what only workers have: the points at which a child can be killed, and the reported host name."""
    # The pid is read before the pool forks: only children die, not the main process, whose sweep reaches points as
    # well.
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
    """Replace the Redis client's LPUSH, by which Celery and runs.dispatch.window (which sends most knocks) publish."""
    push: Callable[..., Any] = redis.Redis.lpush
    held: list[Any] = []

    def bad_push(self: Any, queue: str, *messages: Any) -> Any:
        # Queue names have no prefix yet: Celery's client adds it later.
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
    """Decide whether a message is dropped, doubled, delayed or sent; each fault appends two letters to `bus-log`."""
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
    """Kill this process (SIGKILL) if a death is armed for this point. The file then has the time and the pid."""
    for armed in (home / "armed" / point).glob("*"):
        with contextlib.suppress(FileNotFoundError):
            armed.rename(home / "died" / f"{time.time_ns()}-{os.getpid()}-{point}")
            os.kill(os.getpid(), signal.SIGKILL)


def _replace(holder: Any, name: str, value: Any) -> None:
    # Celery logs what its signals' receivers raise and goes on: without this a name that moved would arm nothing.
    assert hasattr(holder, name), f"{holder.__name__} has no {name}"
    setattr(holder, name, value)
