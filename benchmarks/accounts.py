"""Measure what work costs: CPU time by kind of process, messages, and broker commands. Linux only."""

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
# The figures of one round. Each is per run, except `runs_per_message`.
FIGURES = (*(f"cpu_us_{kind}" for kind in KINDS), "cpu_us", "messages", "broker_commands", "runs_per_message")


@dataclass
class Account:
    """CPU seconds by kind of process, messages published, and broker commands during a `with opened(...)` block."""

    cpu_seconds: dict[str, float] = field(default_factory=dict)
    messages: int = 0
    commands: int = 0

    def for_each(self, runs: int, *, callers_cpu: float) -> dict[str, float]:
        """Return FIGURES. `callers_cpu` is what the callers reported: those processes have ended by now."""
        spent = {**self.cpu_seconds, "callers": callers_cpu}
        cpu = {f"cpu_us_{kind}": round(1e6 * spent[kind] / runs, 2) for kind in KINDS}
        return {
            **cpu,
            "cpu_us": round(sum(cpu.values()), 2),
            "messages": round(self.messages / runs, 5),
            "broker_commands": round(self.commands / runs, 5),
            "runs_per_message": round(runs / self.messages, 2) if self.messages else 0.0,
        }


@contextmanager
def opened(workers: Sequence[int]) -> Iterator[Account]:
    """Measure during a block; the account is complete when the block has ended. `workers` are main processes' pids."""
    account = Account()
    broker = redis.Redis.from_url(os.environ["REDIS_URL"])
    before, commands = _cpu(workers), _commands(broker)
    yield account
    now = _commands(broker)
    account.cpu_seconds = {kind: value - before[kind] for kind, value in _cpu(workers).items()}
    # One LPUSH may push many messages, but each is taken by one BRPOP, so those are counted. A BRPOP that waited a
    # second without a message is counted as well.
    account.messages = now.get("brpop", 0) - commands.get("brpop", 0)
    account.commands = sum(now.values()) - sum(commands.values())
    broker.close()


def _cpu(workers: Sequence[int]) -> dict[str, float]:
    main = sum(processes.own_cpu_seconds(pid) for pid in workers)
    return {
        "worker_main": main,
        # The CPU time of children that have ended is included in their parent's.
        "worker_children": sum(processes.cpu_seconds(pid) for pid in workers) - main,
        **{name: processes.cpu_seconds(pid) for name, pid in servers.pids().items()},
    }


def _commands(broker: redis.Redis) -> dict[str, int]:
    stats: Any = broker.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(one["calls"]) for name, one in stats.items() if "info" not in name}


class Stopwatch:
    """Wall time and CPU time of this process since the stopwatch was created."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = time.process_time()

    def seconds(self) -> float:
        """Wall time."""
        return time.perf_counter() - self._wall

    def cpu_seconds(self) -> float:
        """CPU time of this process."""
        return time.process_time() - self._cpu
