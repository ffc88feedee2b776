"""Turn a version's definition into a plan: its graph, the steps that are fused into links, and what each step reads."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from graphlib import TopologicalSorter
from typing import Any
from uuid import UUID

from django.utils.functional import cached_property

from actions import expressions, registry
from actions.base import Action, Config
from runs.planning.steps import ANY_STEP, UNDO, Part, PlannedStep, Unavailable
from runs.planning.written_config import WrittenConfigs
from workflows.definitions.definition import Compensation, Definition, StepDefinition
from workflows.models import Version

# How many steps `Plan.reads_ahead` looks at.
_AHEAD = 10


@dataclass(frozen=True)
class Link:
    """One task of a Celery chain: either one effectful step, or neighbouring inline steps fused behind their head.

    `follower` is the head of the segment's next link, None for the last one.
    """

    steps: tuple[PlannedStep, ...]
    follower: str | None

    @property
    def head(self) -> PlannedStep:
        """The first step; its id names the link."""
        return self.steps[0]

    @cached_property
    def reads(self) -> frozenset[str]:
        """Ids of the steps whose rows must be loaded before the link is performed; `*` means every step."""
        own = {step.id for step in self.steps}
        return frozenset().union(*(step.reads for step in self.steps)) - own

    def alone(self) -> Link:
        """Return the link with its head only: a suspect run is taken through it step by step."""
        follower = self.steps[1].id if len(self.steps) > 1 else self.follower
        return Link(steps=self.steps[:1], follower=follower)


class Plan:
    """A version prepared for execution.

    `steps` are in topological order, in file order where that leaves a choice. `workspace_id` is the workspace of its
    workflow, with which its runs share the places of a worker.
    """

    def __init__(self, version_id: UUID, definition: Definition, *, workspace_id: UUID | None = None) -> None:
        self.version_id = version_id
        self.workspace_id = workspace_id
        self.definition = definition
        configs = WrittenConfigs()
        main = _planned(definition.steps, part=Part.MAIN, configs=configs)
        self.steps = {step.id: step for step in main}
        self.undos = _undos(main, configs=configs)
        self.steps |= {undo.id: undo for undo in self.undos.values()}
        for part, steps in ((Part.ON_FAILURE, definition.on_failure), (Part.FINALLY, definition.finally_)):
            self.steps |= {step.id: step for step in _planned(steps, part=part, configs=configs)}
        self.links: dict[str, Link] = {}
        self._segments: dict[str, list[PlannedStep]] = {}
        # The place of each step in its segment.
        self._at: dict[str, int] = {}
        self._places = {step: place for place, step in enumerate(self.steps)}
        self._reads_ahead: dict[str, frozenset[str]] = {}
        self._claims_after: dict[str, bool] = {}
        # Cache of runs.engine.release: what follows from results of a kind.
        self.courses: dict[Any, Any] = {}
        # Cache of runs.dispatch.knocks: templates of messages to this plan's links.
        self.patterns: dict[Any, Any] = {}
        segments = self.segments()
        self._is_one_segment = len(segments) == 1
        for segment in segments:
            self.links.update(_links(segment))
            self._segments.update(dict.fromkeys((step.id for step in segment), segment))
            self._at.update((step.id, at) for at, step in enumerate(segment))

    def segments(self) -> list[list[PlannedStep]]:
        """Return the steps, cut into longest paths without a fork or a join, in topological order."""
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
        """Return the last step of this step's segment; only that step releases what comes after the segment."""
        return self._segments[step][-1].id

    def chain(self, head: str, *, most: int | None = None) -> list[str]:
        """Return the heads of a segment's links, from `head` to the segment's end; no more than `most` of them."""
        heads = [head]
        while len(heads) != most and (follower := self.link(heads[-1]).follower) is not None:
            heads.append(follower)
        return heads

    def link(self, head: str) -> Link:
        """Return the link that begins at `head`.

        Any step can be a head: a retry by hand begins anywhere, and another deploy may have fused differently.
        """
        if head in self.links:
            return self.links[head]
        segment = self._segments[head]
        start = next(i for i, step in enumerate(segment) if step.id == head)
        found = _links(segment[start:])
        self.links[head] = found[head]
        return found[head]

    @cached_property
    def longest_in_thread(self) -> float:
        """The longest timeout, in seconds, of the steps that a delivery performs in its own thread; 0 without such.

        These are inline and transactional ones. A delivery may walk to any of them.
        """
        own = [step for step in self.steps.values() if step.inline or step.action.transactional]
        return max((step.timeout_seconds for step in own), default=0.0)

    def claims_after(self, step: str) -> bool:
        """Whether a step that needs this one may be claimed by the record that releases it (PlannedStep.claimed_on)."""
        found = self._claims_after.get(step)
        if found is None:
            found = any(self.steps[one].claimed_on for one in self.steps[step].successors)
            self._claims_after[step] = found
        return found

    @cached_property
    def inline_heads(self) -> frozenset[str]:
        """The heads of links that a delivery performs itself after it has recorded what comes before them."""
        return frozenset(
            head for head, link in self.links.items() if link.head.inline and link.head.definition.for_each is None
        )

    def reads_ahead(self, step: str) -> frozenset[str]:
        """Return the ids of the steps that the next few links after this step read."""
        found = self._reads_ahead.get(step)
        if found is None:
            at = self._at[step] + 1
            ahead = self._segments[step][at : at + _AHEAD]
            found = self._reads_ahead[step] = frozenset(self.step_ids(frozenset().union(*(one.reads for one in ahead))))
        return found

    @cached_property
    def linear(self) -> bool:
        """Whether the steps are one path without jumps or lists, so that a step's own result decides what follows.

        Nothing else of the run must be read then. A failure that nothing handles ends the run.
        """
        plain = all(
            step.definition.join in ("all_succeeded", "none_failed")
            and step.definition.goto is None
            and step.definition.for_each is None
            for step in self.steps.values()
        )
        return self._is_one_segment and plain

    @cached_property
    def leaves(self) -> list[str]:
        """The last steps of the work: those of `steps` that no step needs. The run's output is made of theirs."""
        return [step.id for step in self.steps.values() if not step.successors and not step.handler]

    @cached_property
    def handlers(self) -> list[str]:
        """The first steps of `on_failure`."""
        return self._begins(Part.ON_FAILURE)

    @cached_property
    def finals(self) -> list[str]:
        """The first steps of `finally`."""
        return self._begins(Part.FINALLY)

    @cached_property
    def output_reads(self) -> frozenset[str]:
        """Ids of the steps that the run's output is made of; `*` means every step."""
        if self.definition.output is None:
            return frozenset(self.leaves)
        return expressions.references(self.definition.output)

    def step_ids(self, ids: Iterable[str]) -> list[str]:
        """Return the ids in the plan's order, with `*` expanded to every step; unknown ids are left out."""
        wanted = set(ids)
        if ANY_STEP in wanted:
            return list(self.steps)
        return sorted(wanted & self.steps.keys(), key=self._places.__getitem__)

    def _begins(self, part: Part) -> list[str]:
        return [s.id for s in self.steps.values() if s.part is part and not s.predecessors and not s.jumped_from]

    def _only_child(self, step: PlannedStep) -> PlannedStep | None:
        if len(step.successors) != 1:
            return None
        child = self.steps[step.successors[0]]
        return child if len(child.predecessors) == 1 and not child.jumped_from else None


