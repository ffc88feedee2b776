"""What a piece of work cost: processor time by kind of process, and messages. Linux only."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import redis

from benchmarks import processes, servers

KINDS = ("callers", "worker_main", "worker_children", "postgresql", "broker")
# Statistics of a round are these, each for one run but for `runs_per_message`.
FIGURES = (*(f"cpu_us_{kind}" for kind in KINDS), "cpu_us", "messages", "broker_commands", "runs_per_message")


@dataclass
class Account:
    """Seconds of processor time by kind, messages published and commands to the broker, while the block was open."""

    cpu_seconds: dict[str, float] = field(default_factory=dict)
    messages: int = 0
    commands: int = 0

    def for_each(self, runs: int, *, callers_cpu: float) -> dict[str, float]:
        """FIGURES; the callers are processes that have ended by now, so they tell their share themselves."""
        spent = {**self.cpu_seconds, "callers": callers_cpu}
        told = {f"cpu_us_{kind}": round(1e6 * spent[kind] / runs, 2) for kind in KINDS}
        return {
            **told,
            "cpu_us": round(sum(told.values()), 2),
            "messages": round(self.messages / runs, 5),
            "broker_commands": round(self.commands / runs, 5),
            "runs_per_message": round(runs / self.messages, 2) if self.messages else 0.0,
        }


@contextmanager
def opened(workers: Sequence[int]) -> Iterator[Account]:
    """`workers` are the main processes; the account is complete when the block has ended."""
    account = Account()
    broker = redis.Redis.from_url(os.environ["REDIS_URL"])
    before, commands = _cpu(workers), _commands(broker)
    yield account
    now = _commands(broker)
    account.cpu_seconds = {kind: value - before[kind] for kind, value in _cpu(workers).items()}
    # One LPUSH may bring many messages; each is taken with one BRPOP. One that waited a second in vain counts, too.
    account.messages = now.get("brpop", 0) - commands.get("brpop", 0)
    account.commands = sum(now.values()) - sum(commands.values())
    broker.close()


def _cpu(workers: Sequence[int]) -> dict[str, float]:
    main = sum(processes.own_cpu_seconds(pid) for pid in workers)
    return {
        "worker_main": main,
        # Those that have ended are in their parent's account.
        "worker_children": sum(processes.cpu_seconds(pid) for pid in workers) - main,
        **{name: processes.cpu_seconds(pid) for name, pid in servers.pids().items()},
    }


def _commands(broker: redis.Redis) -> dict[str, int]:
    told: Any = broker.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(one["calls"]) for name, one in told.items() if "info" not in name}


class Stopwatch:
    """Wall and processor seconds of this process since it was made."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = time.process_time()

    def seconds(self) -> float:
        """On the wall."""
        return time.perf_counter() - self._wall

    def cpu_seconds(self) -> float:
        """Of this process."""
        return time.process_time() - self._cpu
