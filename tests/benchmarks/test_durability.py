"""What the benchmark says of durability it has looked up, and it sees what is missing, wrong or twice."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from benchmarks import durability, systems, work
from runs.control import starts
from runs.domain.requests import Request
from tests.engine import drain, messages
from workflows.models import Workflow

COUNT = 6
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def measured() -> tuple[Workflow, str]:
    """Some W3 runs, done, and the moment before they were started."""
    messages()
    workflow, version = systems.prepare()
    since = durability.clock()
    requests = [Request(input=work.given(number)) for number in range(COUNT)]
    starts.start(requests, version=version, workflow=workflow, source="test")
    drain()
    return workflow, since


def spoil(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def test_a_whole_history_has_no_fault(measured: tuple[Workflow, str]) -> None:
    workflow, since = measured
    assert durability.check(workflow, count=COUNT, since=since) == COUNT


SPOILS = {
    "DELETE FROM runs_steprun WHERE run_id = (SELECT max(id::text)::uuid FROM runs_run)": "exactly three steps: 1",
    "UPDATE runs_steprun SET item = 0 WHERE step = 'pick'": "steps that did not succeed: 6",
    "UPDATE runs_steprun SET output = '{}' WHERE step = 'work'": "steps with a wrong output: 6",
    "UPDATE runs_steprun SET config = NULL": "steps with a wrong config: 6",
    'UPDATE runs_run SET input = input || \'{"note": "y"}\'': "inputs that were changed: 6",
    "UPDATE runs_steprun SET started_at = NULL WHERE step = 'merge'": "steps without times: 6",
    "UPDATE runs_run SET output = jsonb_set(output, '{n}', '9')": "runs with a wrong output: 6",
    "UPDATE runs_run SET input = jsonb_set(input, '{n}', '1')": "inputs that are not there once: 5",
    "UPDATE runs_run SET input = jsonb_set(input, '{n}', '9') WHERE input ->> 'n' = '1'": "inputs beyond the last: 4",
    "UPDATE runs_run SET state = 'failed'": "runs that did not succeed: 6",
    "UPDATE runs_run SET started_at = finished_at + interval '1 s'": "runs without times: 6",
    "INSERT INTO runs_ticket (run_id, head, item, sends, suspect) SELECT id, 'x', -1, 0, false FROM runs_run": (
        "tickets left: 6"
    ),
}


def test_whatever_is_missing_or_wrong_ends_the_suite(measured: tuple[Workflow, str]) -> None:
    workflow, since = measured
    for sql, fault in SPOILS.items():
        with transaction.atomic():
            spoil(sql)
            with pytest.raises(durability.Lost, match=fault):
                durability.check(workflow, count=COUNT, since=since)
            transaction.set_rollback(True)


def test_a_run_that_is_not_there_ends_the_suite(measured: tuple[Workflow, str]) -> None:
    workflow, since = measured
    with pytest.raises(durability.Lost, match="runs too few or too many: 1"):
        durability.check(workflow, count=COUNT + 1, since=since)
