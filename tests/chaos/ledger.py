"""A log of all changes of state, written by database triggers of the tests, and what is counted from it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

from django.db import connection

_TABLES = """
CREATE TABLE chaos_ledger (
    n bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL DEFAULT clock_timestamp(), kind text NOT NULL,
    run_id uuid, step text, item int, state text, attempt int, process uuid, due timestamptz
);
CREATE INDEX ON chaos_ledger (run_id);
CREATE TABLE chaos_process (id uuid PRIMARY KEY, host text, pid int);
CREATE FUNCTION chaos_step() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'INSERT' OR OLD.state <> NEW.state OR OLD.attempt <> NEW.attempt THEN
        INSERT INTO chaos_ledger (kind, run_id, step, item, state, attempt, process, due) VALUES
        ('step', NEW.run_id, NEW.step, NEW.item, NEW.state, NEW.attempt, NEW.process, NEW.wake_at);
    END IF; RETURN NULL; END $$;
CREATE FUNCTION chaos_run() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'INSERT' OR OLD.state <> NEW.state THEN
        INSERT INTO chaos_ledger (kind, run_id, state) VALUES ('run', NEW.id, NEW.state);
    END IF; RETURN NULL; END $$;
CREATE FUNCTION chaos_ticket() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO chaos_ledger (kind, run_id, step, item, due)
    VALUES ('ticket', NEW.run_id, NEW.head, NEW.item, NEW.due_at);
    RETURN NULL; END $$;
CREATE FUNCTION chaos_birth() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO chaos_process VALUES (NEW.id, NEW.host, NEW.pid) ON CONFLICT DO NOTHING; RETURN NULL; END $$;
CREATE TRIGGER chaos AFTER INSERT OR UPDATE ON runs_steprun FOR EACH ROW EXECUTE FUNCTION chaos_step();
CREATE TRIGGER chaos AFTER INSERT OR UPDATE ON runs_run FOR EACH ROW EXECUTE FUNCTION chaos_run();
CREATE TRIGGER chaos AFTER INSERT ON runs_ticket FOR EACH ROW EXECUTE FUNCTION chaos_ticket();
CREATE TRIGGER chaos AFTER INSERT ON runs_process FOR EACH ROW EXECUTE FUNCTION chaos_birth();
"""
_ENDS = ("succeeded", "failed", "cancelled", "compensated")
StepKey = tuple[UUID, str, int]


@dataclass(frozen=True)
class Entry:
    """One logged change. `pid` is that of the process which was performing the step."""

    at: datetime
    kind: str
    run_id: UUID
    step: str
    item: int
    state: str
    attempt: int
    pid: int | None
    due: datetime | None

    @property
    def place(self) -> StepKey:
        """The key of the step that changed."""
        return (self.run_id, self.step, self.item)


def install() -> None:
    """Create the tables and triggers of the log."""
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)


def read(runs: Sequence[UUID]) -> list[Entry]:
    """Return the logged changes of these runs, in order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT l.at, l.kind, l.run_id, coalesce(l.step, ''), coalesce(l.item, -1), coalesce(l.state, ''),"
            " coalesce(l.attempt, 0), p.pid, l.due FROM chaos_ledger l LEFT JOIN chaos_process p ON p.id = l.process"
            " WHERE l.run_id = ANY(%s) ORDER BY l.n",
            [list(runs)],
        )
        return [Entry(*row) for row in cursor.fetchall()]


def double_completions(entries: Sequence[Entry]) -> int:
    """Count how often a step succeeded again, or a run ended again, after the first time."""
    steps = Counter(entry.place for entry in entries if entry.kind == "step" and entry.state == "succeeded")
    runs = Counter(entry.run_id for entry in entries if entry.kind == "run" and entry.state in _ENDS)
    return sum(count - 1 for count in [*steps.values(), *runs.values()])


def double_releases(entries: Sequence[Entry]) -> int:
    """Count the tickets of a step beyond the first and one per retry: each shows a join that was released twice."""
    tickets = Counter(entry.place for entry in entries if entry.kind == "ticket")
    retried = Counter(entry.place for entry in entries if entry.kind == "step" and entry.state == "retrying")
    return sum(max(0, count - 1 - retried[place]) for place, count in tickets.items())


def started_after_cancel(entries: Sequence[Entry]) -> int:
    """Count the steps that began to run after their run was cancelled."""
    cancelled: set[UUID] = set()
    found = 0
    for entry in entries:
        if entry.kind == "run" and entry.state == "cancelled":
            cancelled.add(entry.run_id)
        found += entry.kind == "step" and entry.state == "running" and entry.run_id in cancelled
    return found


def early(entries: Sequence[Entry]) -> int:
    """Count the steps that were woken before their `wake_at`, or claimed before their ticket's `due_at`."""
    due: dict[StepKey, datetime] = {}
    found = 0
    for entry in entries:
        if entry.kind == "step" and entry.state in ("running", "succeeded"):
            found += entry.place in due and entry.at < due.pop(entry.place)
        elif entry.due is not None:
            due[entry.place] = entry.due
    return found


def lateness(entries: Sequence[Entry]) -> list[float]:
    """Return the seconds from `wake_at` until each waiting step was woken."""
    due = {entry.place: entry.due for entry in entries if entry.state == "waiting" and entry.due is not None}
    return [
        (entry.at - due[entry.place]).total_seconds()
        for entry in entries
        if entry.kind == "step" and entry.state == "succeeded" and entry.place in due
    ]


def taken_up(entries: Sequence[Entry], deaths: Sequence[tuple[float, frozenset[int]]]) -> list[float]:
    """Return the seconds from each death (wall clock, pids) until a step of that process was claimed again."""
    claims: defaultdict[StepKey, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.kind == "step" and entry.state == "running":
            claims[entry.place].append(entry)
    found = []
    for tried in claims.values():
        for first, second in pairwise(tried):
            seen = [at for at, pids in deaths if first.pid in pids and _within(first.at, at, second.at)]
            found += [second.at.timestamp() - at for at in seen[:1]]
    return found


def noticed(entries: Sequence[Entry], deaths: Sequence[tuple[float, frozenset[int]]]) -> list[float]:
    """Return the seconds from each death until the database showed that a step of that process must be repeated."""
    steps: defaultdict[StepKey, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.kind == "step":
            steps[entry.place].append(entry)
    found = []
    for changes in steps.values():
        for first, second in pairwise(changes):
            if first.state == "running" and second.state in ("retrying", "failed"):
                seen = [at for at, pids in deaths if first.pid in pids and _within(first.at, at, second.at)]
                found += [second.at.timestamp() - at for at in seen[:1]]
    return found


def first_steps_after(moments: Sequence[tuple[float, float]], runs: Sequence[UUID]) -> list[float]:
    """Return the seconds from each moment (wall clock) until a step was claimed or recorded before the next moment."""
    found = []
    with connection.cursor() as cursor:
        for begin, end in moments:
            cursor.execute(
                "SELECT extract(epoch FROM min(at))::float8 FROM chaos_ledger WHERE kind = 'step' AND run_id = ANY(%s)"
                " AND at > to_timestamp(%s) AND at < to_timestamp(%s)",
                [list(runs), begin, end],
            )
            row: Any = cursor.fetchone()
            found += [row[0] - begin] if row[0] is not None else []
    return found


def _within(first: datetime, at: float, second: datetime) -> bool:
    return first.timestamp() <= at <= second.timestamp()
