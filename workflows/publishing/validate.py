"""Validate a document of any accepted form: bring it into the canonical form, and check it as a whole."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic import ValidationError

from actions import expressions, payload
from actions.base import Json
from workflows.definitions import retry_words, schema
from workflows.definitions.braces import MOST_WARNINGS, brace_problems, brace_warnings
from workflows.definitions.complaints import complaints
from workflows.definitions.configs import (
    config_problems,
    config_references,
    expression_problems,
    find_action,
    unknown_action,
)
from workflows.definitions.definition import (
    PUBLISHING,
    Compensation,
    Definition,
    ForEach,
    RetryDefinition,
    StepDefinition,
)
from workflows.definitions.errors import DefinitionError, Problem, first, join_path, nearest, refuse
from workflows.definitions.foreign_names import name_warnings
from workflows.definitions.graph import Upstream, graph_problems
from workflows.definitions.labels import label_problems
from workflows.definitions.names import name_fault
from workflows.definitions.output_reads import MOST_WARNINGS as MOST_OUTPUT_WARNINGS
from workflows.definitions.output_reads import output_warnings
from workflows.definitions.secrets import marker_problems
from workflows.definitions.timeouts import own_timeout_problems, timeout_problems, timeout_warnings
from workflows.formats.normalise import Normalised, located, normalise

_TRIGGERS = ("webhook", "schedule", "event")
# So many masked values are told at once.
_MOST_MARKERS = 20
_LATER = "is stored; this version does not perform it yet"


# Processor time for checking one definition. 12,000 steps of usual length take about a second.
MOST_SECONDS_TO_CHECK = 10


class Clock:
    """Measures the processor time of this thread."""

    def __init__(self) -> None:
        self._began = time.thread_time()

    def is_over(self) -> bool:
        """Whether checking took longer than it may."""
        return time.thread_time() - self._began > MOST_SECONDS_TO_CHECK


@dataclass(frozen=True)
class Checked:
    """A valid definition. `start_input` is the input of the first run that a short form describes, else None."""

    definition: Definition
    start_input: dict[str, Json] | None
    warnings: tuple[str, ...]


def validate(document: Json, *, name: str | None = None) -> Checked:
    """Return the definition in a document of any accepted form; `name` is used if the document has none.

    Raises DefinitionError with the first 100 problems, each with its path in the document as it was given.
    """
    try:
        payload.check(document)
    except payload.PayloadError as error:
        raise refuse(error.path, str(error)) from None
    if marked := [*islice(marker_problems(document), _MOST_MARKERS)]:
        raise DefinitionError(marked)
    if name is not None and isinstance(document, dict) and document.get("name") is None:
        document = {"name": name, **{key: value for key, value in document.items() if key != "name"}}
    normalised = normalise(document)
    definition = _parse(normalised)
    problems = first(_definition_problems(definition, clock=Clock()))
    if problems:
        raise located(problems, normalised)
    warnings = (*normalised.warnings, *_warnings(definition))
    return Checked(definition, normalised.start_input, warnings)


def _parse(normalised: Normalised) -> Definition:
    """Return the definition. Step by step, as Pydantic describes all errors before it returns the first one."""
    document = dict(normalised.document)
    problems = first(_parse_steps(document))
    if problems:
        raise located(problems, normalised)
    try:
        return Definition.model_validate(document, context=PUBLISHING)
    except ValidationError as error:
        problems = complaints(error, model=Definition, given=normalised.document, path="")
        raise located(problems, normalised) from None


def _parse_steps(document: dict[str, Json]) -> Iterator[Problem]:
    """Replace the steps of the document by their models, and yield the problems of those that are not valid."""
    for part in ("steps", "on_failure", "finally"):
        given = document.get(part)
        if not isinstance(given, list) or len(given) > Definition.MAX_STEPS:
            continue  # refused as a whole
        steps: list[Any] = []
        for index, step in enumerate(given):
            try:
                steps.append(StepDefinition.model_validate(step, context=PUBLISHING))
            except ValidationError as error:
                yield from complaints(error, model=StepDefinition, given=step, path=f"{part}[{index}]")
        document[part] = steps


def _definition_problems(definition: Definition, *, clock: Clock) -> Iterator[Problem]:
    main = {step.id for step in definition.steps}
    yield from graph_problems(definition.steps, path="steps", elsewhere=frozenset())
    taken = main
    for path, steps in (("on_failure", definition.on_failure), ("finally", definition.finally_)):
        yield from graph_problems(steps, path=path, elsewhere=frozenset(taken))
        taken = taken | {step.id for step in steps}
    yield from _top_problems(definition)
    yield from timeout_problems(definition)
    yield from own_timeout_problems(definition)
    yield from _steps_problems(definition.steps, path="steps", known=frozenset(), clock=clock)
    yield from _streamed_problems(definition)
    for path, steps in (("on_failure", definition.on_failure), ("finally", definition.finally_)):
        # `finally` cannot read steps of `on_failure`, because in most runs those never ran.
        yield from _steps_problems(steps, path=path, known=frozenset(main), clock=clock)
        yield from _misplaced_compensations(steps, path=path)


def _top_problems(definition: Definition) -> Iterator[Problem]:
    if (fault := name_fault(definition.name)) is not None:
        yield Problem("name", fault)
    if definition.inputs is not None:
        yield from schema.schema_problems(definition.inputs, path="inputs")
    yield from label_problems(definition.labels, path="labels")
    yield from brace_problems(definition)
    for where, message in expressions.check(definition.output, path="output"):
        yield Problem(where, message)
    ids = {step.id for step in definition.steps}
    yield from _unknown(expressions.references(definition.output) - ids, ids, path="output")
    for index, trigger in enumerate(definition.triggers):
        kinds = [key for key in trigger if key not in _TRIGGERS]
        if len(trigger) != 1 or kinds:
            hint = nearest(kinds[0], _TRIGGERS) if kinds else ""
            yield Problem(f"triggers[{index}]", f"must have one key, webhook, schedule or event{hint}")
    if definition.concurrency is not None and definition.concurrency.key is not None:
        yield from _key_problems(definition.concurrency.key)


def _key_problems(key: str) -> Iterator[Problem]:
    """Yield the faults of a concurrency key. It is rendered when a run is started, so it can read only the input."""
    path = "concurrency.key"
    problems = [Problem(where, message) for where, message in expressions.check(key, path=path)]
    yield from problems
    if problems:
        return
    if not expressions.has_expression(key):
        yield Problem(
            path, "has no expression; write {{ input.customer }}, or leave it out to limit the whole workflow"
        )
    elif expressions.references(key):
        yield Problem(path, "looks at steps, but is worked out when the run is started; look at `input` only")


def _steps_problems(
    steps: tuple[StepDefinition, ...], *, path: str, known: frozenset[str], clock: Clock
) -> Iterator[Problem]:
    """Yield the faults inside the steps. `known` are the steps of another list, which all end before these begin."""
    upstream = Upstream(steps)
    for index, step in enumerate(steps):
        where = f"{path}[{index}]"
        if clock.is_over():
            yield Problem(where, f"the steps before took {MOST_SECONDS_TO_CHECK} s to check; split the workflow")
            return
        yield from _action_problems(step.action, step.with_, referenced=step.payload is not None, path=where)
        yield from _retry_problems(step.action, step.retry, path=where)
        message = expressions.check_expression(step.if_) if step.if_ is not None else None
        if message:
            yield Problem(f"{where}.if", message)
        for place, error in expressions.check(step.payload, path=f"{where}.payload"):
            yield Problem(place, error)
        if step.for_each is not None:
            yield from _for_each_problems(step.for_each, payload=step.payload, path=f"{where}.for_each")
        for part, references in _references(step):
            yield from upstream.problems(references - known, of=step.id, path=join_path(where, part))
        if step.compensate is not None:
            yield from _compensation_problems(step, step.compensate, path=where, upstream=upstream, known=known)


def _for_each_problems(each: ForEach, *, payload: str | None, path: str) -> Iterator[Problem]:
    if each.streamed is None:
        for place, error in expressions.check(each.items, path=f"{path}.items"):
            yield Problem(place, error)
    if isinstance(each.items, str) and not expressions.has_expression(each.items):
        yield Problem(f"{path}.items", "must be a list, or an expression for one such as '{{ input.rows }}'")
    if payload is not None:
        yield Problem(path, "is given beside payload, which is the step's input; write `with` here")


def _streamed_problems(definition: Definition) -> Iterator[Problem]:
    """Yield a problem for each list that is the results of a step which has none, because it is no for_each."""
    lists = {step.id: step for step in definition.steps if step.for_each is not None}
    for path, steps in (
        ("steps", definition.steps),
        ("on_failure", definition.on_failure),
        ("finally", definition.finally_),
    ):
        lists |= {step.id: step for step in steps if step.for_each is not None}
        for index, step in enumerate(steps):
            source = step.for_each.streamed if step.for_each is not None else None
            if source is not None and source not in lists:
                message = f"reads steps.{source}.results, but {source!r} is no for_each step; read its output"
                yield Problem(f"{path}[{index}].for_each.items", message)


def _misplaced_compensations(steps: tuple[StepDefinition, ...], *, path: str) -> Iterator[Problem]:
    for index, step in enumerate(steps):
        if step.compensate is not None:
            message = f"is for steps of `steps`: what {path} does is never undone; leave it out"
            yield Problem(f"{path}[{index}].compensate", message)


def _compensation_problems(
    step: StepDefinition, undo: Compensation, *, path: str, upstream: Upstream, known: frozenset[str]
) -> Iterator[Problem]:
    where = f"{path}.compensate"
    yield from _action_problems(undo.action, undo.with_, referenced=False, path=where)
    yield from _retry_problems(undo.action, undo.retry, path=where)
    action = find_action(undo.action)
    if action is not None:
        references = config_references(action, undo.with_) - known - {step.id}
        yield from upstream.problems(references, of=step.id, path=f"{where}.with")


def _retry_problems(name: str, retry: RetryDefinition | None, *, path: str) -> Iterator[Problem]:
    action = find_action(name)
    if retry is not None and retry.on is not None and action is not None:
        yield from retry_words.problems(retry.on, action=action, path=f"{path}.retry.on")


def _action_problems(name: str, config: dict[str, Json] | str, *, referenced: bool, path: str) -> Iterable[Problem]:
    """Return the faults of an action and its config. `referenced`: the config is a `payload` that each run brings."""
    action = find_action(name)
    if action is None:
        return [unknown_action(name, path=f"{path}.action")]
    if not referenced:
        return config_problems(action, config, path=f"{path}.with")
    if config:
        return [Problem(f"{path}.with", "is given beside payload, which is the config; keep one of them")]
    return expression_problems(action, config, path=f"{path}.with")


def _references(step: StepDefinition) -> Iterator[tuple[str, frozenset[str]]]:
    action = find_action(step.action)
    if action is not None:
        yield "with", config_references(action, step.with_)
    if step.if_ is not None:
        yield "if", expressions.expression_references(step.if_)
    if step.for_each is not None:
        yield "for_each.items", expressions.references(step.for_each.items)
    if step.payload is not None:
        yield "payload", expressions.references(step.payload)


def _unknown(references: Iterable[str], ids: set[str], *, path: str) -> Iterator[Problem]:
    for each in sorted(set(references) - {"*"}):
        yield Problem(path, f"looks at steps.{each}, but there is no step {each!r}{nearest(each, ids)}")


def _warnings(definition: Definition) -> Iterator[str]:
    """Yield what is accepted, but does not do what its author may expect."""
    if definition.inputs is not None:
        yield from schema.schema_warnings(definition.inputs, path="inputs")
    yield from islice(brace_warnings(definition), MOST_WARNINGS)
    yield from islice(name_warnings(definition), MOST_WARNINGS)
    yield from islice(output_warnings(definition), MOST_OUTPUT_WARNINGS)
    yield from _unsupported(definition)
    yield from _never_reached(definition)
    yield from timeout_warnings(definition)


def _unsupported(definition: Definition) -> Iterator[str]:
    """Yield a warning for each part that is stored but not yet performed, so that nothing is ignored in silence."""
    if definition.triggers:
        yield f"triggers {_LATER}"
    for step in definition.steps:
        if isinstance(step.with_, dict) and "credential" in step.with_:
            yield f"steps.{step.id}.with.credential {_LATER}"


def _never_reached(definition: Definition) -> Iterator[str]:
    """Yield a warning for each `max_parallel` that a smaller `batch` keeps from having an effect."""
    for step in definition.steps:
        each = step.for_each
        if each is not None and each.max_parallel > each.batch and "max_parallel" in each.model_fields_set:
            yield (
                f"steps.{step.id}.for_each.max_parallel is {each.max_parallel}, but no more than {each.batch} items "
                "are open at once, because that is its batch"
            )


__all__ = ["Checked", "DefinitionError", "validate"]
