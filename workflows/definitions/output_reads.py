"""Warn of an expression that reads a field which no output of that step has, as `steps.fetch.output.bdy`.

The fields are those of the action's output model, as far as it forbids others; of a for_each step, those of its counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

import orjson
from pydantic import BaseModel

from actions.base import Json, Output
from actions.expressions.reads import Read, expression_reads, reads
from workflows.definitions.configs import config_reads, find_action
from workflows.definitions.definition import Compensation, Definition, StepDefinition
from workflows.definitions.errors import join_path, nearest

# So many warnings are given at most for one definition, and so much processor time is spent on looking for them.
MOST_WARNINGS = 20
MOST_SECONDS = 1.0


class ListOutput(BaseModel):
    """The output of a for_each step (runs.engine.for_each); `results_left_out` is there instead of many results."""

    model_config = {"extra": "forbid"}

    count: int
    succeeded: int
    failed: int
    skipped: int
    results: list[Any]
    results_left_out: Any


def output_warnings(definition: Definition) -> Iterator[str]:
    """Yield a warning for each expression that reads a field that its step never gives."""
    steps = {step.id: step for part in (definition.steps, definition.on_failure, definition.finally_) for step in part}
    began = time.thread_time()
    told = set()
    for read in _reads(definition):
        for path in read.paths:
            fault = _fault(path, steps)
            if fault is not None and (read.where, fault) not in told:
                told.add((read.where, fault))
                yield f"{read.where} reads {fault}"
        if time.thread_time() - began > MOST_SECONDS:
            return


def _reads(definition: Definition) -> Iterator[Read]:
    """Yield what is read by each expression of the definition that mentions an output at all."""
    if _mentions(definition.output):
        yield from reads(definition.output, path="output")
    parts = {"steps": definition.steps, "on_failure": definition.on_failure, "finally": definition.finally_}
    for part, steps in parts.items():
        for index, step in enumerate(steps):
            yield from _reads_of(step, path=f"{part}[{index}]")


def _reads_of(step: StepDefinition, *, path: str) -> Iterator[Read]:
    yield from _config_reads(step, path=f"{path}.with")
    if step.if_ is not None and _mentions(step.if_):
        yield from expression_reads(step.if_, path=f"{path}.if")
    if step.for_each is not None and _mentions(step.for_each.items):
        yield from reads(step.for_each.items, path=f"{path}.for_each.items")
    if step.payload is not None and _mentions(step.payload):
        yield from reads(step.payload, path=f"{path}.payload")
    if step.compensate is not None:
        yield from _config_reads(step.compensate, path=f"{path}.compensate.with")


def _config_reads(performed: StepDefinition | Compensation, *, path: str) -> Iterator[Read]:
    action = find_action(performed.action)
    if action is not None and _mentions(performed.with_):
        yield from config_reads(action, performed.with_, path=path)


def _mentions(value: Json) -> bool:
    return b"output" in orjson.dumps(value)


def _fault(path: Sequence[str | int], steps: Mapping[str, StepDefinition]) -> str | None:
    """Return what a path reads that is never there; None if it may be, or if nobody knows."""
    if len(path) < 4 or path[0] != "steps" or path[2] != "output":
        return None
    step = steps.get(str(path[1]))
    model = None if step is None else _model(step)
    if step is None or model is None:
        return None
    here: Any = model
    for at, key in enumerate(path[3:], start=3):
        here = _plain(here)
        if get_origin(here) is list and isinstance(key, int):
            here = get_args(here)[0]
            continue
        if not (isinstance(here, type) and issubclass(here, BaseModel)) or here.model_config.get("extra") != "forbid":
            return None
        known = {field.alias or name: field for name, field in here.model_fields.items()}
        if at == 3 and key == "error" and step.on_error == "continue":
            return None
        if key not in known:
            return _told(path, at, known=[*known], of="a for_each" if step.for_each is not None else step.action)
        here = known[str(key)].annotation
    return None


def _model(step: StepDefinition) -> type[BaseModel] | None:
    if step.for_each is not None:
        return ListOutput
    action = find_action(step.action)
    found: type[Output] | None = None if action is None else action.output_class
    return found


def _plain(annotation: Any) -> Any:
    """Return the type of a field that may also be null; any other type as it is."""
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return kinds[0] if len(kinds) == 1 else Any
    return annotation


def _told(path: Sequence[str | int], at: int, *, known: list[str], of: str) -> str:
    there = f"it has {', '.join(known)}" if known else "it has no fields"
    key = str(path[at])
    return f"{join_path('', *path[: at + 1])}, which an output of {of} never has ({there}){nearest(key, known)}"
