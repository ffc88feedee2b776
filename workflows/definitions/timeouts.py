"""The longest time that one attempt at a step may take, whatever its definition says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings

from actions import expressions, registry
from actions.base import Action
from actions.durations import seconds
from workflows.definitions.definition import Compensation, Definition, StepDefinition
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
    for action, given, path in _timeouts(definition):
        longest = longest_seconds(action)
        if given <= longest or action.parks:
            continue
        what = "computes only, and occupies a worker child alone" if action.pure else "occupies a worker"
        setting = "PURE_STEP_MAX_SECONDS" if action.pure and longest < settings.STEP_MAX_SECONDS else "STEP_MAX_SECONDS"
        yield Problem(
            path,
            f"is {given:g} s; an attempt of {action.name} {what}, for {longest:g} s at most ({setting}): "
            "write less, or split the work into several steps; for a pause use the action wait",
        )


def own_timeout_problems(definition: Definition) -> Iterator[Problem]:
    """Yield a problem for each config that gives more time to what its action does than an attempt at it may take."""
    for step, path in _steps(definition):
        for performed, where in ((step, path), (step.compensate, f"{path}.compensate")):
            if performed is not None:
                yield from _own_problems(performed, path=where)


def _own_problems(performed: StepDefinition | Compensation, *, path: str) -> Iterator[Problem]:
    try:
        action = registry.get(performed.action)
        given = performed.with_.get(action.timeout_field or "") if isinstance(performed.with_, dict) else None
        own = None if given is None or expressions.has_expression(given) else seconds(given)
    except (registry.UnknownAction, ValueError):
        return  # problems of their own
    longest = longest_seconds(action)
    if own is None or own <= min(performed.timeout or longest, longest):
        return
    what = (
        f"the step's timeout of {performed.timeout:g} s" if performed.timeout else f"{longest:g} s (STEP_MAX_SECONDS)"
    )
    yield Problem(
        f"{path}.with.{action.timeout_field}",
        f"is {own:g} s, longer than {what}, which holds for the whole attempt; write less, or a longer timeout of the "
        "step",
    )


def timeout_warnings(definition: Definition) -> Iterator[str]:
    """Yield a warning for each `timeout` of a step that waits as a row, which that timeout does not limit."""
    for action, given, path in _timeouts(definition):
        if action.parks and given > (longest := longest_seconds(action)):
            yield (
                f"{path} is {given:g} s, but counts as {longest:g} s: it limits how long the step takes to begin its "
                "wait, and never the wait itself"
            )


def _timeouts(definition: Definition) -> Iterator[tuple[Action[Any], float, str]]:
    """Yield action, seconds and path of each `timeout`; those of unknown actions are left out."""
    for step, where in _steps(definition):
        for name, timeout, path in _of_step(step, path=where):
            if timeout is not None:
                try:
                    yield registry.get(name), timeout, path
                except registry.UnknownAction:
                    continue  # a problem of its own


def _steps(definition: Definition) -> Iterator[tuple[StepDefinition, str]]:
    """Yield each step of every part with its path."""
    parts = {"steps": definition.steps, "on_failure": definition.on_failure, "finally": definition.finally_}
    for part, steps in parts.items():
        for index, step in enumerate(steps):
            yield step, f"{part}[{index}]"


def _of_step(step: StepDefinition, *, path: str) -> Iterator[tuple[str, float | None, str]]:
    yield step.action, step.timeout, f"{path}.timeout"
    if step.compensate is not None:
        yield step.compensate.action, step.compensate.timeout, f"{path}.compensate.timeout"
