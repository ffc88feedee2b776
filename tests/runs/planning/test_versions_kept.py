"""A version that has runs cannot be deleted, although no foreign key of a run says so."""

from __future__ import annotations

from contextlib import ExitStack
from uuid import uuid4

import psycopg
import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from runs.control import starts
from runs.domain.requests import Request
from runs.models import Run
from runs.queries import sub_workflows
from runs.queries.database import run
from tests.flows import begun, published
from tests.runs.locks import in_thread, other_connection, wait_for_waiter
from workflows.models import Version

pytestmark = pytest.mark.django_db(transaction=True)

PURE = "{name: kept, steps: [{id: a, action: transform, with: {select: [n]}}]}"
FREE = "UPDATE workflows_workflow SET current_id = NULL"
DELETE = "DELETE FROM workflows_version"


def test_a_version_with_runs_stays_and_one_without_may_go() -> None:
    found = published(PURE)
    [run_id] = begun(found, {"n": 1})
    with connection.cursor() as cursor:
        cursor.execute(FREE)
        with pytest.raises(IntegrityError, match=r"version 1 of workflow .* has runs"), transaction.atomic():
            cursor.execute(DELETE)
        assert Run.objects.filter(pk=run_id).exists()
        cursor.execute("TRUNCATE runs_run, runs_ticket, runs_steprun CASCADE")
        cursor.execute(DELETE)
    assert not Version.objects.exists()


def test_a_deletion_waits_for_a_start_and_then_sees_its_run() -> None:
    found = published(PURE)
    with connection.cursor() as cursor:
        cursor.execute(FREE)
    refused: list[str] = []

    def delete() -> None:
        with other_connection() as other, pytest.raises(psycopg.errors.ForeignKeyViolation) as error:
            other.execute(DELETE)
        refused.append(error.value.diag.message_primary or "")

    with ExitStack() as until_deleted, transaction.atomic():
        starts.start([Request(input={"n": 1})], version=found.version, workflow=found.workflow, source="test")
        until_deleted.enter_context(in_thread(delete))
        wait_for_waiter()
    assert "has runs" in refused[0]


def test_a_start_that_waited_for_the_deletion_starts_nothing() -> None:
    found = published(PURE)
    answers: list[int] = []

    def start() -> None:
        with pytest.raises(OperationalError, match="version"):
            starts.start([Request(input={"n": 1})], version=found.version, workflow=found.workflow, source="test")
        answers.append(Run.objects.count())

    with other_connection() as other:
        other.execute(FREE)
        other.execute(DELETE)
        with in_thread(start):
            wait_for_waiter()
            other.commit()
    assert answers == [0]


def test_a_child_of_a_version_that_is_gone_is_an_error_and_not_silence() -> None:
    [parent] = begun(published(PURE), {"n": 1})
    asked = {"ids": [uuid4()], "parents": [parent], "steps": ["a"], "items": [-1], "attempts": [1]}
    with pytest.raises(IntegrityError, match="null value"):
        run(sub_workflows.SPAWN, **asked, versions=[uuid4()], labels=["{}"], inputs=["{}"])
    assert Run.objects.count() == 1
