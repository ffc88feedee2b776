"""Send signals: a name and a payload, to runs by their ids, or to all runs that wait with a correlation key.

In each run a signal ends the wait of the step that has waited longest for its name. A signal that comes before its step
begins to wait is kept.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import OperationalError, transaction
from uuid_utils.compat import uuid7

from actions.base import Json
from runs.control.keys import KeyTaken
from runs.control.preconditions import AT_ONCE, SIGNALLABLE
from runs.dispatch import dispatcher
from runs.domain.actor import Actor
from runs.domain.outcomes import Recorded
from runs.domain.requests import Conflict
from runs.engine import endings, record, release, report, waits
from runs.engine.waits import Came, Wait
from runs.planning import plan as plans
from runs.planning.written_config import ANY_SIGNAL
from runs.queries import signals, values
from runs.queries.database import Row, run

# How long a signal that was sent by key is kept if no step comes to wait for it.
KEEP_SECONDS = 7 * 86400.0
# Signals of one name that are kept for a run that has a step whose signal name is an expression, known only later.
MAX_KEPT = 100
_BATCH = 1000


class TooMany(Exception):
    """More runs wait with the key than one signal may wake; nothing was changed."""


@dataclass(frozen=True)
class Message:
    """A signal to be sent. If its idempotency key is known, for the run or for the name and key, nothing is changed.

    `compares`: it is an error if the known signal has another name or payload.
    """

    name: str
    payload: Json = None
    idempotency_key: str | None = None
    compares: bool = False


@dataclass(frozen=True)
class Sent:
    """A signal that has a row. `run_id` is None if it is kept for a key; `created` is false if it was sent before."""

    id: UUID
    run_id: UUID | None
    created: bool


def send(run_ids: Sequence[UUID], *, message: Message, actor: Actor) -> list[Sent]:
    """Send the signal to these runs, and return one Sent for each run that took it.

    A run takes it if a step waits for the name, or may still come to wait for it. Raises KeyTaken.
    """
    with transaction.atomic():
        found = run(signals.LOCK_RUNS, runs=list(run_ids))
        known = _known(message, runs=[row[0] for row in found])
        workspaces = _workspaces(found, known=known)
        waiting = _waiting(list(workspaces), message=message)
        kept = _keepable([run_id for run_id in workspaces if run_id not in waiting], name=message.name)
        takers = {run_id: waiting.get(run_id) for run_id in workspaces if run_id in waiting or run_id in kept}
        sent = _insert_by_workspace(takers, workspaces=workspaces, message=message, actor=actor)
        wake(list(waiting.values()), dict.fromkeys(waiting, message.payload))
    return [Sent(row, key, created=False) for key, row in known.items()] + sent


def send_by_key(key: str, *, workspace_id: UUID, message: Message, actor: Actor) -> list[Sent]:
    """Send the signal to every run of the workspace that waits for its name with this correlation key.

    If no run waits for it, it is kept for KEEP_SECONDS. Raises TooMany and KeyTaken.
    """
    with transaction.atomic():
        run(signals.LOCK_KEYS, names=[message.name], keys=[key])
        address = {"workspace": workspace_id, "name": message.name, "key": key}
        if message.idempotency_key is not None:
            payload = values.nullable(message.payload)
            found = run(signals.KNOWN_BY_KEY, once=message.idempotency_key, payload=payload, **address)
            if found:
                return [Sent(row[0], row[1], created=False) for row in _same(found, message)]
        runs = [row[0] for row in run(signals.WAITING_WITH_KEY, limit=AT_ONCE + 1, **address)]
        if len(runs) > AT_ONCE:
            raise TooMany(
                f"more than {AT_ONCE} runs wait for {message.name!r} with this key; send to them by their ids"
            )
        run(signals.LOCK_RUNS, runs=runs)
        # Read again now that the locks are held: meanwhile a timer or a cancel may have ended a wait.
        waiting = _waiting(runs, message=message, key=key)
        takers: Mapping[UUID | None, Wait | None] = waiting or {None: None}  # type: ignore[assignment]  # keys are read
        sent = _insert(takers, message=message, actor=actor, workspace_id=workspace_id, key=key)
        wake(list(waiting.values()), dict.fromkeys(waiting, message.payload))
    return sent


def wake(waiting: Sequence[Wait], payloads: Mapping[UUID, Json]) -> None:
    """End these waits with the payloads of their runs, which are locked; report and dispatch after the commit.

    Raises OperationalError if one of them could not be recorded; then the caller must roll back the transaction.
    """
    groups: dict[tuple[UUID, str], list[Wait]] = {}
    for one in waiting:
        groups.setdefault((one.version_id, one.step), []).append(one)
    recorded = Recorded()
    with release.for_a_door():
        for (version_id, _), group in groups.items():
            outcomes = [waits.outcome_of(one, Came(payloads[one.run.id], one.at)) for one in group]
            recorded = recorded.joined(record.record(outcomes, plan=plans.load(version_id)))
    if len(recorded.won) < len(waiting):
        raise OperationalError("a step could not be woken now, because something else holds its run; try again")
    if waiting:
        transaction.on_commit(lambda: _after(recorded))


def forget() -> int:
    """Delete signals by key for which no step came to wait within KEEP_SECONDS, and return how many."""
    return len(run(signals.FORGET, limit=_BATCH))


def _after(recorded: Recorded) -> None:
    report.report(recorded)
    dispatcher.after_commit()


def _workspaces(found: Sequence[Row], *, known: Container[UUID]) -> dict[UUID, UUID]:
    """Return the workspaces, by run, of the runs that have not ended and do not have this signal already."""
    return {
        run_id: workspace_id for run_id, state, workspace_id in found if state in SIGNALLABLE and run_id not in known
    }


def _known(message: Message, *, runs: Sequence[UUID]) -> dict[UUID, UUID]:
    """Return the signals that have the message's idempotency key, by run."""
    if message.idempotency_key is None or not runs:
        return {}
    given = {"name": message.name, "payload": values.nullable(message.payload)}
    found = run(signals.KNOWN, runs=list(runs), once=message.idempotency_key, **given)
    return {row[1]: row[0] for row in _same(found, message)}


