"""A workflow's draft, its editable fields and Step rows: built from a definition, and turned into a document."""

from __future__ import annotations

from typing import Any

from actions.base import Json
from workflows.definitions.definition import Definition, StepDefinition
from workflows.definitions.errors import refuse
from workflows.formats.steps import is_sequence
from workflows.models import Step, Workflow

_OWN_FIELDS = ("name", "description", "steps")
_COLUMNS = {"id", "name", "action", "with", "needs", "if", "join", "retry", "timeout", "on_error"}


def document(workflow: Workflow) -> dict[str, Json]:
    """Return the draft as a document, to be validated and published. Raises DefinitionError."""
    if not isinstance(workflow.settings, dict):
        raise refuse("settings", "must be a mapping of inputs, output, labels and the like")
    steps: list[Json] = [
        _step_document(step, path=f"steps[{index}]") for index, step in enumerate(workflow.steps.all())
    ]
    return {**workflow.settings, "name": workflow.name, "description": workflow.description, "steps": steps}


def settings_of(definition: Definition) -> dict[str, Json]:
    """Return the definition without name, description and steps, for the field Workflow.settings."""
    return {key: value for key, value in definition.canonical().items() if key not in _OWN_FIELDS}


def replace_steps(workflow: Workflow, definition: Definition) -> None:
    """Replace the draft's Step rows by the steps of a definition."""
    in_sequence = is_sequence(definition)
    Step.objects.filter(workflow=workflow).delete()
    Step.objects.bulk_create(
        (
            _row(workflow, step, position=position, in_sequence=in_sequence)
            for position, step in enumerate(definition.steps)
        ),
        batch_size=1000,
    )


def _row(workflow: Workflow, step: StepDefinition, *, position: int, in_sequence: bool) -> Step:
    given: dict[str, Any] = step.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return Step(
        workflow=workflow,
        position=position,
        key=step.id,
        label=step.name or "",
        action=step.action,
        config=given.get("with", {}),
        needs=None if in_sequence else list(step.needs),
        condition=step.if_ or "",
        join=given.get("join", ""),
        retry=given.get("retry"),
        timeout="" if step.timeout is None else f"{step.timeout:g}",
        on_error=given.get("on_error", ""),
        more={key: value for key, value in given.items() if key not in _COLUMNS},
    )


def _step_document(step: Step, *, path: str) -> dict[str, Json]:
    if not isinstance(step.more, dict):
        raise refuse(f"{path}.more", "must be a mapping of further keys of a step, such as for_each or compensate")
    given: dict[str, Json] = {
        "id": step.key,
        "name": step.label or None,
        "action": step.action,
        "with": step.config,
        "needs": step.needs,
        "if": step.condition or None,
        "join": step.join or None,
        "retry": step.retry,
        "timeout": step.timeout or None,
        "on_error": step.on_error or None,
    }
    return {**step.more, **{key: value for key, value in given.items() if value is not None}}
