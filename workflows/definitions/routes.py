"""The routes of a `switch`: which steps they lead to, and the condition under which such a step runs.

A target needs its switch, and has an `if` that asks whether its route was taken. So a route is an edge like any other:
joins, skips, replays and the checks of expressions know nothing of switches. Publishing writes both into the canonical
definition (workflows.formats.steps), and checks here that they are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from actions.base import Json
from workflows.definitions.definition import StepDefinition
from workflows.definitions.errors import Problem, nearest

SWITCH = "switch"
Place = tuple[str, ...]


def targets(action: Json, config: Json) -> Iterator[tuple[str, str]]:
    """Yield (place in the config, target) of each route of a step that is a switch; the default comes last."""
    if action != SWITCH or not isinstance(config, dict):
        return
    routes = config.get("routes")
    for index, route in enumerate(routes if isinstance(routes, list) else ()):
        if isinstance(route, dict) and isinstance(target := route.get("goto"), str):
            yield f"routes[{index}].goto", target
    if isinstance(target := config.get("default"), str):
        yield "default", target


def renamed(config: Mapping[str, Any], by_name: Mapping[str, str]) -> dict[str, Any]:
    """Return a switch's config with ids in place of the names of steps."""
    found = dict(config)
    if isinstance(routes := found.get("routes"), list):
        found["routes"] = [_renamed(route, "goto", by_name) if isinstance(route, dict) else route for route in routes]
    return _renamed(found, "default", by_name)


def _renamed(part: Mapping[str, Any], key: str, by_name: Mapping[str, str]) -> dict[str, Any]:
    target = part.get(key)
    return {**part, key: by_name.get(target, target)} if isinstance(target, str) else dict(part)


def guard(switch: str, target: str) -> str:
    """Return the expression that is true if the switch took a route to this step."""
    return f"steps.{switch}.output.goto == '{target}'"


def guarded(condition: Json, switch: str, target: str) -> str:
    """Return the `if` of a target: that its route was taken, and what its own `if` says."""
    taken = guard(switch, target)
    if not isinstance(condition, str) or condition.strip() == "true":
        return taken
    own = condition.strip()
    if own.startswith(taken):
        return own
    if own.startswith("{{") and own.endswith("}}") and own.count("{{") == 1:
        own = own[2:-2].strip()
    return f"{taken} and ({own})"


def route_problems(steps: Sequence[StepDefinition], *, path: str) -> Iterator[Problem]:
    """Yield the faults of routes: targets that are not there, or that two switches lead to, and switches over lists."""
    by_id = {step.id: step for step in steps}
    switches: dict[str, str] = {}
    for index, step in enumerate(steps):
        found = [*targets(step.action, step.with_)]
        if found and step.for_each is not None:
            message = "is beside a switch, which chooses one route and not one for each item; use `if` with `item`"
            yield Problem(f"{path}[{index}].for_each", message)
        for place, target in found:
            where = f"{path}[{index}].with.{place}"
            if target not in by_id:
                yield Problem(where, f"leads to {target[:60]!r}, but there is no such step{nearest(target, by_id)}")
            elif target == step.id:
                yield Problem(where, "leads to the switch itself; a route leads to a step behind it")
            elif (other := switches.setdefault(target, step.id)) != step.id:
                message = f"leads to {target!r}, to which the switch {other!r} leads, too; lead one elsewhere"
                yield Problem(where, message)
            elif step.id not in by_id[target].needs or not (by_id[target].if_ or "").startswith(guard(step.id, target)):
                message = f"leads to {target!r}, which needs other steps; let it need {step.id!r}, or nothing"
                yield Problem(where, message)
