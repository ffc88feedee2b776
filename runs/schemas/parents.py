"""Which step of another run started a run."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, ConfigDict

from runs.models import Run


class ParentShape(BaseModel):
    """The step of another run that started this one; `item` is -1 outside a for_each."""

    model_config = ConfigDict(frozen=True)

    run: UUID
    step: str
    item: int
    attempt: int


def parent(run: Run) -> ParentShape | None:
    """None for a run that no step started."""
    told = {"run": run.parent_id, "step": run.parent_step, "item": run.parent_item, "attempt": run.parent_attempt}
    return ParentShape.model_validate(told) if run.parent_id else None
