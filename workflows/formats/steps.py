"""Translate the accepted forms of steps into the canonical form: key names, ids, and explicit `needs`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from actions import registry
from actions.base import Json
from actions.paths import cut
from workflows.definitions import routes
from workflows.definitions.complaints import shown
from workflows.definitions.definition import STEP_ID, Definition, StepDefinition
from workflows.definitions.errors import Found, Problem, join_path, nearest

KNOWN = frozenset(f.alias or name for name, f in StepDefinition.model_fields.items())
# Accepted key -> canonical key.
ALIASES = {"type": "action", "config": "with", "max_retries": "retry"}
_GOTO = "goto:"
_MAX_RETRIES = 999
# So many steps a warning names.
_MOST_NAMED = 5


@dataclass
class Draft:
    """What normalising collects: canonical steps, problems, warnings, and `origins`.

    `origins` maps a path in the canonical document to the path in the document as given.
    """

    steps: list[dict[str, Json]] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    problems: Found = field(default_factory=Found)
    warnings: list[str] = field(default_factory=list)

    def refuse(self, path: str, message: str) -> None:
        """Note a problem. Raises FoundEnough if no more are looked for."""
        self.problems.add(Problem(path, message))


def slug(name: str, *, position: int) -> str:
    """Make a step id from a name: `send mail` -> `send_mail`, `2` -> `step_2`."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    word = re.sub(r"[^A-Za-z0-9_]+", "_", ascii_name).strip("_")
    if not word:
        return f"step_{position + 1}"
    return (f"step_{word}" if word[0].isdigit() else word)[:64]


def read_steps(given: Json, *, path: str, draft: Draft) -> list[dict[str, Json]]:
    """Translate a list of steps into canonical ones, each with a `needs`. Adds faults to the draft."""
    if not isinstance(given, list) or not given:
        draft.refuse(path, f"must be a list of at least one step, not {shown(given)}")
        return []
    if len(given) > Definition.MAX_STEPS:
        draft.refuse(path, f"has {len(given):,} steps; {Definition.MAX_STEPS:,} are the limit, so split the workflow")
        return []
    steps = []
    for index, step in enumerate(given):
        where = f"{path}[{index}]"
        if isinstance(step, dict):
            steps.append(_words(step, path=where, draft=draft))
        else:
            draft.refuse(where, f"must be a mapping with id and action, not {shown(step)}")
    if draft.problems:
        return []
    by_name = _give_ids(steps, path=path, draft=draft)
    for step in steps:
        _follow_names(step, by_name=by_name)
    routed = _routed(steps)
    if not any("needs" in step for step in steps):
        _put_in_sequence(steps, routed, path=path, draft=draft)
    else:
        _warn_of_roots(steps, routed, path=path, draft=draft)
    for step in steps:
        _lead_to(step, routed.get(str(step["id"])))
        step.setdefault("needs", [])
    return steps


def _routed(steps: list[dict[str, Json]]) -> dict[str, str]:
    """Return the steps that routes of a switch lead to, each with that switch: the first one, if there are several."""
    found: dict[str, str] = {}
    for step in steps:
        for _, target in routes.targets(step.get("action"), step.get("with")):
            if target != step["id"]:
                found.setdefault(target, str(step["id"]))
    return found


def _lead_to(step: dict[str, Json], switch: str | None) -> None:
    """Let the target of a route need its switch, and run only if the route was taken."""
    if switch is None:
        return
    step["needs"] = step.get("needs") or [switch]
    needs = step["needs"]
    if isinstance(needs, list) and switch in needs:
        step["if"] = routes.guarded(step.get("if"), switch, str(step["id"]))


def sequence_needs(steps: list[dict[str, Json]]) -> list[list[Json]]:
    """Return the `needs` of each step when the steps are a sequence, each needing the one before.

    A step that is the target of a goto is no part of the sequence: it needs nothing, and no step needs it.
    """
    targets = {_goto(step) for step in steps} - {None}
    needs: list[list[Json]] = []
    last: Json = None
    for step in steps:
        outside = step["id"] in targets
        needs.append([] if outside or last is None else [last])
        last = last if outside else step["id"]
    return needs


def is_sequence(definition: Definition) -> bool:
    """Whether the steps' `needs` are those of a sequence, so that they may be left out of a file."""
    shapes: list[dict[str, Json]] = [{"id": step.id, "on_error": step.on_error} for step in definition.steps]
    return [list(step.needs) for step in definition.steps] == sequence_needs(shapes)


def _words(given: dict[str, Json], *, path: str, draft: Draft) -> dict[str, Json]:
    """Return one step with canonical keys; an empty value (`needs:`) counts as not given."""
    step: dict[str, Json] = {}
    for key, value in given.items():
        word = ALIASES.get(key, key)
        if word not in KNOWN:
            draft.refuse(join_path(path, key), f"is not a known key{nearest(key, KNOWN | ALIASES.keys())}")
        elif word in step:
            draft.refuse(f"{path}.{key}", f"means the same as {word}, which is given too; keep one of them")
        elif value is not None:
            step[word] = _retries(value, path=f"{path}.{key}", draft=draft) if key == "max_retries" else value
            if word != key:
                draft.origins.setdefault(f"{path}.{word}", f"{path}.{key}")
    action = step.get("action")
    if not isinstance(action, str):
        draft.refuse(f"{path}.action", "is required: the name of an action as text")
    else:
        step["action"] = _canonical(action)
    if isinstance(step.get("if"), bool):
        step["if"] = "true" if step["if"] else "false"
    if isinstance(step.get("needs"), str):
        step["needs"] = [step["needs"]]
    return step


