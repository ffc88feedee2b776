"""One row of the fault table: start runs, inject faults, wait until all runs have ended, and count what went wrong."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.db import InterfaceError, InternalError, OperationalError, connection

from runs.domain.states import RUN_ENDED
from runs.models import Run, StepRun
from runs.queries import invariants
from runs.queries.database import run
from tests.chaos import ledger
from tests.chaos.fleet import Fleet
from tests.chaos.size import SEED, SIZE, Dice
from tests.chaos.stack import Stack
from tests.chaos.witness import Witness
from tests.chaos.workloads import Workload
from tests.flows import begun, published
from tests.waiting import wait_for
from workflows.publishing.publish import Published

T = TypeVar("T")
# Later than any fault, by the wall clock.
_NEVER = 2e9
# How many times more runs are started if no child has reached the point at which it is to be killed.
_TIMES = 6


@dataclass(frozen=True)
class Report:
    """The result of a row. Times are in seconds; `faults` has the number of faults by kind."""

    row: str
    title: str
    acks: str
    seed: int
    runs: int
    steps: int
    faults: dict[str, int]
    lost: int
    stuck: int
    wrong: int
    double_completions: int
    double_releases: int
    missing_effects: int
    repeated_without_key: int
    repeated_with_key: int
    deadlocks: int
    # The end of the time in `recovery`: when a step of a dead process was claimed again, or the first step after the
    # fault.
    recovery_to: str
    recovery: list[float]
    # Seconds from a death until the database showed that the steps of that process must be repeated.
    noticed: list[float]
    drained: float
    notes: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return asdict(self)


# The counts that must be zero.
NEVER = (
    "lost",
    "stuck",
    "wrong",
    "double_completions",
    "double_releases",
    "missing_effects",
    "repeated_with_key",
    "deadlocks",
)


class Row:
    """A row that is being run. `expected` has the state in which a run must end, if not in `succeeded`."""

    def __init__(self, name: str, title: str, *, stack: Stack, fleet: Fleet, witness: Witness, home: Path) -> None:
        self.name, self.title = name, title
        self.stack, self.fleet, self.witness, self.home = stack, fleet, witness, home
        self.dice = Dice(name).random
        self.accepted: dict[UUID, Workload] = {}
        self.expected: dict[UUID, str] = {}
        self.faults: Counter[str] = Counter()
        self.deaths: list[tuple[float, frozenset[int]]] = []
        self.moments: list[float] = []
        self.door: list[float] = []
        self.notes: dict[str, float] = {}
        # The report, once the row has ended.
        self.reports: list[Report] = []
        self._deadlocks = stack.deadlocks()
        self._last_fault = time.time()

    # -- starting runs ------------------------------------------------------------------------------------------

    def start(self, workload: Workload, count: int, *, together: int = 10) -> list[UUID]:
        """Start runs like a client that repeats a start, with the same idempotency key, if it got no response."""
        flow = patiently(lambda: published(workload.text))
        found: list[UUID] = []
        while len(found) < count:
            keys = [str(uuid4()) for _ in range(min(together, count - len(found)))]
            began = time.monotonic()
            ids = [patiently(partial(_begun, flow, n, key)) for n, key in enumerate(keys)]
            self.door += [(time.monotonic() - began) / len(keys)] * len(keys)
            found += ids
        self.accepted |= dict.fromkeys(found, workload)
        return found

    # -- injecting faults ---------------------------------------------------------------------------------------

    def fault(self, kind: str, *, pids: frozenset[int] = frozenset(), count: int = 1, over: bool = True) -> None:
        """Record a fault that has just happened: the death of these processes, or another fault that is over now."""
        now = self._last_fault = time.time()
        self.faults[kind] += count
        if pids:
            self.deaths.append((now, pids))
        elif over:
            self.moments.append(now)

    def kill_child(self, *names: str) -> None:
        """Kill a child (SIGKILL) in the middle of a step."""
        self.fault("child killed", pids=self.fleet.kill_child(*names))

    def kill_group(self, name: str) -> None:
        """Kill a whole worker group (SIGKILL) in the middle of a step, and start it again."""
        pids = self.fleet.busy(name) | self.fleet.pids(name)
        self.fleet.groups[name].kill()
        self.fault("worker group killed", pids=pids)

    def kill_at(self, point: str, *, workload: Workload, count: int) -> None:
        """Start runs, kill the first child that reaches this point (SIGKILL), and wait for its death."""
        before = set((self.home / "died").iterdir())
        armed = self.home / "armed" / point
        armed.mkdir(exist_ok=True)
        (armed / "1").touch()

        def deaths() -> set[Path]:
            return set((self.home / "died").iterdir()) - before

        self.start(workload, count)
        for _ in range(_TIMES):
            with suppress(AssertionError):
                wait_for(deaths, what=f"a death at {point}", timeout_seconds=10)
                break
            # The runs may end before a child reaches the point, so more are started.
            self.start(workload, 2)
        for died in wait_for(deaths, what=f"a death at {point}", timeout_seconds=10):
            at, pid, _ = died.name.split("-")
            self.fault(f"child killed {point.replace('_', ' ')}", pids=frozenset({int(pid)}))
            self.deaths[-1] = (int(at) / 1e9, frozenset({int(pid)}))

    def bad_bus(self, *, drop: float, double: float, hold: float) -> None:
        """From now on drop, double and delay these shares of messages."""
        (self.home / "bus").write_text(f"{drop} {double} {hold}")

    def bad_letters(self) -> int:
        """Return how many messages were dropped, doubled or delayed so far."""
        log = self.home / "bus-log"
        return log.stat().st_size // 2 if log.exists() else 0

    def good_bus(self) -> None:
        """Stop the message faults, and record how many there were."""
        (self.home / "bus").unlink()
        letters = (self.home / "bus-log").read_bytes()
        for kind, mark in (("message dropped", b"dr"), ("message doubled", b"do"), ("message held back", b"ho")):
            self.fault(kind, count=letters.count(mark))
        (self.home / "bus-log").unlink()

    # -- waiting and counting -----------------------------------------------------------------------------------

    def all_end(self, *, within: float | None = None) -> bool:
        """Wait until every run has ended; return whether they have. Runs that have not count as stuck."""
        ids = list(self.accepted)
        deadline = time.monotonic() + (within or SIZE.patience_seconds)
        while patiently(lambda: Run.objects.filter(id__in=ids).exclude(state__in=RUN_ENDED).exists()):
            if time.monotonic() > deadline:
                print(self.fleet.said())
                return False
            time.sleep(0.05)
        return True

    def all_parked(self, ids: list[UUID], *, step: str) -> None:
        """Wait until each of these runs has come to this step, at which it waits; some may have gone on."""
        came = StepRun.objects.filter(run_id__in=ids, step=step, state__in=("waiting", "succeeded"))
        wait_for(lambda: came.count() == len(ids), what=f"{len(ids)} runs to come to {step}", timeout_seconds=180)

    def waiting(self, ids: list[UUID]) -> int:
        """How many of these runs wait now."""
        return Run.objects.filter(id__in=ids, state="waiting").count()

    def report(self) -> Report:
        """Count what went wrong, and return the report."""
        ids = list(self.accepted)
        states = dict(Run.objects.filter(id__in=ids).values_list("id", "state"))
        ended = {run_id: state for run_id, state in states.items() if state in RUN_ENDED}
        audit = {row[0] for row in run(invariants.AUDIT, limit=10_000)} & set(ids)
        good = [run_id for run_id, state in ended.items() if state == "succeeded"]
        wrong = sum(1 for run_id, state in ended.items() if state != self.expected.get(run_id, "succeeded"))
        done = StepRun.objects.filter(run_id__in=good, state="succeeded").count()
        wrong += abs(sum(self.accepted[run_id].steps for run_id in good) - done)
        entries = ledger.read(ids)
        naive, keyed = self.witness.repeated(ids)
        took = ledger.taken_up(entries, self.deaths)
        first = ledger.first_steps_after(list(pairwise([*self.moments, _NEVER])), ids)
        self.notes["early"] = ledger.early(entries)
        return Report(
            row=self.name,
            title=self.title,
            acks=self.fleet.acks,
            seed=SEED,
            runs=len(ids),
            steps=StepRun.objects.filter(run_id__in=ids).count(),
            faults=dict(self.faults),
            lost=len(ids) - len(states),
            stuck=len(states) - len(ended) + len(audit),
            wrong=wrong,
            double_completions=ledger.double_completions(entries),
            double_releases=ledger.double_releases(entries),
            missing_effects=self.witness.missing(
                (str(run_id), step) for run_id in good for step in self.accepted[run_id].effects
            ),
            repeated_without_key=naive,
            repeated_with_key=keyed,
            deadlocks=self.stack.deadlocks() - self._deadlocks,
            recovery_to="step taken up again" if took else "first step",
            recovery=[round(seconds, 2) for seconds in (took or first)],
            noticed=[round(seconds, 2) for seconds in ledger.noticed(entries, self.deaths)],
            drained=round(self._drained(), 1),
            notes={key: round(value, 3) for key, value in self.notes.items()},
        )

    def slowest(self) -> float:
        """Return the seconds of the slowest recovery; 0 if no step had to be claimed again."""
        return max(self.reports[0].recovery, default=0.0)

    def _drained(self) -> float:
        last = Run.objects.filter(id__in=list(self.accepted), finished_at__isnull=False).order_by("-finished_at")
        ended = last.values_list("finished_at", flat=True).first()
        return max(0.0, ended.timestamp() - self._last_fault) if ended is not None else 0.0


def _begun(flow: Published, n: int, key: str) -> UUID:
    return begun(flow, {"n": n}, idempotency_key=key)[0]


def patiently(ask: Callable[[], T], *, within: float = 60) -> T:
    """Call a function until the database, which may be away or read-only, does what is asked; return the result."""
    deadline = time.monotonic() + within
    while True:
        try:
            return ask()
        except (OperationalError, InterfaceError, InternalError):
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def at_once(asks: Sequence[Callable[[], T]]) -> list[T]:
    """Call all functions at the same time, each on its own database connection, and return their results."""

    def ask(one: Callable[[], T]) -> T:
        try:
            return one()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(asks)) as pool:
        return list(pool.map(ask, asks))
