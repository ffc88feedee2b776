"""The workers of the chaos tests: groups `a` and `b`, kept from one test to the next where they still live."""

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
    """Two worker groups at most; `acks` is early, late, or mixed: one group each way."""

    def __init__(self, home: Path, *, acks: str, allow: str) -> None:
        self.home = home
        self.acks = acks
        self.allow = allow
        self.groups: dict[str, Worker] = {}
        self.started = 0
        for directory in ("armed", "died"):
            (home / directory).mkdir(parents=True)

    def ready(self, *names: str, **env: str) -> None:
        """These groups, and no other, run with these settings."""
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
        """Begin to start a group; `groups[name].wait_ready()` waits for it."""
        self.started += 1
        log = self.home / f"worker-{self.started}-{name}.log"
        worker = Worker(log, app="tests.chaos.app", env={**self._environment(name), **env})
        self.groups[name] = worker
        worker.launch()

    def pids(self, *names: str) -> frozenset[int]:
        """The children of these groups."""
        return frozenset(pid for name in names for pid in self.groups[name].children())

    def busy(self, *names: str, within: float = 180) -> frozenset[int]:
        """The children of these groups that have a step in hand, once there is one."""

        return wait_for(
            lambda: self._in_hand() & self.pids(*names), what=f"a step in hand of {names}", timeout_seconds=within
        )

    def kill_child(self, *names: str) -> frozenset[int]:
        """kill -9 of one child that has a step in hand; answers its pid.

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
        """The last that each group logged, and whether it lives, for a row that did not end."""
        told = []
        for name, worker in self.groups.items():
            lines = [line for line in worker.said().splitlines() if "run_finished" not in line]
            # Where it died says the end of a traceback.
            lines = [line if "exception=" in line else line[:400] for line in lines]
            told.append(f"== group {name} {'lives' if worker.alive() else 'is dead'}\n" + "\n".join(lines[-40:]))
        return "\n".join(told)

    def stop(self) -> None:
        """No worker is left."""
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
