"""Jobs: a single action with a payload, run as a workflow of one step that is generated from the action's name."""

from __future__ import annotations

from actions.base import Json
from workflows.definitions.configs import find_action, payload_problems, unknown_action
from workflows.definitions.definition import Definition
from workflows.definitions.errors import DefinitionError, Problem
from workflows.definitions.secrets import marker_problems
from workflows.publishing.validate import validate

# All jobs of a workspace are runs of this workflow. A definition's name cannot begin with an underscore.
JOBS_WORKFLOW = "_jobs"


def job_definition(action_name: str, *, max_retries: int | None = None) -> Definition:
    """Return the definition that all jobs of this action and number of retries share; the payload is the run's input.

    Raises DefinitionError with the path `type` or `max_retries`.
    """
    action = find_action(action_name)
    if action is None:
        raise DefinitionError([unknown_action(action_name, path="type")])
    step: dict[str, Json] = {"id": action.name, "action": action.name, "payload": "{{ input }}"}
    if max_retries is not None:
        step["max_retries"] = max_retries
    try:
        return validate({"name": f"job {action.name}", "steps": [step]}).definition
    except DefinitionError as error:
        raise DefinitionError(
            Problem(problem.path.removeprefix("steps[0]."), problem.message) for problem in error.problems
        ) from None


def check_payload(action_name: str, payload: Json) -> Json:
    """Return the payload if the action accepts it. Raises DefinitionError with the path `type` or below `payload`."""
    action = find_action(action_name)
    if action is None:
        raise DefinitionError([unknown_action(action_name, path="type")])
    config = action.from_payload(payload)
    problems = payload_problems(action, config, path="payload") or [*marker_problems(payload, path="payload")]
    if problems:
        raise DefinitionError(problems)
    return payload
