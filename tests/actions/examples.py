"""Perform the examples of actions as a user would: publish a workflow with the step, and start a run."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from actions.base import Action, Example, Json
from runs.control import approvals, signals
from runs.control.approvals import Decision
from runs.control.signals import Message
from runs.domain.actor import Actor
from runs.models import StepRun
from tests.engine import drain
from tests.flows import begun, owner, steps, workspace
from workflows.publishing.publish import publish

# What stands for the tests' own server in an example.
ADDRESS = "https://api.example.com"


def definition(action: Action[Any], example: Example, *, address: str = ADDRESS) -> dict[str, Any]:
    """The workflow that an example is: its steps, and a step `example`. It is performed once, whatever fails."""
    step = {"id": "example", "action": action.name, "with": at(example.config, address), "retry": {"max_attempts": 1}}
    step |= {"needs": list(example.needs)} if example.needs else {}
    return {"name": f"example of {action.name}", "steps": [*example.steps, step]}


def at(value: Any, address: str) -> Any:
    """The value with another address in the place of ADDRESS."""
    if isinstance(value, dict):
        return {key: at(item, address) for key, item in value.items()}
    if isinstance(value, list):
        return [at(item, address) for item in value]
    return value.replace(ADDRESS, address) if isinstance(value, str) else value


def performed(action: Action[Any], example: Example, *, address: str) -> StepRun:
    """The row of the example's step after its run has come to its end."""
    for other in example.workflows:
        publish(other, workspace=workspace(), owner=owner())
    found = publish(definition(action, example, address=address), workspace=workspace(), owner=owner())
    assert not found.warnings, found.warnings
    [run_id] = begun(found, example.input)
    drain()
    if example.payload is not None:
        _wake(run_id, example.payload)
        drain()
    return steps(run_id)["example"]


def _wake(run_id: UUID, payload: Json) -> None:
    row = steps(run_id)["example"]
    assert row.state == "waiting"
    if isinstance(payload, dict) and "approved" in payload:
        decision = Decision(payload["approved"] is True, by=str(payload["by"]))
        actor = Actor(reason=str(payload["comment"]))
        assert approvals.decide([(run_id, row.step, -1)], decision=decision, actor=actor)
    else:
        assert signals.send([run_id], message=Message(str(row.signal), payload), actor=Actor())


def covers(found: Json, expected: Json) -> bool:
    """Whether a value is as an example says, which may leave out keys of objects."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return all(key in found and covers(found[key], value) for key, value in expected.items())
    return found == expected
