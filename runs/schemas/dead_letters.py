"""The JSON of dead letters in responses."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from runs.domain.states import DeadLetterState, RunState
from runs.history import masking
from runs.models import DeadLetter
from runs.schemas.base import Shape


class DeadLetterSummary(Shape):
    """A dead letter in a list: a step that failed for good, and whose failure nothing handled.

    `step` is empty for a dead letter of the run itself, which exceeded its timeout (`run_timed_out`), or whose output
    cannot be rendered (`output`). It cannot be retried: discard it, or replay the run.
    """

    id: UUID
    run: UUID
    workflow: str
    workflow_id: UUID
    step: str
    state: DeadLetterState
    reason: str
    error: Any
    created_at: datetime
    resolved_at: datetime | None


class DeadLetterDetail(DeadLetterSummary):
    """A dead letter with the step's input, its config, and the attempts that failed."""

    input: Any
    config: Any
    attempts: list[Any]


class DeadLetterStateShape(Shape):
    """The states of a dead letter and of its run after a retry or discard.

    After a retry, `notes` say which run above does not wait for the run again, and why.
    """

    id: UUID
    state: DeadLetterState
    run: UUID
    run_state: RunState
    notes: list[str]


def dead_letter_summary(dead_letter: DeadLetter) -> DeadLetterSummary:
    """Return the summary of a dead letter; its workflow should be loaded."""
    return DeadLetterSummary(**_dead_letter(dead_letter))


def dead_letter_detail(dead_letter: DeadLetter, *, secrets: bool) -> DeadLetterDetail:
    """Return all details of a dead letter, with secrets masked unless `secrets`; its workflow should be loaded."""
    return DeadLetterDetail(
        **_dead_letter(dead_letter),
        input=masking.given(dead_letter.input, dead_letter.config, secrets=secrets),
        config=masking.config(dead_letter.config, secrets=secrets),
        attempts=dead_letter.attempts,
    )


def _dead_letter(dead_letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": dead_letter.pk,
        "run": dead_letter.run_id,
        "workflow": dead_letter.workflow.name,
        "workflow_id": dead_letter.workflow_id,
        "step": dead_letter.step,
        "state": dead_letter.state,
        "reason": dead_letter.reason,
        "error": dead_letter.error,
        "created_at": dead_letter.created_at,
        "resolved_at": dead_letter.resolved_at,
    }
