"""Insert runs, each answered: a new one, one that was known by its key, or none where its leave holds no longer."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import OperationalError, transaction
from uuid_utils.compat import uuid7

from runs.domain.releases import REPEAT_SECONDS
from runs.domain.requests import Due, Preloaded, Request, Started
from runs.domain.states import RunState
from runs.engine.preload import short
from runs.queries import starts, values
from runs.queries.database import Row, run
from workflows.models import Version, Workflow


def start(  # noqa: PLR0913 - everything that a start may be given
    requests: Sequence[Request],
    *,
    version: Version,
    workflow: Workflow,
    source: str,
    gates: Sequence[int] | None = None,
    begin: bool = False,
    tries: int = 3,
) -> list[Started]:
    """Insert runs; where an idempotency key is known (or comes twice), answer the first run.

    They are queued, or with `begin` admitted in the same breath, where nothing stands before them or limits them.
    `gates` has a gate for each; without it they have none. Raises OperationalError where known runs are deleted
    before they are looked up, `tries` times in turn.
    """
    ids, inputs = [uuid7() for _ in requests], [values.dumps(request.input) for request in requests]
    common, usual = version.definition.get("labels", {}), version.definition.get("priority", 0)
    authorizations = _authorizations(requests)
    found = run(
        starts.START_AUTHORIZED if authorizations else starts.START,
        workspace=workflow.workspace_id,
        workflow=workflow.pk,
        version=version.pk,
        source=source,
        ids=ids,
        keys=[request.idempotency_key for request in requests],
        labels=[values.dumps({**common, **request.labels}) for request in requests],
        inputs=inputs,
        priorities=[usual if request.priority is None else request.priority for request in requests],
        gates=[None] * len(requests) if gates is None else list(gates),
        begin=begin and gates is None,
        told=begin and short(inputs),
        repeat=REPEAT_SECONDS,
        **authorizations,
    )
    created = _created(found, version=version)
    outdated = _outdated(requests, found=found) if authorizations else frozenset()
    behind = gates is None and bool(created) and found[0][5] and not transaction.get_connection().in_atomic_block
    wanted = [n for n, run_id in enumerate(ids) if run_id not in created and n not in outdated]
    known, again = _known([requests[n].idempotency_key for n in wanted], workflow=workflow), list[Started]()
    # The run was there at the INSERT, and was deleted before it was looked up: now its key is free.
    if gone := [n for n in wanted if requests[n].idempotency_key not in known]:
        left, tries = [requests[n] for n in gone], tries - 1
        if not tries:
            raise OperationalError(f"known runs of {workflow.name!r} or its version were deleted meanwhile; try again")
        more = None if gates is None else [gates[n] for n in gone]
        again = start(left, version=version, workflow=workflow, source=source, gates=more, begin=begin, tries=tries)
    answers = []
    for n, (request, run_id) in enumerate(zip(requests, ids, strict=True)):
        if run_id in created:
            due = tuple(created[run_id])
            answers.append(Started(run_id, created=True, state=RunState.QUEUED.value, due=due, behind=behind))
        elif n in outdated:
            answers.append(Started(run_id, created=False, state="", outdated=True))
        elif request.idempotency_key in known:
            answers.append(known[request.idempotency_key])
        else:
            answers.append(again.pop(0))
    return answers


def _authorizations(requests: Sequence[Request]) -> dict[str, list[str | None]]:
    """Of each, by what it was let in; nothing where all came by doors that have looked already."""
    authorizations = [request.authorization for request in requests]
    if not any(authorizations):
        return {}
    tokens = [authorization.token if authorization is not None else None for authorization in authorizations]
    return {
        "tokens": tokens,
        "names": [authorization.name if authorization is not None else None for authorization in authorizations],
    }


def _outdated(requests: Sequence[Request], *, found: Sequence[Row]) -> frozenset[int]:
    """The places of those whose leave does not hold. Not all came by one path: one may know a new name, one the old."""
    name, good = found[0][6:] if found else (None, ())
    authorizations = enumerate(request.authorization for request in requests)
    return frozenset(
        n
        for n, authorization in authorizations
        if authorization and not (authorization.name == name and authorization.token in good)
    )


def _known(keys: Sequence[str | None], *, workflow: Workflow) -> dict[str | None, Started]:
    """The first runs of these keys, as far as they are there."""
    if not keys:
        return {}
    found = run(starts.KNOWN_KEYS, workflow=workflow.pk, keys=list(keys))
    return {key: Started(run_id, created=False, state=state) for key, run_id, state in found}


def _created(found: Sequence[Row], *, version: Version) -> dict[UUID, list[Due]]:
    created: dict[UUID, list[Due]] = {row[0]: [] for row in found if row[0] is not None}
    for run_id, ticket, head, began, given, *_ in found:
        if ticket is not None:
            preloaded = None if given is None else Preloaded(ticket, began, given)
            created[run_id].append(Due(ticket, run_id, -1, version.pk, head, suspect=False, preloaded=preloaded))
    return created
