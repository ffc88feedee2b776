"""Start runs: check the input, insert, and dispatch after the commit.

Threads of one process that start one run each at the same time share one statement and one commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from django.db import DatabaseError, connection, transaction

from runs.control import concurrency, inserts
from runs.control.group_commit import GroupCommit
from runs.control.inserts import Batch
from runs.dispatch import dispatcher
from runs.domain.requests import Request, Started
from runs.queries import database
from runs.queries.database import renew
from workflows.definitions import labels
from workflows.definitions.errors import InvalidInput
from workflows.models import Version, Workflow
from workflows.publishing.inputs import check_input

# Requests that one group commit inserts.
_MOST = 200
_HASHED = 2**61 - 1


@dataclass(frozen=True)
class Recipe:
    """What is started, and from where: `source` names the door, such as `api`. The version belongs to the workflow."""

    version: Version
    workflow: Workflow
    source: str

    def __hash__(self) -> int:
        # Much faster than the hashes of the two models; recipes of one version differ only in `source`.
        return self.version.pk.int & _HASHED


def check(requests: Sequence[Request], *, version: Version) -> Sequence[Request]:
    """Return the requests with the version's defaults in their inputs, and with its labels that need rendering.

    Raises InvalidInput if an input does not match the version's `inputs` schema, or does not have what a label reads.
    """
    definition = version.definition
    templates = labels.with_expressions(definition) if "labels" in definition else {}
    if not templates and definition.get("inputs") is None:
        return requests
    return [_checked(request, version=version, templates=templates) for request in requests]


def _checked(request: Request, *, version: Version, templates: Mapping[str, str]) -> Request:
    given = check_input(version, request.input)
    wanted = {name: text for name, text in templates.items() if name not in request.labels}
    if wanted:
        return replace(request, input=given, labels={**labels.rendered(wanted, given), **request.labels})
    return request if given is request.input else replace(request, input=given)


def insert(requests: Sequence[Request], *, recipe: Recipe) -> list[Started]:
    """Insert checked requests as runs. They begin at once if the broker's window has room, else they are queued.

    The caller passes the results to dispatcher.after_start once they are committed. Raises InvalidInput if a
    concurrency key cannot be computed from an input; then nothing is started.
    """
    version = recipe.version
    rule = concurrency.concurrency(version)
    if rule is not None:
        return concurrency.start(Batch(requests, version, recipe.workflow, recipe.source), rule=rule)
    # Not inside a transaction: `fits` may ask the broker, and no transaction may wait for that.
    begin = not connection.in_atomic_block and dispatcher.fits(len(requests), version_id=version.pk)
    return inserts.start(Batch(requests, version, recipe.workflow, recipe.source, begin=begin))


def insert_each(recipe: Recipe, requests: Sequence[Request]) -> list[Started | Exception]:
    """As insert, for unrelated requests: an invalid one, or one that meets a lock, gets an exception as its result.

    Raises every other error, because it concerns all of them: if the database is lost, they may be committed or not.
    """
    try:
        return [*insert(requests, recipe=recipe)]
    except (InvalidInput, DatabaseError) as error:
        # These two errors mean that nothing was inserted, so each request is tried alone. Only the INSERT waits for a
        # lock (of another transaction that inserts the same idempotency key); the later reads wait for no row.
        if not (isinstance(error, InvalidInput) or database.by_lock(error)):
            raise
        if len(requests) == 1:
            return [error]
    return [answer for request in requests for answer in insert_each(recipe, [request])]


def _insert_group(recipe: Recipe, requests: Sequence[Request]) -> list[Started | Exception]:
    # Replace a broken idle connection now: if it breaks later, the starts may have been committed.
    renew()
    return insert_each(recipe, requests)


_starts: GroupCommit[Recipe, Request, Started] = GroupCommit(_insert_group, after=dispatcher.after_start, most=_MOST)


def insert_together(request: Request, *, recipe: Recipe) -> Started:
    """Insert a checked request, commit and dispatch, together with requests of other threads (group commit).

    Not for use inside a transaction: another thread may be the one that commits. Raises as insert does.
    """
    return _starts.ask(recipe, request)


def start(requests: Sequence[Request], *, version: Version, workflow: Workflow, source: str) -> list[Started]:
    """Insert the runs with one statement, and dispatch after the commit. The version belongs to the workflow.

    A single request outside a transaction takes part in a group commit with other threads. Raises InvalidInput
    (workflows.definitions.errors) if an input does not match the version's `inputs` schema, or a label cannot be
    rendered from it; then nothing is started.
    """
    requests = check(requests, version=version)
    recipe = Recipe(version, workflow, source)
    if len(requests) == 1 and not connection.in_atomic_block:
        return [insert_together(requests[0], recipe=recipe)]
    started = insert(requests, recipe=recipe)
    transaction.on_commit(partial(dispatcher.after_start, started))
    return started