def _same(found: Sequence[Row], message: Message) -> Sequence[Row]:
    """Return the rows of known signals. Raises KeyTaken if one has another name or payload and the message compares."""
    for signal_id, _, first, given in found:
        if message.compares and first is not None:
            raise KeyTaken(message.idempotency_key, Conflict("signal", signal_id, first, given))
    return found


def _waiting(runs: Sequence[UUID], *, message: Message, key: str | None = None) -> dict[UUID, Wait]:
    if not runs:
        return {}
    found = run(signals.WAITING_FOR, runs=list(runs), name=message.name, key=key)
    return {one.run.id: one for one in map(waits.read, found)}


def _keepable(runs: Sequence[UUID], *, name: str) -> set[UUID]:
    """Return those of the runs in which one more signal of this name may still find a step that waits for it."""
    found = set()
    signalled = run(signals.SIGNALLED_RUNS, runs=list(runs), name=name) if runs else []
    for run_id, version_id, over, kept, ending in signalled:
        if kept < _places(version_id, name=name, over=over, ending=ending):
            found.add(run_id)
    return found


def _places(version_id: UUID, *, name: str, over: Iterable[str], ending: str | None) -> int:
    """Return how many signals of this name steps can still use up; `over` are the steps that have ended.

    If the run is on its way to its end (`ending`), only steps that may follow its work count.
    """
    gone = set(over)
    steps = [step for step in plans.load(version_id).steps.values() if step.id not in gone]
    awaited = [step.config.awaits for step in steps if ending is None or endings.may_follow(step, ending=ending)]
    return awaited.count(name) + (MAX_KEPT if ANY_SIGNAL in awaited else 0)


def _insert_by_workspace(
    takers: Mapping[UUID, Wait | None], *, workspaces: Mapping[UUID, UUID], message: Message, actor: Actor
) -> list[Sent]:
    """As _insert, with one statement for each workspace."""
    sent = []
    for workspace_id in dict.fromkeys(workspaces.values()):
        theirs: dict[UUID | None, Wait | None] = {
            run_id: wait for run_id, wait in takers.items() if workspaces[run_id] == workspace_id
        }
        sent += _insert(theirs, message=message, actor=actor, workspace_id=workspace_id)
    return sent


def _insert(
    takers: Mapping[UUID | None, Wait | None],
    *,
    message: Message,
    actor: Actor,
    workspace_id: UUID,
    key: str | None = None,
) -> list[Sent]:
    """Insert a signal row for each run, with the wait that it ends; without a wait the signal is kept."""
    if not takers:
        return []
    ids = [uuid7() for _ in takers]
    run(
        signals.INSERT,
        ids=ids,
        runs=list(takers),
        steps=[wait.step if wait else None for wait in takers.values()],
        items=[wait.item if wait else None for wait in takers.values()],
        workspace=workspace_id,
        name=message.name,
        key=key,
        payload=values.nullable(message.payload),
        once=message.idempotency_key,
        by=actor.user_id,
        keep=KEEP_SECONDS,
    )
    return [Sent(row, run_id, created=True) for row, run_id in zip(ids, takers, strict=True)]
