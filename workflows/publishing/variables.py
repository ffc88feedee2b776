"""Warn at publish of variables that the workspace does not have, and of places that cannot read any."""

from __future__ import annotations

import re
from collections.abc import Iterator

import orjson

from actions import expressions
from actions.base import Json
from actions.expressions.reads import Read, expression_reads, reads
from workflows.definitions.configs import config_reads, find_action
from workflows.definitions.definition import Definition, StepDefinition
from workflows.definitions.errors import nearest
from workflows.models import Variable, Workspace

VARS = "vars"
MOST_NAMED = 20
_MENTIONED = re.compile(rb"\bvars\b")


def variable_warnings(definition: Definition, *, workspace: Workspace) -> Iterator[str]:
    """Yield a warning for each place that reads a variable which is not set now. At most one query."""
    asked = [*_asked(definition)]
    names = list(Variable.objects.filter(workspace=workspace).values_list("name", flat=True)) if asked else []
    missing = [(where, name) for where, name in asked if name not in names]
    for where, name in missing[:MOST_NAMED]:
        yield (
            f"{where} reads vars.{name}, and workspace {workspace.name!r} has no such variable now"
            f"{nearest(name, names)}; set it with manage.py set_variable, or the step fails"
        )
    if len(missing) > MOST_NAMED:
        yield f"{len(missing) - MOST_NAMED} more places read variables that are not set"
    if _mentions(definition.output) and VARS in expressions.names_in(definition.output):
        yield "output reads `vars`, which only steps can; read it in a step, and that step's output here"


def _asked(definition: Definition) -> Iterator[tuple[str, str]]:
    """Yield place and name of each variable that is read by its name."""
    parts = {"steps": definition.steps, "on_failure": definition.on_failure, "finally": definition.finally_}
    for part, steps in parts.items():
        for index, step in enumerate(steps):
            for where, name in dict.fromkeys(_read_by(step)):
                yield f"{part}[{index}].{where}", name


def _read_by(step: StepDefinition) -> Iterator[tuple[str, str]]:
    found = [*_config(step.action, step.with_, "with")]
    if step.if_ is not None and _mentions(step.if_):
        found += expression_reads(step.if_, path="if")
    if step.for_each is not None and _mentions(step.for_each.items):
        found += reads(step.for_each.items, path="for_each.items")
    if step.compensate is not None:
        found += _config(step.compensate.action, step.compensate.with_, "compensate.with")
    for read in found:
        for path in read.paths:
            if path[0] == VARS and len(path) > 1:
                yield read.where, str(path[1])


def _config(name: str, config: Json, path: str) -> list[Read]:
    action = find_action(name)
    return config_reads(action, config, path=path) if action is not None and _mentions(config) else []


def _mentions(value: Json) -> bool:
    return bool(value) and _MENTIONED.search(orjson.dumps(value)) is not None
