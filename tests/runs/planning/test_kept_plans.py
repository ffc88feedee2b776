"""Plans are made once for each connection, whatever the tables hold then: none may turn quadratic as they fill."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection

from runs.models import Gate
from runs.queries import (
    admission,
    claims,
    concurrency,
    for_each,
    marks,
    pauses,
    records,
    retention,
    starts,
    sweep,
    tickets,
)
from runs.queries.database import Statement
from tests.engine import drain
from tests.flows import begun, published
from workflows.models import ApiToken, Workflow, Workspace

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_tables")]

_SENT = [tickets.PEEK, tickets.PICK, tickets.UNSEND, claims.HAND_BACK, admission.ADMIT]
_TAKEN = [claims.LOAD, claims.CLAIM, claims.CLAIM_ONE, for_each.LOAD_ITEMS, for_each.CLAIM_ITEMS]
_COMPUTED = [
    records.LINEAR_TICKET,
    records.LINEAR_OVER,
    records.LINEAR_ONE_STATEMENT,
    records.LINEAR_LAST,
    records.FENCE_TICKET,
]
MANY_ROWS = ("runs_run", "runs_steprun", "runs_ticket")
# What asks for some of the runs that are queued, of which there may be very many.
_QUEUED = [starts.START, starts.START_AUTHORIZED, concurrency.IN_GATES, admission.LOCK_LIMITED]
_QUEUED += [
    admission.LOCK_OPEN_GATES,
    admission.GATED,
    pauses.TO_PAUSE,
    retention.LOCK_UNUSED,
    sweep.ANYTHING_DUE,
]
# What a record of a graph reads, and what is read for the items of lists.
_READ = [marks.VIEW, marks.OTHERS, marks.VIEW_STEPS, marks.OUTPUTS, for_each.VALUES, for_each.BEGUN]
MANY = [*_SENT, *_TAKEN, *_READ, *_COMPUTED, *_QUEUED, records.RELEASE, sweep.RECALL, sweep.SUSPECT]
# Of a few runs at once: not looked at while no step has a row yet, for then they read what is not there.
FEW = [records.LINEAR_CLAIM, records.LINEAR_WAIT, records.LINEAR_CHILDREN]
FEW += [records.ONE_CLAIM_CLAIM, records.ONE_CLAIM_LAST]
FEW += [records.FENCE_CLAIM, records.FENCE_WAIT, records.FENCE_CHILDREN]
PURE = "{name: kept-plans, steps: [{id: a, action: transform, with: {select: [n]}}]}"
# So many users, workspaces, workflows, gates and tokens there are.
_DEFINED = 2_000
# Indexes that begin with the run: with a condition on another column only, all of the index is read.
_OF_RUNS = ("step_run_once", "ticket_once", "item_batch_once")
# What a node may stand on and still hand its rows through one by one.
_THROUGH = {"Materialize", "Memoize", "Limit", "Result", "Subquery Scan"}


def _plan(statement: Statement) -> dict[str, Any]:
    """The plan for any parameters, as it is kept."""
    sql, _ = statement.compiled
    connection.ensure_connection()
    with psycopg.RawCursor(connection.connection) as cursor:
        cursor.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {sql}".encode())
        row = cursor.fetchone()
    assert row is not None
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


def _faults(plan: dict[str, Any]) -> list[str]:
    """Tables read from end to end, and joins that read all of one side for each row of the other."""
    found = []
    for node in _nodes(plan):
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in MANY_ROWS:
            found.append(f"reads all of {node['Relation Name']}")
        if node.get("Index Name") in _OF_RUNS and "run_id" not in node.get("Index Cond", "run_id"):
            found.append(f"reads all of {node['Index Name']}")
        if node.get("Index Name") == "run_queued" and "Index Cond" not in node:
            found.append("reads all that is queued")
        if node["Node Type"] == "Hash" and node.get("Parent Relationship") == "SubPlan":
            found.append("hashes all that a question could be about")
        if node["Node Type"] == "Nested Loop" and "Join Filter" in node:
            inner = next(one for one in node["Plans"] if one["Parent Relationship"] == "Inner")
            while inner["Node Type"] in _THROUGH and inner.get("Plans"):
                inner = inner["Plans"][0]
            if "Index Cond" not in inner:
                found.append(f"joins row by row where {node['Join Filter']}")
    return found


def _define_many() -> None:
    """Definitions, users, tokens and gates of which autovacuum knows: where all are few, row by row is the right way.

    Of these, autovacuum tells in time: they grow by hand. Runs, steps and tickets come by the thousand in between.
    """
    users = User.objects.bulk_create(User(username=f"user-{number}") for number in range(_DEFINED))
    spaces = Workspace.objects.bulk_create(Workspace(name=f"space-{number}") for number in range(_DEFINED))
    each = list(zip(spaces, users, strict=True))
    flows = Workflow.objects.bulk_create(Workflow(workspace=space, owner=user, name="flow") for space, user in each)
    Gate.objects.bulk_create(Gate(workflow=flow) for flow in flows)
    ApiToken.objects.bulk_create(ApiToken(workspace=space, user=user, sha256=user.username) for space, user in each)
    tables = (User, Workspace, Workflow, Gate, ApiToken)
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {', '.join(table._meta.db_table for table in tables)}")


def test_no_set_is_joined_row_by_row_whatever_the_tables_held_when_it_was_planned() -> None:
    found = published(PURE)
    inputs = [{"n": number} for number in range(500)]
    faults: dict[str, list[str]] = {}
    _define_many()

    def look(when: str, statements: list[Statement]) -> None:
        for statement in statements:
            if faulty := _faults(_plan(statement)):
                faults[f"{statement.name}, planned {when}"] = faulty

    begun(found, *inputs)
    drain()
    look("in a new database", MANY)
    with connection.cursor() as cursor:
        # The tickets are gone and their file is cut off, and all that is known of runs is that they have ended.
        cursor.execute("VACUUM ANALYZE")
    look("after the last run", MANY + FEW)
    begun(found, *inputs)
    look("as runs come", MANY + FEW)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    look("while they run", MANY + FEW)
    assert faults == {}
