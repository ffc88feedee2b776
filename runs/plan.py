"""Turn a version's definition into a plan: what follows what, what fuses, and what each step must read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache
from graphlib import TopologicalSorter
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from actions import expressions, registry
from actions.base import Action, Config, Context, Json, Permanent, Retry
from workflows.definition import Compensation, Definition, StepDefinition
from workflows.models import Version

ANY_STEP = "*"  # what actions.expressions.references answers when a reference is only known at run time
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

    pure = True
    config_class = Config

    def __init__(self, name: str) -> None:
        self.missing = name

    def perform(self, config: Config, context: Context) -> Json:
        """Raises Permanent, always; runs.perform asks PlannedStep.missing_action before it comes to this."""
        raise Permanent(f"action {self.missing!r} is not known to this worker", kind="unknown_action")


@dataclass(frozen=True)
class PlannedStep:
    """One step with everything worked out that does not depend on a run."""

    definition: StepDefinition
    action: Action[Config]
    parents: tuple[str, ...]
    children: tuple[str, ...]
    jumped_from: tuple[str, ...]
    part: Part = Part.MAIN

    @property
    def id(self) -> str:
        """The step's id in the definition."""
        return self.definition.id

    @cached_property
    def needs(self) -> frozenset[str]:
        """Its parents, to look one up."""
        return frozenset(self.parents)

    @property
    def handler(self) -> bool:
        """Whether it belongs to how the run ends, and not to `steps`."""
        return self.part is not Part.MAIN

    @property
    def undoes(self) -> str | None:
        """The step that this one compensates."""
        return self.parents[0] if self.part is Part.UNDO else None

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
    def rendering(self) -> expressions.Template:
        """`with`, its expressions found once; the fields that the action evaluates itself are left as they are."""
        return expressions.Template(self.definition.with_, raw=self.action.raw)

    @cached_property
    def fixed_config(self) -> Config | None:
        """The config of a pure step whose `with` is the same for every run; None where each attempt has its own.

        Also None where it does not fit: then each attempt says so.
        """
        if not self.action.pure or self.definition.payload is not None or self.has_expressions:
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
        found = expressions.references(self.template if each is None else each.items) | frozenset(self.parents)
        if self.definition.if_ is not None and not self.asks_each_item:
            found |= expressions.expression_references(self.definition.if_)
        return found

    @cached_property
    def asks_each_item(self) -> bool:
        """Whether its `if` is about an item of its for_each, and not about the step as a whole."""
        if self.definition.for_each is None or self.definition.if_ is None:
            return False
        return _ABOUT_ITEM.search(self.definition.if_) is not None

    @cached_property
    def item_reads(self) -> frozenset[str]:
        """Ids of the steps that the expressions of its items refer to; may hold `*`."""
        found = expressions.references(self.template)
        return found | (expressions.expression_references(self.definition.if_ or "") if self.asks_each_item else set())

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


@dataclass(frozen=True)
class Link:
    """A head and the inline steps fused behind it; one effectful step is a link of its own.

    `follower` is the head of the next link of the same segment, if there is one.
    """

    steps: tuple[PlannedStep, ...]
    follower: str | None

    @property
    def head(self) -> PlannedStep:
        """The first step, which names the link."""
        return self.steps[0]

    @cached_property
    def reads(self) -> frozenset[str]:
        """Ids of the steps whose rows must be loaded before the link is performed; may hold `*`."""
        own = {step.id for step in self.steps}
        return frozenset().union(*(step.reads for step in self.steps)) - own

    def alone(self) -> Link:
        """The link without the steps fused behind its head, as a suspect run takes it."""
        follower = self.steps[1].id if len(self.steps) > 1 else self.follower
        return Link(steps=self.steps[:1], follower=follower)


