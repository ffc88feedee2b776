"""Apply concurrency limits to a start: find the gate of each new run, and apply the policy if the gate is full.

A gate is the row that runs with the same concurrency key of a workflow share; it lets in at most `limit` live runs.
"""

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
    """Return the `concurrency` part of the version's definition, or None."""
    said = version.definition.get("concurrency")
    return None if said is None else Concurrency.model_validate(said)


def start(batch: Batch, *, rule: Concurrency) -> list[Started]:
    """Insert queued runs with their gates, and apply the policy to gates that are full then.

    Raises InvalidInput if the concurrency key of a request cannot be computed from its input; then nothing is started.
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
    """Raises InvalidInput if the concurrency key of a run with this input cannot be computed."""
    rule = concurrency(version)
    if rule is not None:
        key(rule, given)


def key(rule: Concurrency, given: Json) -> str:
    """Return the concurrency key of a run with this input; empty if the rule has no key.

    Raises InvalidInput, also where it takes more than WEB_CPU_MILLISECONDS: a caller waits for it.
    """
    if rule.key is None:
        return ""
    names = {**(given if isinstance(given, dict) else {}), "input": given}
    try:
        with expressions.shared(cpu_milliseconds=expressions.WEB_CPU_MILLISECONDS):
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
    """Return the concurrency key of this run; None if its version sets no limit, or if it can be told no more."""
    if run.gate_id is None:
        return None
    try:
        gate = run.gate
    except Gate.DoesNotExist:  # pruned when no run could need it any more; the key is computed again
        gate = None
    if gate is not None:
        return gate.key
    rule = concurrency(run.version)
    try:
        return key(rule, run.input) if rule is not None else None
    except InvalidInput:  # on a busy machine it may take longer than it did
        return None


def find(keys: Sequence[str], *, workflow: Workflow) -> dict[str, int]:
    """Return the ids of the workflow's gates by key, and insert the gates that are missing.

    To be called in the transaction that inserts the runs: none of these gates is pruned before that ends.
    """
    wanted = sorted(set(keys))
    found: dict[str, int] = dict(run(concurrency_queries.FIND_GATES, workflow=workflow.pk, keys=wanted))
    # In a loop, because a gate may be pruned after MAKE_GATES saw it and before FIND_GATES reads it.
    while missing := [name for name in wanted if name not in found]:
        run(concurrency_queries.MAKE_GATES, workflow=workflow.pk, keys=missing)
        found |= dict(run(concurrency_queries.FIND_GATES, workflow=workflow.pk, keys=missing))
    return found


def _enforce(rule: Concurrency, made: dict[UUID, int]) -> set[UUID]:
    """Cancel runs by the rule's policy until the gates of these new runs are within the limit, and return them.

    The policy `queue` cancels none: admission starts no run beyond the limit.
    """
    if rule.policy is Policy.SKIP:
        return _skip(made, limit=rule.limit)
    if rule.policy is Policy.CANCEL_RUNNING:
        return _replace(made, limit=rule.limit)
    return set()


def _skip(made: dict[UUID, int], *, limit: int) -> set[UUID]:
    """Cancel those of the new runs that exceed the limit of their gate, and return them."""
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
    """Cancel runs in these gates, the oldest first, until the limit holds again, and return them."""
    newest_first = [(gate, run_id) for run_id, gate in reversed(made.items())] + _others(made)
    free = dict.fromkeys(made.values(), limit)
    surplus = []
    for gate, run_id in newest_first:
        free[gate] -= 1
        if free[gate] < 0:
            surplus.append(run_id)
    return set(stops.cancel_only(surplus, actor=Actor(reason=_REPLACED))) if surplus else set()


def _others(made: dict[UUID, int]) -> list[tuple[int, UUID]]:
    """Return (gate, run) for every other run in the gates of these runs, newest first."""
    if not made:
        return []
    found = run(concurrency_queries.IN_GATES, gates=sorted(set(made.values())), runs=list(made))
    return [(gate, run_id) for gate, run_id in found]


def _unusable(message: str) -> InvalidInput:
    return InvalidInput([Problem("concurrency.key", message)])
