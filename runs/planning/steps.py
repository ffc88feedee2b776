"""A step with everything worked out that does not depend on a run: its action, its policy, what it must read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from pydantic import ValidationError

from actions import expressions
from actions.base import Action, Config, Context, Json, Permanent, Retry
from workflows.definitions.configs import config_references
from workflows.definitions.definition import Join, StepDefinition

ANY_STEP = "*"  # what actions.expressions.language.references answers when a reference is only known at run time
ANY_SIGNAL = "*"

# No step of a definition can have such an id: it names the step that undoes another one.
UNDO = "undo:"


class Part(Enum):
    """Where a step stands in its run: the work itself, or one of the three that follow it."""

    MAIN = "steps"
    UNDO = "compensate"
    ON_FAILURE = "on_failure"
    FINALLY = "finally"


_ABOUT_ITEM = re.compile(r"\b(item|index)\b")


class Unavailable(Action[Config]):
    """Stands for an action that this code does not know: its steps wait until the code is back."""

    name = "unavailable"
    pure = True
    config_class = Config

    def __init__(self, name: str) -> None:
        self.missing = name

    def perform(self, config: Config, context: Context) -> Json:
        """Raises Permanent, always; runs.engine.attempt asks PlannedStep.missing_action before it comes to this."""
        raise Permanent(f"action {self.missing!r} is not known to this worker", kind="unknown_action")


@dataclass(frozen=True)
class PlannedStep:
    """One step with everything worked out that does not depend on a run."""

    definition: StepDefinition
    action: Action[Config]
    predecessors: tuple[str, ...]
    successors: tuple[str, ...]
    jumped_from: tuple[str, ...]
    part: Part = Part.MAIN

    @cached_property
    def id(self) -> str:
        """The step's id in the definition."""
        return self.definition.id

    @cached_property
    def needs(self) -> frozenset[str]:
        """Its parents, to look one up."""
        return frozenset(self.predecessors)

    @property
    def handler(self) -> bool:
        """Whether it belongs to how the run ends, and not to `steps`."""
        return self.part is not Part.MAIN

    @property
    def undoes(self) -> str | None:
        """The step that this one compensates."""
        return self.predecessors[0] if self.part is Part.UNDO else None

    @cached_property
    def inline(self) -> bool:
        """Whether it is performed without a claim: it is pure, or only parks."""
        return self.action.pure or self.action.parks

    @cached_property
    def missing_action(self) -> str | None:
        """The action's name where this code does not have it: a deploy took it away, or has yet to bring it."""
        return self.action.missing if isinstance(self.action, Unavailable) else None

    @cached_property
    def template(self) -> Json:
        """`with` as written, or the payload's reference."""
        return self.definition.payload if self.definition.payload is not None else self.definition.with_

    @cached_property
    def has_expressions(self) -> bool:
        """Whether what `with` becomes depends on the run."""
        return expressions.has_expression(self.template)

    @cached_property
    def as_written(self) -> bool:
        """Whether its config is `with` as it stands."""
        return self.definition.payload is None and not self.has_expressions

    @cached_property
    def condition(self) -> str | None:
        """Its `if`, as far as an attempt asks it: of a for_each that speaks of the step as a whole, its list does."""
        return self.definition.if_ if self.definition.for_each is None or self.asks_each_item else None

    @cached_property
    def unconditional(self) -> bool:
        """Whether every attempt performs its action: it has no `if` to evaluate, and this code knows the action."""
        return self.condition is None and self.missing_action is None

    @cached_property
    def follows(self) -> bool:
        """Whether the success of its only parent is all that it waits for."""
        plain = self.definition.join in (Join.ALL_SUCCEEDED, Join.NONE_FAILED)
        return plain and len(self.predecessors) == 1 and not self.jumped_from

    @cached_property
    def rendering(self) -> expressions.Template:
        """`with`, its expressions found once; the fields that the action evaluates itself are left as they are."""
        return expressions.Template(self.definition.with_, raw=self.action.raw)

    @cached_property
    def asks_steps_only(self) -> bool:
        """Whether its config needs no other name than `steps`."""
        return self.definition.payload is None and self.rendering.roots == frozenset({"steps"})

    @cached_property
    def fixed_config(self) -> Config | None:
        """The config of a pure step whose `with` is the same for every run; None where each attempt has its own.

        Also None where it does not fit: then each attempt says so.
        """
        if not self.action.pure or not self.as_written:
            return None
        try:
            return self.action.config_class.model_validate(self.definition.with_)
        except ValidationError:
            return None

    @cached_property
    def awaits(self) -> str | None:
        """The name of the signal that it waits for; `*` where that is known at run time only, None for none."""
        field = self.action.signal_field
        if field is None:
            return None
        name = self.template.get(field) if isinstance(self.template, dict) else None
        return ANY_SIGNAL if not isinstance(name, str) or expressions.has_expression(name) else name

    @cached_property
    def retry(self) -> Retry:
        """The retry policy: what the definition says, over what the action declares."""
        return _retry(self.definition, self.action.retry)

    @cached_property
    def timeout_seconds(self) -> float:
        """How long one attempt may take."""
        return self.definition.timeout or self.action.timeout_seconds

    @cached_property
    def reads(self) -> frozenset[str]:
        """Ids of the steps whose rows it needs: its parents and what its expressions refer to; may hold `*`."""
        each = self.definition.for_each
        found = self._named if each is None else expressions.references(each.items)
        found |= frozenset(self.predecessors)
        if self.definition.if_ is not None and not self.asks_each_item:
            found |= expressions.expression_references(self.definition.if_)
        return found

    @cached_property
    def _named(self) -> frozenset[str]:
        return config_references(self.action, self.template)

    @cached_property
    def asks_each_item(self) -> bool:
        """Whether its `if` is about an item of its for_each, and not about the step as a whole."""
        if self.definition.for_each is None or self.definition.if_ is None:
            return False
        return _ABOUT_ITEM.search(self.definition.if_) is not None

    @cached_property
    def item_reads(self) -> frozenset[str]:
        """Ids of the steps that the expressions of its items refer to; may hold `*`."""
        asked = self.definition.if_ if self.asks_each_item else None
        return self._named | (expressions.expression_references(asked) if asked else frozenset())

    @cached_property
    def items_read_input(self) -> bool:
        """Whether its items may look at the run's input, which mostly is the list itself and then read in vain."""
        text = f"{self.template} {self.definition.if_ if self.asks_each_item else ''}"
        return "input" in text

    @cached_property
    def batch(self) -> int:
        """Items of its for_each in one batch."""
        return self.definition.for_each.batch if self.definition.for_each else 1

    @cached_property
    def window(self) -> int:
        """Items open at once: those that only compute go batch by batch, for they wait for nothing."""
        each = self.definition.for_each
        if each is None:
            return 1
        return each.batch if self.action.pure else min(each.max_parallel, each.batch)


def _retry(definition: StepDefinition, declared: Retry) -> Retry:
    given = definition.retry
    if given is None:
        return declared
    attempts = given.max_attempts
    if attempts is None:
        attempts = len(given.delays) + 1 if given.delays else declared.max_attempts
    return Retry(
        max_attempts=attempts,
        initial_seconds=declared.initial_seconds if given.initial is None else given.initial,
        factor=declared.factor if given.factor is None else given.factor,
        max_seconds=declared.max_seconds if given.max is None else given.max,
        jitter=declared.jitter if given.jitter is None else given.jitter,
        on=declared.on if given.on is None else given.on,
        delays_seconds=given.delays or (),
    )
