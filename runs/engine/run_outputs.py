"""The outputs of runs that end, as far as one transaction has time for them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from uuid import UUID

import orjson

from runs.domain.outcomes import LoadedSteps
from runs.domain.releases import Release
from runs.engine import long_links
from runs.engine.release import finished
from runs.planning.plan import Plan
from runs.queries import marks as mark_queries
from runs.queries.database import run

# How much processor time the outputs of one transaction may take: others wait for its locks, and for its thread.
MOST_SECONDS = 0.25


class TakesLong(Exception):
    """The outputs of the runs that end take too long for one transaction; `done` of them, at least one, were made."""

    def __init__(self, done: int) -> None:
        super().__init__(f"{done} outputs have taken all the time that a transaction has for them")
        self.done = done


def completed(plan: Plan, releases: Sequence[Release]) -> list[Release]:
    """Return the releases with output and error of runs that end, after reading the steps that these are made of.

    Raises TakesLong if the definition's `output` takes too long for all of them; for one alone it never does.
    """
    wanting = [found for found in releases if found.missing]
    fetched: dict[UUID, LoadedSteps] = {}
    if wanting:
        reads = sorted(frozenset[str]().union(*(found.missing for found in wanting)))
        answer = run(mark_queries.OUTPUTS, runs=[found.run.id for found in wanting], reads=reads)
        fetched = {run_id: orjson.loads(steps) for run_id, steps in answer}
    if plan.definition.output is None:
        return [finished(plan, found, fetched=fetched.get(found.run.id, {})) for found in releases]
    return _rendered(plan, releases, fetched)


def _rendered(plan: Plan, releases: Sequence[Release], fetched: Mapping[UUID, LoadedSteps]) -> list[Release]:
    complete: list[Release] = []
    began = now = time.thread_time()
    for found in releases:
        if complete and now - began > MOST_SECONDS:
            raise TakesLong(len(complete))
        before = now
        complete.append(finished(plan, found, fetched=fetched.get(found.run.id, {})))
        now = time.thread_time()
        long_links.took(plan.workspace_id, now - before)
    return complete