def _canonical(action: str) -> str:
    try:
        return registry.canonical(action)
    except registry.UnknownAction:
        return action


def _retries(value: Json, *, path: str, draft: Draft) -> Json:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_RETRIES:
        draft.refuse(path, f"must be a whole number from 0 to {_MAX_RETRIES}, not {shown(value)}")
        return None
    return {"max_attempts": value + 1}


def _give_ids(steps: list[dict[str, Json]], *, path: str, draft: Draft) -> dict[str, str]:
    """Set every step's id, made from its name or action if it has none. Return a map from names and ids to ids."""
    seen: dict[str, int] = {}
    by_name: dict[str, str] = {}
    for index, step in enumerate(steps):
        where = f"{path}[{index}]"
        explicit, name = step.get("id"), step.get("name")
        if "id" in step:
            identity = _checked_id(explicit, path=f"{where}.id", draft=draft)
        else:
            identity = slug(str(name if name is not None else step["action"]), position=index)
        if identity in seen:
            key = "id" if "id" in step else "name" if "name" in step else "action"
            twin = f"{path}[{seen[identity]}]"
            draft.refuse(f"{where}.{key}", f"gives the id {identity!r}, which {twin} has already; name one otherwise")
        seen.setdefault(identity, index)
        step["id"] = identity
        if isinstance(name, str):
            by_name.setdefault(name, identity)
        if name == identity:
            del step["name"]
    return {**by_name, **{identity: identity for identity in seen}}


def _checked_id(value: Json, *, path: str, draft: Draft) -> str:
    if isinstance(value, str) and STEP_ID.fullmatch(value):
        return value
    hint = f"; write {slug(value, position=0)!r}" if isinstance(value, str) and value else ""
    rule = "must be a text of letters, digits and underscores, at most 64, not beginning with a digit"
    draft.refuse(path, f"{rule}, not {shown(value)}{hint}")
    return str(value)


def _follow_names(step: dict[str, Json], *, by_name: dict[str, str]) -> None:
    """Replace step names by ids in `needs` and `goto:`, where both may be written."""
    needs, target = step.get("needs"), _goto(step)
    if isinstance(needs, list):
        step["needs"] = [by_name.get(need, need) if isinstance(need, str) else need for need in needs]
    if target is not None:
        step["on_error"] = _GOTO + by_name.get(target, target)
    if step.get("action") == routes.SWITCH and isinstance(config := step.get("with"), dict):
        step["with"] = routes.renamed(config, by_name)


def _warn_of_roots(steps: list[dict[str, Json]], routed: Mapping[str, str], *, path: str, draft: Draft) -> None:
    """Warn of steps that begin together with the first one only because another step has `needs`."""
    targets = {_goto(step) for step in steps} | routed.keys()
    roots = [at for at, step in enumerate(steps) if not step.get("needs") and step["id"] not in targets]
    unsaid = [at for at in roots[1:] if "needs" not in steps[at]]
    if unsaid:
        graph = next(at for at, step in enumerate(steps) if "needs" in step)
        names = ", ".join(f"{path}[{at}] ({cut(steps[at]['id'])})" for at in unsaid[:_MOST_NAMED])
        more = f" and {len(unsaid) - _MOST_NAMED} more" if len(unsaid) > _MOST_NAMED else ""
        begin = "begins" if len(unsaid) == 1 else "begin"
        draft.warnings.append(
            f"{path}[{graph}].needs makes {path} a graph, so {names}{more} {begin} together with {path}[{roots[0]}] "
            f"({cut(steps[roots[0]]['id'])}); write `needs` in each step that comes after another, and `needs: []` in "
            "one that does not"
        )


def _put_in_sequence(steps: list[dict[str, Json]], routed: Mapping[str, str], *, path: str, draft: Draft) -> None:
    """Let each step need the one before. The step after the routes of a switch needs them all, and the switch."""
    position = {str(step["id"]): index for index, step in enumerate(steps)}
    for index, step in enumerate(steps):
        if position.get(_goto(step) or "", index + 1) < index:
            draft.refuse(f"{path}[{index}].on_error", "jumps backwards; a goto leads to a step further down")
        for place, target in routes.targets(step.get("action"), step.get("with")):
            if position.get(target, index + 1) < index:
                draft.refuse(f"{path}[{index}].with.{place}", "leads backwards; a route leads to a step further down")
    plain = [step for step in steps if step["id"] not in routed]
    led_to: dict[str, list[str]] = {}
    for target, switch in routed.items():
        if target in position:
            led_to.setdefault(switch, []).append(target)
    for step, needs in zip(plain, sequence_needs(plain), strict=True):
        behind = led_to.get(str(needs[0]), []) if needs else []
        step["needs"] = [*needs, *behind]
        if behind:
            step.setdefault("join", "none_failed")


def _goto(step: dict[str, Json]) -> str | None:
    on_error = step.get("on_error")
    return on_error.removeprefix(_GOTO) if isinstance(on_error, str) and on_error.startswith(_GOTO) else None
