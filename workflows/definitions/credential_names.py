"""Which credentials a definition names, and where secrets may be read.

`{{ secrets.<credential>.<field> }}` has a value in `with` of steps that reach outside, and there only as it stands:
what a filter makes of a secret could not be found where it comes back. A workflow whose `inputs` declare a property
`secrets` reads that, as before there were credentials.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from actions import expressions
from actions.base import Action, Config, Json
from actions.expressions.language import Expression, parsed, parsed_bare
from workflows.definitions.configs import config_reads, find_action
from workflows.definitions.definition import Compensation, Definition, StepDefinition
from workflows.definitions.errors import Problem
from workflows.definitions.secret_fields import NAME, engine_rendered, secret_fields

_FORM = "{{ secrets.<credential>.<field> }}"


class Named(NamedTuple):
    """A credential that a definition names: where, which, and which field of it; None for the credential as a whole.

    `kinds` are the kinds that its step's action takes; none for a single field.
    """

    where: str
    name: str
    field: str | None
    kinds: tuple[str, ...] = ()


def declares_secrets(definition: Definition) -> bool:
    """Whether the workflow's input has a property `secrets`, so that this name is the input's."""
    properties = definition.inputs.get("properties") if definition.inputs is not None else None
    return isinstance(properties, dict) and NAME in properties


def named(definition: Definition) -> list[Named]:
    """Return the credentials that a valid definition names, in order."""
    found: list[Named] = []
    reads = not declares_secrets(definition)
    for where, said in _configs(definition):
        action = find_action(said.action)
        if action is None or not isinstance(said.with_, dict) or action.pure or action.parks:
            continue
        name = said.with_.get("credential")
        if isinstance(name, str) and "credential" in action.config_class.model_fields:
            found.append(Named(f"{where}.with.credential", name, None, action.credential_kinds))
        if reads:
            fields = dict.fromkeys(secret_fields(said.with_, raw=action.raw))
            found += [Named(f"{where}.with", one, field) for one, field in fields]
    return found


def problems(definition: Definition) -> Iterator[Problem]:
    """Yield what is wrong with the credentials that are named, and with secrets that are read where none may be."""
    for where, said in _configs(definition):
        action = find_action(said.action)
        if action is not None and isinstance(said.with_, dict):
            yield from _credential_problems(action, said.with_, path=f"{where}.with")
    if declares_secrets(definition):
        return
    for where, said in _configs(definition):
        # Most configs read none, and to parse their expressions once more takes a while.
        action = find_action(said.action) if NAME in str(said.with_) else None
        if action is not None:
            yield from _secret_problems(action, said.with_, path=f"{where}.with")
    for where, expression in _elsewhere(definition):
        if NAME in expression.names:
            yield Problem(where, f"reads a secret, and {_FORM} has a value only in `with` of steps that reach outside")


def _credential_problems(action: Action[Config], config: dict[str, Json], *, path: str) -> Iterator[Problem]:
    name = config.get("credential")
    if name is None or "credential" not in action.config_class.model_fields:
        return
    if not isinstance(name, str):
        yield Problem(f"{path}.credential", "must be the name of a credential, a text")
    elif expressions.has_expression(name):
        yield Problem(
            f"{path}.credential",
            "must be the name as it is: an expression would let whoever starts the run choose the credential",
        )


def _secret_problems(action: Action[Config], config: Json, *, path: str) -> Iterator[Problem]:
    if action.pure or action.parks:
        for read in config_reads(action, config, path=path):
            if any(one and one[0] == NAME for one in read.paths):
                message = f"reads a secret, but {action.name} reaches nothing outside; only steps that do may read"
                yield Problem(read.where, f"{message} {_FORM}")
        return
    fixed = {where for where, _ in parsed(engine_rendered(config, raw=action.raw), path=path)}
    for where, expression in parsed(config, path=path):
        if NAME not in expression.names:
            continue
        if where not in fixed:
            yield Problem(where, "reads a secret, but the action renders this field itself; use `body`, say")
        elif expression.path is None or len(expression.path) != 3:
            yield Problem(
                where,
                f"must read a secret as it is, {_FORM}: what is computed from one could not be taken out of what is "
                "recorded",
            )


def _configs(definition: Definition) -> Iterator[tuple[str, StepDefinition | Compensation]]:
    for where, step in _steps(definition):
        yield where, step
        if step.compensate is not None:
            yield f"{where}.compensate", step.compensate


def _steps(definition: Definition) -> Iterator[tuple[str, StepDefinition]]:
    parts = {"steps": definition.steps, "on_failure": definition.on_failure, "finally": definition.finally_}
    for part, steps in parts.items():
        yield from ((f"{part}[{index}]", step) for index, step in enumerate(steps))


def _elsewhere(definition: Definition) -> Iterator[tuple[str, Expression]]:
    """Yield each expression that stands in no config."""
    yield from parsed(definition.output, path="output")
    yield from parsed(dict(definition.labels), path="labels")
    if definition.concurrency is not None:
        yield from parsed(definition.concurrency.key, path="concurrency.key")
    for where, step in _steps(definition):
        if step.if_ is not None and (condition := parsed_bare(step.if_)) is not None:
            yield f"{where}.if", condition
        if step.for_each is not None:
            yield from parsed(step.for_each.items, path=f"{where}.for_each.items")
        yield from parsed(step.payload, path=f"{where}.payload")
