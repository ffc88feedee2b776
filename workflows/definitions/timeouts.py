"""The longest time that one attempt at a step may take, whatever its definition says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings

from actions import registry
from actions.base import Action
from workflows.definitions.definition import Definition, StepDefinition
from workflows.definitions.errors import Problem


def longest_seconds(action: Action[Any]) -> float:
    """Return the longest that one attempt of this action may take, in seconds.

    An inline attempt (of an action that is pure, or only begins a wait) occupies its worker child alone, so its bound
    is lower. A wait itself is a row, which no bound here limits.
    """
    if action.pure or action.parks:
        return float(min(settings.PURE_STEP_MAX_SECONDS, settings.STEP_MAX_SECONDS))
    return float(settings.STEP_MAX_SECONDS)


def timeout_problems(definition: Definition) -> Iterator[Problem]:
    """Yield a problem for each `timeout` of a step or a compensation that is longer than its attempt may take."""
    for action, seconds, path in _timeouts(definition):
        longest = longest_seconds(action)
        if seconds <= longest or action.parks:
            continue
        what = "computes only, and occupies a worker child alone" if action.pure else "occupies a worker"
        setting = "PURE_STEP_MAX_SECONDS" if action.pure and longest < settings.STEP_MAX_SECONDS else "STEP_MAX_SECONDS"
        yield Problem(
            path,
            f"is {seconds:g} s; an attempt of {action.name} {what}, for {longest:g} s at most ({setting}): "
            "write less, or split the work into several steps; for a pause use the action wait",
        )


def timeout_warnings(definition: Definition) -> Iterator[str]:
    """Yield a warning for each `timeout` of a step that waits as a row, which that timeout does not limit."""
    for action, seconds, path in _timeouts(definition):
        if action.parks and seconds > (longest := longest_seconds(action)):
            yield (
                f"{path} is {seconds:g} s, but counts as {longest:g} s: it limits how long the step takes to begin its "
                "wait, and never the wait itself"
            )


def _timeouts(definition: Definition) -> Iterator[tuple[Action[Any], float, str]]:
    """Yield action, seconds and path of each `timeout`; those of unknown actions are left out."""
    parts = {"steps": definition.steps, "on_failure": definition.on_failure, "finally": definition.finally_}
    for part, steps in parts.items():
        for index, step in enumerate(steps):
            for name, seconds, path in _of_step(step, path=f"{part}[{index}]"):
                if seconds is not None:
                    try:
                        yield registry.get(name), seconds, path
                    except registry.UnknownAction:
                        continue  # a problem of its own


def _of_step(step: StepDefinition, *, path: str) -> Iterator[tuple[str, float | None, str]]:
    yield step.action, step.timeout, f"{path}.timeout"
    if step.compensate is not None:
        yield step.compensate.action, step.compensate.timeout, f"{path}.compensate.timeout"
