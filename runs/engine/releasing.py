"""Release what follows recorded steps, in the record's transaction: along a path, or over a graph under its lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import orjson

from runs.domain.outcomes import LoadedSteps, Outcome
from runs.domain.releases import Release
from runs.domain.states import RunState
from runs.engine import columns, endings
from runs.engine import marks as marks_engine
from runs.engine.release import finished, release, release_along
from runs.planning.plan import Plan
from runs.queries import marks as mark_queries
from runs.queries import records
from runs.queries.database import run


def path(outcomes: Sequence[Outcome], *, plan: Plan, carried: str | None) -> list[Release]:
    """What follows in a plan without forks, where each outcome knows all that there is to know."""
    return with_outputs(plan, [release_along(plan, o, carried=carried) for o in outcomes])


def graph(
    live: Sequence[Outcome], *, plan: Plan, carried: str | None, coming: Mapping[UUID, RunState]
) -> list[Release]:
    """Look at each run again, now that its lock is held, and release from that one snapshot.

    `coming` is what runs are on their way to whose work is over.
    """
    if not live:
        return []
    marks = marks_engine.marks(plan, live, coming=coming)
    releases = [
        release(plan, outcome, marks[outcome.run.id], carried=carried, ending=coming.get(outcome.run.id))
        for outcome in live
    ]
    releases = endings.followed(plan, with_outputs(plan, releases), marks=marks)
    skipped = [(found.run.id, -1, result) for found in releases for result in found.skipped]
    if skipped:
        run(records.INSERT_STEPS, **columns.steps(skipped))
    if any(found.tickets or found.state for found in releases):
        run(records.RELEASE, **columns.releases(releases))
    return releases


def with_outputs(plan: Plan, releases: Sequence[Release]) -> list[Release]:
    """The releases, those that end a run with its output, for which the steps that are not in hand are read."""
    wanting = [found for found in releases if found.missing]
    fetched: dict[UUID, LoadedSteps] = {}
    if wanting:
        reads = sorted(frozenset[str]().union(*(found.missing for found in wanting)))
        answer = run(mark_queries.OUTPUTS, runs=[found.run.id for found in wanting], reads=reads)
        fetched = {run_id: orjson.loads(steps) for run_id, steps in answer}
    return [finished(plan, found, fetched=fetched.get(found.run.id, {})) for found in releases]