class Plan:
    """A version, ready to be worked on. `steps` are in topological order, file order where that leaves a choice."""

    def __init__(self, version_id: UUID, definition: Definition) -> None:
        self.version_id = version_id
        self.definition = definition
        main = _planned(definition.steps, part=Part.MAIN)
        self.steps = {step.id: step for step in main}
        self.undos = _undos(main)
        self.steps |= {undo.id: undo for undo in self.undos.values()}
        for part, steps in ((Part.ON_FAILURE, definition.on_failure), (Part.FINALLY, definition.finally_)):
            self.steps |= {step.id: step for step in _planned(steps, part=part)}
        self.links: dict[str, Link] = {}
        self._segments: dict[str, list[PlannedStep]] = {}
        self._places = {step: place for place, step in enumerate(self.steps)}
        # What runs.release worked out for this plan.
        self.courses: dict[Any, Any] = {}
        for segment in self.segments():
            self.links.update(_links(segment))
            self._segments.update(dict.fromkeys((step.id for step in segment), segment))

    def segments(self) -> list[list[PlannedStep]]:
        """The steps, cut into longest paths without a fork or a join, in topological order."""
        found: list[list[PlannedStep]] = []
        taken: set[str] = set()
        for step in self.steps.values():
            if step.id in taken:
                continue
            segment = [step]
            while (child := self._only_child(segment[-1])) is not None:
                segment.append(child)
            taken.update(member.id for member in segment)
            found.append(segment)
        return found

    def end(self, step: str) -> str:
        """The last step of this one's segment: what comes after the segment waits for that."""
        return self._segments[step][-1].id

    def chain(self, head: str) -> list[str]:
        """Heads of the links of one segment, from `head` to the segment's end."""
        heads = [head]
        while (follower := self.link(heads[-1]).follower) is not None:
            heads.append(follower)
        return heads

    def link(self, head: str) -> Link:
        """The link that `head` names; any step can be one (a retry by hand, another deploy's fusing)."""
        if head in self.links:
            return self.links[head]
        segment = self._segments[head]
        start = next(i for i, step in enumerate(segment) if step.id == head)
        found = _links(segment[start:])
        self.links[head] = found[head]
        return found[head]

    @cached_property
    def linear(self) -> bool:
        """Whether it is one path on which a failure that nothing handles ends the run: nothing needs counting."""
        plain = all(
            step.definition.join in ("all_succeeded", "none_failed")
            and step.definition.goto is None
            and step.definition.for_each is None
            for step in self.steps.values()
        )
        return plain and len(self.segments()) == 1

    @cached_property
    def leaves(self) -> list[str]:
        """Steps of `steps` that nothing needs."""
        return [step.id for step in self.steps.values() if not step.children and not step.handler]

    @cached_property
    def handlers(self) -> list[str]:
        """Steps that `on_failure` begins with."""
        return self._begins(Part.ON_FAILURE)

    @cached_property
    def finals(self) -> list[str]:
        """Steps that `finally` begins with."""
        return self._begins(Part.FINALLY)

    @cached_property
    def output_reads(self) -> frozenset[str]:
        """Ids of the steps that the run's output is made of; may hold `*`."""
        if self.definition.output is None:
            return frozenset(self.leaves)
        return expressions.references(self.definition.output)

    def step_ids(self, ids: Iterable[str]) -> list[str]:
        """The ids, `*` expanded to every step, in the plan's order."""
        wanted = set(ids)
        if ANY_STEP in wanted:
            return list(self.steps)
        return sorted(wanted & self.steps.keys(), key=self._places.__getitem__)

    def _begins(self, part: Part) -> list[str]:
        return [s.id for s in self.steps.values() if s.part is part and not s.parents and not s.jumped_from]

    def _only_child(self, step: PlannedStep) -> PlannedStep | None:
        if len(step.children) != 1:
            return None
        child = self.steps[step.children[0]]
        return child if len(child.parents) == 1 and not child.jumped_from else None


@lru_cache(maxsize=512)
def load(version_id: UUID) -> Plan:
    """The plan of a version, kept in this process. Versions never change. Raises Version.DoesNotExist."""
    definition = Version.objects.values_list("definition", flat=True).get(pk=version_id)
    return Plan(version_id, Definition.model_validate(definition))


def _undos(steps: Sequence[PlannedStep]) -> dict[str, PlannedStep]:
    """What undoes a step, by that step; the last step comes first, as far as a plan can tell."""
    return {
        step.id: _undo(step.id, step.definition.compensate)
        for step in reversed(steps)
        if step.definition.compensate is not None
    }


def _undo(step: str, said: Compensation) -> PlannedStep:
    """The step that undoes another: given that one's output as its input, and released by the run's end only."""
    # Built without validation, for its id is none that a definition may use.
    definition = StepDefinition.model_construct(
        id=f"{UNDO}{step}", action=said.action, with_=said.with_, retry=said.retry, timeout=said.timeout
    )
    return PlannedStep(
        definition=definition,
        action=_action(said.action),
        parents=(step,),
        children=(),
        jumped_from=(),
        part=Part.UNDO,
    )


def _planned(steps: Sequence[StepDefinition], *, part: Part) -> list[PlannedStep]:
    children: dict[str, list[str]] = {step.id: [] for step in steps}
    jumps: dict[str, list[str]] = {step.id: [] for step in steps}
    for step in steps:
        for parent in step.needs:
            children[parent].append(step.id)
        if step.goto is not None:
            jumps[step.goto].append(step.id)
    by_id = {step.id: step for step in steps}
    # A jump orders like an edge does, so that a target never stands before the step that jumps to it.
    order = TopologicalSorter({step.id: [*step.needs, *jumps[step.id]] for step in steps})
    return [
        PlannedStep(
            definition=by_id[key],
            action=_action(by_id[key].action),
            parents=by_id[key].needs,
            children=tuple(children[key]),
            jumped_from=tuple(jumps[key]),
            part=part,
        )
        for key in order.static_order()
    ]


def _action(name: str) -> Action[Config]:
    try:
        return registry.get(name)
    except registry.UnknownAction:
        return Unavailable(name)


def _links(segment: Sequence[PlannedStep]) -> dict[str, Link]:
    groups: list[list[PlannedStep]] = []
    for step in segment:
        # A step that parks ends its link: what follows waits for the wake-up.
        fuses = groups and step.inline and groups[-1][-1].inline and not groups[-1][-1].action.parks
        if step.definition.for_each or (groups and groups[-1][-1].definition.for_each):
            fuses = False  # items are a link of their own
        if fuses:
            groups[-1].append(step)
        else:
            groups.append([step])
    followers = [group[0].id for group in groups[1:]] + [None]
    return {
        group[0].id: Link(steps=tuple(group), follower=follower)
        for group, follower in zip(groups, followers, strict=True)
    }


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
