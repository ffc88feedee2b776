"""A step of a plan: all that is the same for every run, such as its action, its retry policy and what it must read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from django.utils.functional import cached_property

from actions import expressions
from actions.base import GRACE_SECONDS, Action, Config, Context, Json, Permanent, Retry
from workflows.definitions.definition import Join, StepDefinition
from workflows.definitions.timeouts import longest_seconds

if TYPE_CHECKING:
    from runs.planning.written_config import WrittenConfig

# What actions.expressions.language.references returns where only the run can tell which step is meant.
ANY_STEP = "*"

# The step that compensates step `x` has the id `undo:x`, which no step of a definition can have.
UNDO = "undo:"


class Part(Enum):
    """The part of a workflow that a step belongs to: the work (MAIN), or one of the three parts that follow it."""

    MAIN = "steps"
    UNDO = "compensate"
    ON_FAILURE = "on_failure"
    FINALLY = "finally"


class Kind(Enum):
    """How a step is performed: without a claim; claimed, in a thread; or claimed, in the transaction of its record."""

    INLINE = "inline"
    EFFECTFUL = "effectful"
    TRANSACTIONAL = "transactional"


_ABOUT_ITEM = re.compile(r"\b(item|index)\b")


class Unavailable(Action[Config]):
    """A placeholder for an action that this code does not know: steps with it wait until a deploy brings the action."""

    name = "unavailable"
    pure = True
    config_class = Config

    def __init__(self, name: str, *, reason: str = "") -> None:
        self.missing = name
        self.reason = reason

    def perform(self, config: Config, context: Context) -> Json:
        """Raise Permanent. Not reached: runs.engine.attempt checks PlannedStep.missing_action first."""
        raise Permanent(f"action {self.missing!r} is not known to this worker", kind="unknown_action")


@dataclass(frozen=True)
class PlannedStep:
    """One step of a plan. What is derived from the definition is computed once and cached."""

    definition: StepDefinition
    action: Action[Config]
    config: WrittenConfig
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
        """The predecessors as a set, for fast lookups."""
        return frozenset(self.predecessors)

    @property
    def handler(self) -> bool:
        """Whether it belongs to a part that follows the work: a compensation, `on_failure` or `finally`."""
        return self.part is not Part.MAIN

    @property
    def undoes(self) -> str | None:
        """The step that this one compensates; None for every other step."""
        return self.predecessors[0] if self.part is Part.UNDO else None

    @cached_property
    def inline(self) -> bool:
        """Whether it is performed without a claim: its action is pure, or only begins a wait."""
        return self.action.pure or self.action.parks

    def kind(self, item: int) -> Kind:
        """How this step is performed for an item, which is -1 for the step itself.

        A for_each step itself only evaluates its list: that is inline, whatever its items are.
        """
        if self.inline or (self.definition.for_each is not None and item < 0):
            return Kind.INLINE
        return Kind.TRANSACTIONAL if self.action.transactional else Kind.EFFECTFUL

    @cached_property
    def missing_action(self) -> str | None:
        """The action's name if this code does not have the action: a deploy removed it, or has yet to bring it."""
        return self.action.missing if isinstance(self.action, Unavailable) else None

    @property
    def missing_reason(self) -> str:
        """Why another package's action cannot be used; an empty text if nobody lists it."""
        return self.action.reason if isinstance(self.action, Unavailable) else ""

    @cached_property
    def template(self) -> Json:
        """The unrendered config: `with` as written, or the reference in `payload`."""
        return self.config.template

    @cached_property
    def has_expressions(self) -> bool:
        """Whether the config contains expressions, so that every run may render it differently."""
        return self.config.has_expressions

    @cached_property
    def as_written(self) -> bool:
        """Whether the config needs no rendering: it is `with`, without expressions."""
        return self.config.as_written

    @cached_property
    def condition(self) -> str | None:
        """The `if` that every attempt evaluates.

        None for a for_each whose `if` is about the step as a whole: that is evaluated once, before the list is made.
        """
        return self.definition.if_ if self.definition.for_each is None or self.asks_each_item else None

    @cached_property
    def unconditional(self) -> bool:
        """Whether every attempt performs its action: it has no `if` to evaluate, and this code knows the action."""
        return self.condition is None and self.missing_action is None

    @cached_property
    def claimed_on(self) -> bool:
        """Whether the record of the step before it may claim it: it reaches outside, and has neither items nor effects
        in this database.
        """
        return not self.inline and not self.action.transactional and self.definition.for_each is None

    @cached_property
    def follows(self) -> bool:
        """Whether it runs as soon as its only predecessor has succeeded."""
        plain = self.definition.join in (Join.ALL_SUCCEEDED, Join.NONE_FAILED)
        return plain and len(self.predecessors) == 1 and not self.jumped_from

    @cached_property
    def retry(self) -> Retry:
        """The retry policy: the definition's values, and the action's where the definition has none."""
        return _retry(self.definition, self.action.retry)

    @cached_property
    def timeout_seconds(self) -> float:
        """The timeout of one attempt: what the definition says, else the config and a few seconds, else the action.

        But no longer than is allowed. Publishing refuses a longer one; a version that was published before that was so
        is held to the bound here.
        """
        own = self.config.own_seconds
        if self.definition.timeout or own is None:
            return self.usual_seconds
        return min(own + GRACE_SECONDS, longest_seconds(self.action))

    @cached_property
    def usual_seconds(self) -> float:
        """The same for a config that gives no time to what the action does."""
        return min(self.definition.timeout or self.action.timeout_seconds, longest_seconds(self.action))

    @cached_property
    def reads(self) -> frozenset[str]:
        """Ids of the steps whose rows it needs: predecessors, and steps that its expressions name; `*` means all."""
        each = self.definition.for_each
        found = self.config.references if each is None else expressions.references(each.items)
        found |= frozenset(self.predecessors)
        if self.definition.if_ is not None and not self.asks_each_item:
            found |= expressions.expression_references(self.definition.if_)
        return found

    @cached_property
    def asks_each_item(self) -> bool:
        """Whether its `if` uses `item` or `index`, and so is evaluated for each item of its for_each."""
        if self.definition.for_each is None or self.definition.if_ is None:
            return False
        return _ABOUT_ITEM.search(self.definition.if_) is not None

    @cached_property
    def item_reads(self) -> frozenset[str]:
        """Ids of the steps that the expressions evaluated for each item refer to; `*` means every step."""
        asked = self.definition.if_ if self.asks_each_item else None
        return self.config.references | (expressions.expression_references(asked) if asked else frozenset())

    @cached_property
    def items_read_input(self) -> bool:
        """Whether its items' expressions may use the run's input.

        The input often contains the whole list; then reading it for every item would be wasted.
        """
        text = f"{self.template} {self.definition.if_ if self.asks_each_item else ''}"
        return "input" in text

    @cached_property
    def batch(self) -> int:
        """The number of items in one batch of its for_each."""
        return self.definition.for_each.batch if self.definition.for_each else 1

    @cached_property
    def window(self) -> int:
        """The most items of its for_each that are open at once.

        Items of a pure action are opened a whole batch at a time, because they wait for nothing outside.
        """
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
