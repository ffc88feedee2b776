"""What a step reads of its own input, of the run's input and of other steps: what another input of it would change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from actions.base import Json
from actions.expressions.reads import Read, expression_reads
from actions.expressions.reads import reads as reads_in
from actions.nearest import shortened
from runs.planning.steps import PlannedStep
from workflows.definitions.configs import config_reads

# More are counted, not named, in a message.
_NAMED = 4


@dataclass(frozen=True)
class Reading:
    """One expression of a step: where it stands, such as `with.url`, its source, and in words what it reads."""

    where: str
    source: str
    of: str
    # The keys of the step's own input that it reads.
    own: frozenset[str]


@dataclass(frozen=True)
class Reads:
    """What a step reads. `whole`: its action may read all of the step's own input; else only its expressions do."""

    step: str
    whole: bool
    readings: tuple[Reading, ...]

    @property
    def own(self) -> frozenset[str]:
        """The keys of the step's own input that its expressions read."""
        return frozenset().union(*(reading.own for reading in self.readings))

    @property
    def something(self) -> bool:
        """Whether any input of its own could change what it does."""
        return self.whole or bool(self.own)

    def unread(self, given: Json) -> str | None:
        """Return why this input of the step would change nothing, and what would; None if something may read it."""
        if self.whole or (isinstance(given, dict) and self.own & given.keys()):
            return None
        keys = ", ".join(sorted(self.own)[:_NAMED])
        what = f"reads only {keys} of its own input" if keys else "reads nothing of its own input"
        return (
            f"step {self.step!r} {what}, so this input would change nothing{self._elsewhere()}; "
            f"replay the run from step {self.step!r} with another run input instead"
        )

    def _elsewhere(self) -> str:
        found = [f"{one.where} reads {one.of} ({shortened(one.source)})" for one in self.readings if not one.own]
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        return f": {', '.join(found[:_NAMED])}{more}" if found else ""


def of(step: PlannedStep) -> Reads:
    """Return what an attempt at the step reads. A for_each step reads its own input only to make its list."""
    each = step.definition.for_each
    whole = each is None and (step.definition.payload is not None or step.action.reads_input(step.template))
    return Reads(step.id, whole=whole, readings=tuple(_readings(step)))


def _readings(step: PlannedStep) -> Iterator[Reading]:
    each, condition = step.definition.for_each, step.definition.if_
    if condition is not None:
        for read in expression_reads(condition, path="if"):
            yield _reading(read, of_item=step.asks_each_item)
    if each is not None:
        for read in reads_in(each.items, path="for_each.items"):
            yield _reading(read, of_item=False)
    field = "with" if step.definition.payload is None else "payload"
    for read in config_reads(step.action, step.template, path=field):
        yield _reading(read, of_item=each is not None)


def _reading(read: Read, *, of_item: bool) -> Reading:
    told: list[str] = []
    own: set[str] = set()
    for path in read.paths:
        root = str(path[0])
        if root == "input":
            told.append("the run's input")
        elif root == "steps":
            told.append(f"step {str(path[1])!r}" if len(path) > 1 else "all steps")
        elif root == "vars":
            told.append("the workspace's variables")
        elif root == "run":
            told.append("the run")
        elif of_item:
            told.append("the item")
        else:
            told.append("the step's own input")
            own.add(root)
    return Reading(read.where, read.source, " and ".join(dict.fromkeys(told)) or "nothing", frozenset(own))
