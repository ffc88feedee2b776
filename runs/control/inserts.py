"""Insert runs and return one result per request.

A result is the new run, the existing run with the same idempotency key, or a refusal (`outdated`): since the request
was read, its token has become invalid, or the workflow has another name or version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from django.db import OperationalError, transaction
from uuid_utils.compat import uuid7

from runs.domain.releases import REPEAT_SECONDS
from runs.domain.requests import Conflict, Due, Preloaded, Request, Started
from runs.domain.states import RunState
from runs.engine.preload import short
from runs.queries import starts, values
from runs.queries.database import Row, run
from workflows.models import Version, Workflow

# Tries to insert a request, if each time its key belongs to a run that is deleted before it is looked up.
_TRIES = 3


@dataclass(frozen=True)
class Batch:
    """Requests that one statement inserts, and what their runs have in common. The version belongs to the workflow.

    `gates` has the id of the concurrency gate of each request; it is empty if the version sets no limit. With `begin`
    the same statement also admits the runs, unless their workspace has limits or other queued runs.
    """

    requests: Sequence[Request]
    version: Version
    workflow: Workflow
    source: str
    gates: Sequence[int] = ()
    begin: bool = False

    @property
    def may_begin(self) -> bool:
        """Whether the statement may admit the runs. Runs with gates are always left to admission."""
        return self.begin and not self.gates

    def at(self, positions: Sequence[int]) -> Batch:
        """The batch of the requests at these positions."""
        gates = [self.gates[n] for n in positions if self.gates]
        return replace(self, requests=[self.requests[n] for n in positions], gates=gates)


def start(batch: Batch) -> list[Started]:
    """Insert the runs. A request whose idempotency key is known, or comes twice, gets the first run with that key.

    Raises OperationalError if _TRIES times in a row a known run is deleted before it is looked up.
    """
    results = _insert(batch)
    for _ in range(_TRIES - 1):
        missing = [n for n, result in enumerate(results) if result is None]
        if not missing:
            break
        for n, result in zip(missing, _insert(batch.at(missing)), strict=True):
            results[n] = result
    found = [result for result in results if result is not None]
    if len(found) < len(results):
        name = batch.workflow.name
        raise OperationalError(f"known runs of {name!r} or its version were deleted meanwhile; try again")
    return found


def _insert(batch: Batch) -> list[Started | None]:
    """Insert once, then look up the keys that were taken.

    The result is None if the run that had the key at the INSERT was deleted before the look-up: the key is free now.
    It is also None for every request without an authorization if the workflow or its version was deleted.
    """
    requests, ids = batch.requests, [uuid7() for _ in batch.requests]
    authorizations = _authorizations(requests)
    rows = _run_insert(batch, ids=ids, authorizations=authorizations)
    decided = _created(rows, batch=batch)
    if authorizations:
        decided = _outdated(rows, requests=requests, ids=ids) | decided
    pairs = list(zip(ids, requests, strict=True))
    open_ids = [run_id for run_id in ids if run_id not in decided]
    known = _known([request for run_id, request in pairs if run_id not in decided], workflow=batch.workflow)
    decided |= {run_id: one for run_id, one in zip(open_ids, known, strict=True) if one is not None}
    return [decided.get(run_id) for run_id in ids]


def _run_insert(batch: Batch, *, ids: list[UUID], authorizations: dict[str, list[str | None]]) -> list[Row]:
    definition, requests = batch.version.definition, batch.requests
    inputs = [values.dumps(request.input) for request in requests]
    labels, priority = definition.get("labels", {}), definition.get("priority", 0)
    return run(
        starts.START_AUTHORIZED if authorizations else starts.START,
        workspace=batch.workflow.workspace_id,
        workflow=batch.workflow.pk,
        version=batch.version.pk,
        source=batch.source,
        ids=ids,
        keys=[request.idempotency_key for request in requests],
        labels=[values.dumps({**labels, **request.labels}) for request in requests],
        inputs=inputs,
        priorities=[priority if request.priority is None else request.priority for request in requests],
        gates=list(batch.gates) or [None] * len(requests),
        begin=batch.may_begin,
        told=batch.may_begin and short(inputs),
        repeat=REPEAT_SECONDS,
        **authorizations,
    )


def _authorizations(requests: Sequence[Request]) -> dict[str, list[str | None]]:
    """Return the parameters that only START_AUTHORIZED has; none if no request has an authorization to check again."""
    authorizations = [request.authorization for request in requests]
    if not any(authorizations):
        return {}
    tokens = [authorization.token if authorization is not None else None for authorization in authorizations]
    return {
        "tokens": tokens,
        "names": [authorization.name if authorization is not None else None for authorization in authorizations],
    }


def _created(rows: Sequence[Row], *, batch: Batch) -> dict[UUID, Started]:
    """Return the new runs by id. A run that was admitted at once comes with its tickets."""
    due: dict[UUID, list[Due]] = {row[0]: [] for row in rows if row[0] is not None}
    if not due:
        return {}
    for run_id, ticket, head, started_at, given, *_ in rows:
        if ticket is not None:
            preloaded = None if given is None else Preloaded(ticket, started_at, given)
            due[run_id].append(Due(ticket, run_id, -1, batch.version.pk, head, preloaded=preloaded))
    queued, behind = RunState.QUEUED.value, _waits_behind(rows[0], batch=batch)
    return {
        run_id: Started(run_id, created=True, state=queued, due=tuple(tickets), behind=behind)
        for run_id, tickets in due.items()
    }


def _waits_behind(row: Row, *, batch: Batch) -> bool:
    """Return Started.behind: other runs of the workspace are queued before these, and the workspace has no limits."""
    return not batch.gates and bool(row[5]) and not transaction.get_connection().in_atomic_block


def _outdated(rows: Sequence[Row], *, requests: Sequence[Request], ids: Sequence[UUID]) -> dict[UUID, Started]:
    """Return refusals for the requests whose authorization is no longer valid, by the ids of the runs not inserted.

    Each request is compared by itself: if the workflow was renamed, some requests of the batch have the old name.
    """
    name, tokens = rows[0][6:] if rows else (None, ())
    return {
        run_id: Started(run_id, created=False, state="", outdated=True)
        for run_id, request in zip(ids, requests, strict=True)
        if (given := request.authorization) and not (given.name == name and given.token in tokens)
    }


def _known(requests: Sequence[Request], *, workflow: Workflow) -> list[Started | None]:
    """Return the workflow's run with the idempotency key of each request; None where there is none."""
    if not requests:
        return []
    inputs = [values.dumps(request.input) if request.compares else None for request in requests]
    keys = [request.idempotency_key for request in requests]
    found = {row[0]: row for row in run(starts.KNOWN_KEYS, workflow=workflow.pk, keys=keys, inputs=inputs)}
    return [_first(found[n]) if n in found else None for n in range(1, len(requests) + 1)]


def _first(row: Row) -> Started:
    _, run_id, state, first, given = row
    conflict = None if first is None else Conflict("run", run_id, first, given)
    return Started(run_id, created=False, state=state, conflict=conflict)
