"""Insert runs. Threads of one process that start one run each at the same time share a statement and a commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from django.db import DatabaseError, connection, transaction

from runs.control import concurrency, inserts
from runs.control.group_commit import Gathering
from runs.control.inserts import Batch
from runs.dispatch import dispatcher
from runs.domain.requests import Request, Started
from runs.queries import database
from runs.queries.database import renew
from workflows.definitions.errors import InvalidInput
from workflows.models import Version, Workflow
from workflows.publishing.inputs import check_input

# Requests in one statement.
_MOST = 200
_HASHED = 2**61 - 1


@dataclass(frozen=True)
class Recipe:
    """What runs are started of, and through which door. The workflow is the version's own."""

    version: Version
    workflow: Workflow
    source: str

    def __hash__(self) -> int:
        # Django's models hash their ids the long way; recipes of one version differ in little else.
        return self.version.pk.int & _HASHED


def check(requests: Sequence[Request], *, version: Version) -> None:
    """Raises InvalidInput when an input does not match the version's `inputs` schema."""
    for request in requests:
        check_input(version, request.input)


def insert(requests: Sequence[Request], *, recipe: Recipe) -> list[Started]:
    """Insert checked requests as runs that are queued, or begin where the window has room: see dispatch.after_start.

    Raises InvalidInput where a concurrency key cannot be worked out from an input; then nothing is started.
    """
    version = recipe.version
    rule = concurrency.concurrency(version)
    if rule is not None:
        return concurrency.start(Batch(requests, version, recipe.workflow, recipe.source), rule=rule)
    # Not within a transaction, which is not to wait for the broker.
    begin = not connection.in_atomic_block and dispatcher.fits(len(requests), version_id=version.pk)
    return inserts.start(Batch(requests, version, recipe.workflow, recipe.source, begin=begin))


def insert_each(recipe: Recipe, requests: Sequence[Request]) -> list[Started | Exception]:
    """As insert, for requests that have nothing to do with each other: one that fails fails alone.

    Raises what cannot be told of one of them: when the database is away, all of them may or may not be there.
    """
    try:
        return [*insert(requests, recipe=recipe)]
    except (InvalidInput, DatabaseError) as error:
        # Both are refused as a whole. A lock that one of them waits for (a twin's, not committed) is met by the
        # INSERT; what else is read afterwards waits for no row.
        if not (isinstance(error, InvalidInput) or database.by_lock(error)):
            raise
        if len(requests) == 1:
            return [error]
    return [answer for request in requests for answer in insert_each(recipe, [request])]


def _insert_group(recipe: Recipe, requests: Sequence[Request]) -> list[Started | Exception]:
    # What breaks behind this may have been done all the same.
    renew()
    return insert_each(recipe, requests)


_starts: Gathering[Recipe, Request, Started] = Gathering(_insert_group, after=dispatcher.after_start, most=_MOST)


def insert_together(request: Request, *, recipe: Recipe) -> Started:
    """Insert a checked request, commit and dispatch, with those of other threads that come meanwhile.

    Not for use inside a transaction: another thread may be the one that commits. Raises as insert does.
    """
    return _starts.ask(recipe, request)


def start(requests: Sequence[Request], *, version: Version, workflow: Workflow, source: str) -> list[Started]:
    """Insert the runs in one statement, and dispatch after commit. The workflow is the version's own.

    A single one outside of a transaction is inserted together with those that other threads start meanwhile. Raises
    workflows.publishing.publish.InvalidInput when an input does not match the version's `inputs` schema; then nothing
    is started.
    """
    check(requests, version=version)
    recipe = Recipe(version, workflow, source)
    if len(requests) == 1 and not connection.in_atomic_block:
        return [insert_together(requests[0], recipe=recipe)]
    started = insert(requests, recipe=recipe)
    transaction.on_commit(partial(dispatcher.after_start, started))
    return started
