"""The request bodies of the API, besides definitions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from runs.api.parsers import Body

MAX_LABELS = 64
_NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"

Key = Annotated[str, Field(min_length=1, max_length=255, pattern=_NO_CONTROL)]
LabelKey = Annotated[str, Field(min_length=1, max_length=63, pattern=_NO_CONTROL)]
LabelValue = Annotated[str, Field(max_length=255)]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=MAX_LABELS)]


class StartRun(Body):
    """`input` is checked by the workflow's `inputs` schema. A known idempotency key answers the first run."""

    input: Any = Field(default_factory=dict)
    idempotency_key: Key | None = None
    labels: Labels = Field(default_factory=dict)


class StartJob(Body):
    """One action as a run of its own. `max_retries` counts after the first attempt; the action's own when left out."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    payload: Any = Field(default_factory=dict)
    max_retries: Annotated[int, Field(ge=0, le=999)] | None = None
    idempotency_key: Key | None = None
