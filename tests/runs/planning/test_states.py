"""The states' page and the database say what runs/domain/states.py says."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from runs.domain.states import RUN_TRANSITIONS, STEP_ENDED, STEP_TRANSITIONS, RunState, StepState
from runs.management.commands.write_docs import STATES, markdown
from tests.flows import begun, published


def test_docs_states_is_what_the_code_says() -> None:
    assert STATES.read_text() == markdown(), "run `make docs`"


def test_every_state_has_its_transitions() -> None:
    assert set(RUN_TRANSITIONS) == set(RunState)
    assert set(STEP_TRANSITIONS) == {None, *StepState}


def test_an_ended_step_only_changes_by_hand_or_by_compensation() -> None:
    for state in STEP_ENDED:
        # A failed one waits again when the sub-workflow run that it waited for is retried.
        again = {StepState.WAITING} if state is StepState.FAILED else set()
        assert STEP_TRANSITIONS[state] <= {StepState.RETRYING, StepState.COMPENSATED, *again}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "assignment",
    [
        "state = 'done'",
        "state = 'succeeded'",
        "state = 'running', started_at = NULL",
        "finished_at = clock_timestamp()",
    ],
)
def test_the_database_refuses_a_run_that_contradicts_itself(assignment: str) -> None:
    [run_id] = begun(published("name: checked\nsteps: [{id: a, action: default}]"))
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE runs_run SET {assignment} WHERE id = %s", [run_id])


@pytest.mark.django_db
def test_the_database_refuses_to_change_a_version() -> None:
    found = published("name: frozen\nsteps: [{id: a, action: default}]")
    with (
        pytest.raises(IntegrityError, match=r"frozen|version"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE workflows_version SET number = 7 WHERE id = %s", [found.version.id])
