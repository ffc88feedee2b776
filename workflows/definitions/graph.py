"""Check the graph of the steps: unique ids, `needs`, `goto`, cycles, and which steps are upstream of which."""

from __future__ import annotations

import graphlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from workflows.definitions.definition import StepDefinition
from workflows.definitions.errors import Problem, first, nearest

_SHOWN = 12


def graph_problems(steps: Sequence[StepDefinition], *, path: str, elsewhere: frozenset[str]) -> Iterator[Problem]:
    """Yield the faults of the graph. `elsewhere` are the step ids of the workflow's other lists, as `finally`."""
    position: dict[str, int] = {}
    for index, step in enumerate(steps):
        if step.id in position or step.id in elsewhere:
            twin = f"{path}[{position[step.id]}]" if step.id in position else "a step outside"
            yield Problem(f"{path}[{index}].id", f"{step.id!r} is the id of {twin} already; name one otherwise")
        position.setdefault(step.id, index)
    links = first(_link_problems(steps, position=position, path=path))
    yield from links or _cycle_problems(steps, position=position, path=path)


class Upstream:
    """For each step, the steps upstream of it: those that have ended, or been skipped, when it begins.

    Each set is an integer with one bit per step. For 10,000 steps all sets take 12 MB; one pass over the edges builds
    them.
    """

    def __init__(self, steps: Sequence[StepDefinition]) -> None:
        self._bit = {step.id: 1 << index for index, step in enumerate(steps)}
        self._before: dict[str, int] = {}
        parents = parents_of(steps, jumps=True)
        try:
            order = [*graphlib.TopologicalSorter(parents).static_order()]
        except graphlib.CycleError:
            return  # graph_problems reports the cycle; without an order, no step is known to be upstream
        for step in order:
            before = 0
            for parent in parents.get(step, ()):
                before |= self._before[parent] | self._bit.get(parent, 0)
            self._before[step] = before

    def problems(self, references: Iterable[str], *, of: str, path: str) -> Iterator[Problem]:
        """Yield a problem for each reference to a step that is not upstream of the step `of`."""
        for each in sorted(set(references) - {"*"}):
            if each not in self._bit:
                hint = nearest(each, self._bit)
                yield Problem(path, f"looks at steps.{each}, but there is no step {each!r}{hint}")
            elif self._before and not self._before[of] & self._bit[each]:
                reason = "is the step itself" if each == of else f"is not upstream of {of!r}; let it need {each!r}"
                yield Problem(path, f"looks at steps.{each}, which {reason}")


def parents_of(steps: Iterable[StepDefinition], *, jumps: bool) -> dict[str, list[str]]:
    """Return the steps that each step needs; with `jumps`, also the steps whose `on_error` jumps to it."""
    parents: dict[str, list[str]] = defaultdict(list)
    for step in steps:
        parents[step.id] += step.needs
        if jumps and step.goto is not None:
            parents[step.goto].append(step.id)
    return parents


def _link_problems(steps: Sequence[StepDefinition], *, position: dict[str, int], path: str) -> Iterator[Problem]:
    for index, step in enumerate(steps):
        seen: set[str] = set()
        for place, need in enumerate(step.needs):
            where = f"{path}[{index}].needs[{place}]"
            if need not in position:
                yield Problem(where, f"there is no step {need!r}{nearest(need, position)}")
            elif need in seen:
                yield Problem(where, f"names {need!r} twice; keep one of them")
            seen.add(need)
        if step.goto is not None:
            message = _goto_fault(step, steps=steps, position=position)
            if message:
                yield Problem(f"{path}[{index}].on_error", message)


def _goto_fault(step: StepDefinition, *, steps: Sequence[StepDefinition], position: dict[str, int]) -> str | None:
    target = step.goto or ""
    if target not in position:
        return f"jumps to {target!r}, but there is no such step{nearest(target, position)}"
    if target == step.id:
        return "jumps to the step itself; use retry to try it again"
    if steps[position[target]].needs:
        return f"jumps to {target!r}, which needs other steps; a step that is jumped to must have no needs"
    return None


def _cycle_problems(steps: Sequence[StepDefinition], *, position: dict[str, int], path: str) -> Iterator[Problem]:
    for jumps, word in ((False, "needs"), (True, "on_error")):
        try:
            graphlib.TopologicalSorter(parents_of(steps, jumps=jumps)).prepare()
        except graphlib.CycleError as error:
            # graphlib lists a parent before its child, and the first step again at the end.
            cycle = [str(step) for step in error.args[1]]
            first = min(cycle, key=lambda step: position[step])
            names = " -> ".join(cycle if len(cycle) <= _SHOWN else [*cycle[:_SHOWN], "..."])
            fault = "need each other in a cycle" if word == "needs" else "lead back to themselves by a goto"
            where = f"{path}[{position[first]}].{word}"
            if jumps:
                jumping = next((s for s in steps if s.goto in cycle and s.id in cycle), None)
                where = f"{path}[{position[jumping.id]}].{word}" if jumping else where
            yield Problem(where, f"these steps {fault}: {names}")
            return
