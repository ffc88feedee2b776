"""The workers of the chaos tests: groups `a` and `b`, which are reused by the next test if they are still running."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from runs.models import Process, StepRun
from tests.chaos.size import SIZE
from tests.waiting import wait_for
from tests.workers import Worker

_LATE = {"early": ("0", "0"), "late": ("1", "1"), "mixed": ("0", "1")}


class Fleet:
    """At most two worker groups. `acks` is early, late, or mixed, where each group has one of the two."""

    def __init__(self, home: Path, *, acks: str, allow: str) -> None:
        self.home = home
        self.acks = acks
        self.allow = allow
        self.groups: dict[str, Worker] = {}
        self.started = 0
        for directory in ("armed", "died"):
            (home / directory).mkdir(parents=True)

    def ready(self, *names: str, **env: str) -> None:
        """Make sure that exactly these groups are running, with these settings."""
        wanted = {name: {**self._environment(name), **env} for name in names}
        for name, worker in list(self.groups.items()):
            if not worker.alive() or wanted.get(name) != worker.env:
                worker.kill()
                del self.groups[name]
        fresh = [name for name in wanted if name not in self.groups]
        for name in fresh:
            self.launch(name, **env)
        for name in fresh:
            self.groups[name].wait_ready()

    def launch(self, name: str, **env: str) -> None:
        """Start a group without waiting for it; `groups[name].wait_ready()` waits."""
        self.started += 1
        log = self.home / f"worker-{self.started}-{name}.log"
        worker = Worker(log, app="tests.chaos.app", env={**self._environment(name), **env})
        self.groups[name] = worker
        worker.launch()

    def pids(self, *names: str) -> frozenset[int]:
        """Return the pids of the children of these groups."""
        return frozenset(pid for name in names for pid in self.groups[name].children())

    def busy(self, *names: str, within: float = 180) -> frozenset[int]:
        """Wait until a child of these groups performs a step, and return the pids of those that do."""

        return wait_for(
            lambda: self._in_hand() & self.pids(*names), what=f"a step in hand of {names}", timeout_seconds=within
        )

    def kill_child(self, *names: str) -> frozenset[int]:
        """Kill one child that performs a step (SIGKILL), and return its pid.

        It is stopped first: between the look and the kill it might record the step, and nothing would be lost.
        """
        while True:
            pid = min(self.busy(*names))
            try:
                os.kill(pid, signal.SIGSTOP)
                time.sleep(0.1)  # a statement of it that is under way ends
                in_hand = pid in self._in_hand()
                os.kill(pid, signal.SIGKILL if in_hand else signal.SIGCONT)
            except ProcessLookupError:
                time.sleep(0.01)
            else:
                if in_hand:
                    return frozenset({pid})

    @staticmethod
    def _in_hand() -> frozenset[int]:
        """Pids of the children by which steps are being performed."""
        rows = StepRun.objects.filter(state="running").values("process")
        return frozenset(Process.objects.filter(id__in=rows).values_list("pid", flat=True))

    def said(self) -> str:
        """Return the last log lines of each group, and whether it is alive, to explain a row that did not end."""
        parts = []
        for name, worker in self.groups.items():
            lines = [line for line in worker.said().splitlines() if "run_finished" not in line]
            # Tracebacks are not cut, because their end says where the error was.
            lines = [line if "exception=" in line else line[:400] for line in lines]
            parts.append(f"== group {name} {'lives' if worker.alive() else 'is dead'}\n" + "\n".join(lines[-40:]))
        return "\n".join(parts)

    def stop(self) -> None:
        """Stop all workers."""
        for worker in self.groups.values():
            worker.kill()
        self.groups.clear()

    def _environment(self, name: str) -> dict[str, str]:
        return {
            "CHAOS_HOME": str(self.home),
            "CHAOS_HOST": name,
            "CHAOS_REPEAT_SECONDS": str(SIZE.repeat_seconds),
            "PROCESS_LEASE_SECONDS": str(SIZE.lease_seconds),
            "OUTBOUND_ALLOW": self.allow,
            "CELERY_ACKS_LATE": _LATE[self.acks][name == "b"],
        }
