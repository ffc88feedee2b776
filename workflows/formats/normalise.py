"""Translate every accepted form of a workflow into the canonical document.

Accepted are: a list of steps, the short form (every step has `type` and `payload`), and nodes with edges. Unknown keys
and wrong structure are refused here, each with its path; the content is checked by workflows.publishing.validate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from actions import expressions
from actions.base import Action, Json, config_keys
from actions.nearest import nearest as similar
from actions.paths import cut
from workflows.definitions.complaints import shown
from workflows.definitions.configs import config_problems, find_action, works_on_input
from workflows.definitions.definition import Definition
from workflows.definitions.errors import DefinitionError, FoundEnough, Problem, join_path, nearest
from workflows.formats.nodes_and_edges import read_graph
from workflows.formats.steps import Draft, read_steps

KNOWN = frozenset(f.alias or name for name, f in Definition.model_fields.items())
_GRAPH = frozenset({"nodes", "edges"})
# A YAML 1.1 parser reads the key `on` as `true`.
_TRIGGER_ALIASES = frozenset({"on", "true"})
# So many keys of payloads that no action knows are compared with the keys that it knows.
_MOST_COMPARED = 500
_LAST_PART = re.compile(r"(\[[^\[\]]*\]|\.[^.\[\]]*|[^.\[\]]+)$")


@dataclass(frozen=True)
class Normalised:
    """A canonical document that is not validated yet.

    `start_input` is set for the short form only: the input of the run that it describes. `origins` maps a path in the
    canonical document to the path in the document as given.
    """

    document: dict[str, Json]
    start_input: dict[str, Json] | None = None
    warnings: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)

    def origin(self, path: str) -> str:
        """Return the path in the document as given, for a path in the canonical document."""
        head, tail = path, ""
        while head:
            if head in self.origins:
                return self.origins[head] + tail
            part = _LAST_PART.search(head)
            if part is None:
                break
            head, tail = head[: part.start()], part[0] + tail
        return path


def normalise(document: Json) -> Normalised:
    """Translate a document of plain JSON into a canonical one. Raises DefinitionError with the first 100 faults."""
    if not isinstance(document, dict):
        raise DefinitionError([Problem("", f"must be a mapping with name and steps, not {shown(document)}")])
    draft = Draft()
    try:
        return _normalised(document, draft=draft)
    except FoundEnough:
        raise located(draft.problems, Normalised({}, origins=draft.origins)) from None


def _normalised(document: dict[str, Json], *, draft: Draft) -> Normalised:
    top = _top(document, draft=draft)
    start_input: dict[str, Json] | None = None
    if draft.problems:
        raise DefinitionError(draft.problems)
    if _GRAPH & top.keys():
        given: Json = read_graph(top.pop("nodes", None), top.pop("edges", []), draft=draft)
    else:
        given = top["steps"]
    steps = read_steps(given, path="steps", draft=draft) if not draft.problems else []
    if _is_short(given) and not draft.problems:
        start_input = _take_payloads(steps, draft=draft)
        needed: list[Json] = [step["id"] for step in steps if "payload" in step]
        top.setdefault("inputs", {"type": "object", "required": needed} if needed else None)
    else:
        _refuse_payloads(steps, draft=draft)
    top["steps"] = [*steps]
    for part in ("on_failure", "finally"):
        if top.get(part):
            top[part] = [*read_steps(top[part], path=part, draft=draft)]
    normalised = Normalised(top, start_input, tuple(draft.warnings), draft.origins)
    if draft.problems:
        raise located(draft.problems, normalised)
    return normalised


def located(problems: Sequence[Problem], normalised: Normalised) -> DefinitionError:
    """Return the error for problems of the canonical document, with their paths in the document as given."""
    return DefinitionError(Problem(normalised.origin(p.path), p.message, p.line) for p in problems)


def _top(document: dict[str, Json], *, draft: Draft) -> dict[str, Json]:
    """Return the top level of the document with canonical keys; an empty value counts as not given."""
    top: dict[str, Json] = {}
    for key, value in document.items():
        word = "triggers" if key in _TRIGGER_ALIASES else key
        if word not in KNOWN | _GRAPH:
            draft.refuse(cut(key), f"is not a known key{nearest(key, KNOWN | _GRAPH)}")
        elif word in top:
            draft.refuse(key, f"means the same as {word}, which is given too; keep one of them")
        elif value is not None:
            top[word] = _triggers(value) if word == "triggers" else value
            if word != key:
                draft.origins[word] = key
    if "steps" in top and _GRAPH & top.keys():
        draft.refuse("nodes", "is given beside steps; write the workflow as steps, or as nodes with edges")
    elif not {"steps", "nodes"} & top.keys() and not draft.problems:
        draft.refuse("steps", "is required: a list of steps (or nodes with edges)")
    return top


def _triggers(value: Json) -> Json:
    """Return triggers as a list: the mapping `{webhook: {...}, schedule: {...}}` is a list of two."""
    return [{kind: details} for kind, details in value.items()] if isinstance(value, dict) else value


def _is_short(given: Json) -> bool:
    """Whether the steps are in the short form, name, type and payload: a workflow and its first run in one."""
    return (
        isinstance(given, list)
        and all(isinstance(s, dict) and "type" in s and not {"with", "config"} & s.keys() for s in given)
        and any(isinstance(s, dict) and not isinstance(s.get("payload"), str | None) for s in given)
    )


def _take_payloads(steps: list[dict[str, Json]], *, draft: Draft) -> dict[str, Json]:
    """Replace payloads by references to the run's input, such as `{{ input.fetch }}`, and return that input.

    A payload with expressions, or one that makes the action read the step's input, belongs to the workflow instead of
    the run: it becomes the step's `with`, so that it is checked now and can read the outputs of earlier steps. Keys
    that the action does not know are data: they are part of the run's input in either case.
    """
    start_input: dict[str, Json] = {}
    unknown: list[tuple[Action[Any], str, str]] = []
    for index, step in enumerate(steps):
        path = f"steps[{index}]"
        payload = step.pop("payload", {})
        action = find_action(str(step["action"]))
        if action is None:
            continue
        config, data = action.from_payload(payload), action.data_of(payload)
        _note_origins(action, payload, config, path=path, draft=draft)
        unknown += [(action, f"{path}.payload", key) for key in data]
        if expressions.has_expression(config) or works_on_input(action, config):
            step["with"] = config
            if data:
                start_input[str(step["id"])] = data
            continue
        for problem in config_problems(action, config, path=f"{path}.with"):
            draft.problems.add(problem)
        step["payload"] = f"{{{{ input.{step['id']} }}}}"
        start_input[str(step["id"])] = payload
    draft.warnings += _misspelt(unknown[:_MOST_COMPARED])
    return start_input


def _note_origins(action: Action[Any], payload: Json, config: Json, *, path: str, draft: Draft) -> None:
    """Note where in the payload each part of the config comes from."""
    draft.origins[f"{path}.with"] = f"{path}.payload"
    if not isinstance(config, dict) or not isinstance(payload, dict):
        return
    if config.get("set") is payload:
        draft.origins[f"{path}.with.set"] = f"{path}.payload"
    for word, field_name in action.payload_words.items():
        if word in payload and field_name in config and field_name not in payload:
            draft.origins[f"{path}.with.{field_name}"] = f"{path}.payload.{word}"


def _misspelt(unknown: Sequence[tuple[Action[Any], str, str]]) -> Iterator[str]:
    """Yield a warning for each key of a payload, with its action and path, that looks like one of the action's own."""
    for action, path, key in unknown:
        if hint := similar(key, config_keys(action.config_class)):
            yield f"{join_path(path, key)} is data, because {action.name} has no such key{hint}"


def _refuse_payloads(steps: list[dict[str, Json]], *, draft: Draft) -> None:
    for index, step in enumerate(steps):
        if "payload" in step and not isinstance(step["payload"], str):
            message = "belongs to the short form, where every step has type and payload; write `with` here"
            draft.refuse(f"steps[{index}].payload", message)
