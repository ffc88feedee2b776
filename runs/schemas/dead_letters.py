"""Dead letters as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from runs.domain.states import DeadLetterState, RunState
from runs.models import DeadLetter
from runs.schemas.base import Shape


class DeadLetterSummary(Shape):
    """A step that gave up, in a list."""

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
    """A step that gave up, with what it was given and what it tried."""

    input: Any
    config: Any
    attempts: list[Any]


class DeadLetterStanding(Shape):
    """How a dead letter and its run stand after a verb."""

    id: UUID
    state: DeadLetterState
    run: UUID
    run_state: RunState


def dead_letter_summary(letter: DeadLetter) -> DeadLetterSummary:
    """A dead letter with its workflow loaded."""
    return DeadLetterSummary(**_letter(letter))


def dead_letter_detail(letter: DeadLetter) -> DeadLetterDetail:
    """A dead letter with its workflow loaded, and all that it keeps."""
    return DeadLetterDetail(**_letter(letter), input=letter.input, config=letter.config, attempts=letter.attempts)


def _letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.pk,
        "run": letter.run_id,
        "workflow": letter.workflow.name,
        "workflow_id": letter.workflow_id,
        "step": letter.step,
        "state": letter.state,
        "reason": letter.reason,
        "error": letter.error,
        "created_at": letter.created_at,
        "resolved_at": letter.resolved_at,
    }