@lru_cache(maxsize=512)
def load(version_id: UUID) -> Plan:
    """Return the plan of a version, from this process's cache if it is there: versions never change.

    Raises Version.DoesNotExist.
    """
    with _without_garbage_collection():
        found = Version.objects.values_list("definition", "workflow__workspace_id")
        definition, workspace_id = found.get(pk=version_id)
        return Plan(version_id, Definition.model_validate(definition), workspace_id=workspace_id)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Make many objects that all stay: Python would search them for garbage again and again, for half of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _undos(steps: Sequence[PlannedStep], *, configs: WrittenConfigs) -> dict[str, PlannedStep]:
    """Return the compensation of each step that has one, in reverse order of the plan."""
    return {
        step.id: _undo(step.id, step.definition.compensate, configs=configs)
        for step in reversed(steps)
        if step.definition.compensate is not None
    }


def _undo(step: str, said: Compensation, *, configs: WrittenConfigs) -> PlannedStep:
    """Return the step that compensates another: its input is that step's output, and only a run's end releases it."""
    # Built without validation, because a definition may not use such an id.
    definition = StepDefinition.model_construct(
        id=f"{UNDO}{step}", action=said.action, with_=said.with_, retry=said.retry, timeout=said.timeout
    )
    action = _action(said.action)
    return PlannedStep(
        definition=definition,
        action=action,
        config=configs.of(definition, action),
        predecessors=(step,),
        successors=(),
        jumped_from=(),
        part=Part.UNDO,
    )


def _planned(steps: Sequence[StepDefinition], *, part: Part, configs: WrittenConfigs) -> list[PlannedStep]:
    successors: dict[str, list[str]] = {step.id: [] for step in steps}
    jumps: dict[str, list[str]] = {step.id: [] for step in steps}
    for step in steps:
        for parent in step.needs:
            successors[parent].append(step.id)
        if step.goto is not None:
            jumps[step.goto].append(step.id)
    by_id = {step.id: step for step in steps}
    # A `goto` counts as an edge, so that its target never stands before the step that jumps to it.
    order = TopologicalSorter({step.id: [*step.needs, *jumps[step.id]] for step in steps})
    actions = {name: _action(name) for name in {step.action for step in steps}}
    return [
        PlannedStep(
            definition=by_id[key],
            action=(action := actions[by_id[key].action]),
            config=configs.of(by_id[key], action),
            predecessors=by_id[key].needs,
            successors=tuple(successors[key]),
            jumped_from=tuple(jumps[key]),
            part=part,
        )
        for key in order.static_order()
    ]


def _action(name: str) -> Action[Config]:
    try:
        return registry.get(name)
    except registry.UnknownAction:
        return Unavailable(name, reason=str(registry.unusable(name) or ""))


def _links(segment: Sequence[PlannedStep]) -> dict[str, Link]:
    groups: list[list[PlannedStep]] = []
    for step in segment:
        # A step that waits ends its link: the next step must wait for its end.
        fuses = groups and step.inline and groups[-1][-1].inline and not groups[-1][-1].action.parks
        if step.definition.for_each or (groups and groups[-1][-1].definition.for_each):
            fuses = False  # a for_each step and its items are a link of their own
        if fuses:
            groups[-1].append(step)
        else:
            groups.append([step])
    followers = [group[0].id for group in groups[1:]] + [None]
    return {
        group[0].id: Link(steps=tuple(group), follower=follower)
        for group, follower in zip(groups, followers, strict=True)
    }
