"""Concurrency limits as a start meets them: which gate a run passes, and what becomes of it where that is full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from django.db import transaction

from actions import expressions
from actions.base import ActionError, Json
from runs.control import inserts, stops
from runs.control.inserts import Batch
from runs.domain.actor import Actor
from runs.domain.requests import Started
from runs.domain.states import RunState
from runs.models import Gate, Run
from runs.queries import concurrency as concurrency_queries
from runs.queries import values
from runs.queries.database import run
from workflows.definitions.definition import Concurrency, Policy
from workflows.definitions.errors import InvalidInput, Problem
from workflows.models import Version, Workflow

MAX_KEY = 255
_SKIPPED = "as many runs as the workflow's concurrency allows were there, and its policy is to skip"
_REPLACED = "a newer run took its place, as the workflow's concurrency says"


def concurrency(version: Version) -> Concurrency | None:
    """What the version says of its runs' concurrency."""
    said = version.definition.get("concurrency")
    return None if said is None else Concurrency.model_validate(said)


def start(batch: Batch, *, rule: Concurrency) -> list[Started]:
    """Insert queued runs with their gates, and do what the policy says where a gate is full.

    Raises InvalidInput where the key cannot be worked out from an input; then nothing is started.
    """
    keys = [key(rule, request.input) for request in batch.requests]
    with transaction.atomic():
        known = find(keys, workflow=batch.workflow)
        gates = [known[name] for name in keys]
        if rule.policy is not Policy.QUEUE:
            run(concurrency_queries.LOCK_GATES, gates=gates)
        started = inserts.start(replace(batch, gates=gates))
        made = {one.run_id: gate for one, gate in zip(started, gates, strict=True) if one.created}
        cancelled = _enforce(rule, made)
    return [replace(one, state=RunState.CANCELLED.value) if one.run_id in cancelled else one for one in started]


def check_key(version: Version, given: Json) -> None:
    """Raises InvalidInput where a start with this input would be refused for its concurrency key."""
    rule = concurrency(version)
    if rule is not None:
        key(rule, given)


def key(rule: Concurrency, given: Json) -> str:
    """What the concurrency key comes to with this input; empty where the rule has none. Raises InvalidInput."""
    if rule.key is None:
        return ""
    names = {**(given if isinstance(given, dict) else {}), "input": given}
    try:
        found = expressions.render(rule.key, names)
    except ActionError as error:
        raise _unusable(f"cannot be worked out from the input: {error}") from None
    if isinstance(found, (dict, list)) or found is None:
        raise _unusable("must come to a text, a number or a boolean; see what the input has there")
    text = found if isinstance(found, str) else values.dumps(found)
    if len(text) > MAX_KEY:
        raise _unusable(f"came to {len(text)} characters; at most {MAX_KEY} make a key")
    return text


def key_of(run: Run) -> str | None:
    """The concurrency key that the run came with; None where its version sets no limit."""
    if run.gate_id is None:
        return None
    try:
        gate = run.gate
    except Gate.DoesNotExist:  # it went with the last run that could need it
        gate = None
    if gate is not None:
        return gate.key
    rule = concurrency(run.version)
    return key(rule, run.input) if rule is not None else None


def find(keys: Sequence[str], *, workflow: Workflow) -> dict[str, int]:
    """The ids of the workflow's gates by their keys; those that are not there yet are made.

    Inside the transaction that inserts the runs: until its end none of them is pruned.
    """
    wanted = sorted(set(keys))
    found: dict[str, int] = dict(run(concurrency_queries.FIND_GATES, workflow=workflow.pk, keys=wanted))
    # Again, where one was pruned between being known and being found.
    while missing := [name for name in wanted if name not in found]:
        run(concurrency_queries.MAKE_GATES, workflow=workflow.pk, keys=missing)
        found |= dict(run(concurrency_queries.FIND_GATES, workflow=workflow.pk, keys=missing))
    return found


def _enforce(rule: Concurrency, made: dict[UUID, int]) -> set[UUID]:
    """Bring the gates of these new runs back to the limit by the rule's policy, and return the runs cancelled for it.

    Under the policy `queue` there are none: admission starts no run beyond the limit.
    """
    if rule.policy is Policy.SKIP:
        return _skip(made, limit=rule.limit)
    if rule.policy is Policy.CANCEL_RUNNING:
        return _replace(made, limit=rule.limit)
    return set()


def _skip(made: dict[UUID, int], *, limit: int) -> set[UUID]:
    """Of the runs that were made, those that found no place; they end as cancelled."""
    free = dict.fromkeys(made.values(), limit)
    for gate, _ in _others(made):
        free[gate] -= 1
    skipped = set()
    for run_id, gate in made.items():
        free[gate] -= 1
        if free[gate] < 0:
            skipped.add(run_id)
    if skipped:
        run(concurrency_queries.SKIP, runs=sorted(skipped), message=_SKIPPED)
    return skipped


def _replace(made: dict[UUID, int], *, limit: int) -> set[UUID]:
    """Cancel what is too much in the gates, the oldest first; answers what was cancelled."""
    newest_first = [(gate, run_id) for run_id, gate in reversed(made.items())] + _others(made)
    free = dict.fromkeys(made.values(), limit)
    surplus = []
    for gate, run_id in newest_first:
        free[gate] -= 1
        if free[gate] < 0:
            surplus.append(run_id)
    return set(stops.cancel_only(surplus, actor=Actor(reason=_REPLACED))) if surplus else set()


def _others(made: dict[UUID, int]) -> list[tuple[int, UUID]]:
    """(gate, run) of what is in these gates besides, newest first."""
    if not made:
        return []
    found = run(concurrency_queries.IN_GATES, gates=sorted(set(made.values())), runs=list(made))
    return [(gate, run_id) for gate, run_id in found]


def _unusable(message: str) -> InvalidInput:
    return InvalidInput([Problem("concurrency.key", message)])
