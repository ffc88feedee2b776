"""Load and perform inline links, for as long as a delivery has time for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from runs.domain.candidates import Candidate, Key, heads_of
from runs.domain.outcomes import HeldTicket, Outcome, StepResult
from runs.domain.requests import Preloaded
from runs.engine import attempt as performing
from runs.engine import for_each, long_links, now_inline, sub_workflows, tickets
from runs.engine.preload import loaded, remember_clock
from runs.engine.variables import with_variables
from runs.engine.work import Work, clock_of, work_of
from runs.planning.plan import Link, Plan
from runs.queries.database import Row


class Inline:
    """Loads and performs inline links of one plan, until `is_late`; `left` are the candidates not performed by then.

    At least one is performed. A suspect is left out: it is performed alone (runs.maintenance.suspects).
    """

    def __init__(self, plan: Plan, *, is_late: Callable[[], bool]) -> None:
        self.left: list[Candidate] = []
        self._plan = plan
        self._is_late = is_late
        self._is_first = True

    def outcomes(self, candidates: Sequence[Candidate], *, preloaded: Mapping[Key, Preloaded]) -> list[Outcome]:
        """Return what the candidates came to.

        Steps at several heads are loaded by one statement, and items of each for_each by one.
        """
        plan = self._plan
        groups: dict[tuple[str, bool], list[Key]] = {}
        several: list[Candidate] = []
        mixed = len({one.head for one in candidates if one.item < 0}) > 1
        for one in candidates:
            if one.item < 0 and mixed:
                several.append(one)
            else:
                groups.setdefault((one.head, one.item >= 0), []).append((one.run_id, one.item))
        found: list[Outcome] = []
        for (head, items), keys in groups.items():
            if self._stops():
                self.left += [Candidate(*key, head) for key in keys]
                continue
            link = plan.link(head)
            work, held_ = _ready(loaded(keys, preloaded) or _load(keys, plan=plan, link=link))
            if items:
                work = for_each.with_values(work, plan=plan, step=link.head)
            found += self._performed([(link, one) for one in work], held_)
        if several:
            links = {head: plan.link(head) for head in heads_of(several)}
            reads = {head: plan.step_ids(_reads(plan, link)) for head, link in links.items()}
            rows = tickets.load_at_heads(several, reads=reads)
            heads = [row[9] for row in rows if not row[11]]
            work, held_ = _ready([(*row[:9], *row[10:]) for row in rows])
            found += self._performed([(links[head], one) for head, one in zip(heads, work, strict=True)], held_)
        return found

    def _stops(self) -> bool:
        """Whether nothing more is to be performed."""
        return not self._is_first and self._is_late()

    def _performed(self, work: Sequence[tuple[Link, Work]], held_: Sequence[HeldTicket]) -> list[Outcome]:
        plan = self._plan
        work = with_variables(work, plan=plan)
        walked: list[tuple[StepResult, ...]] = []
        try:
            for (link, one), ticket in zip(work, held_, strict=True):
                if self._stops():
                    break
                began = now_inline.begin(ticket.id, one.run.id, plan.workspace_id)
                walked.append(performing.walk(plan, link, one))
                long_links.took(plan.workspace_id, time.monotonic() - began)
                self._is_first = False
        finally:
            now_inline.end()
        self.left += [Candidate(one.run.id, one.item, link.head.id) for link, one in work[len(walked) :]]
        ones = [one for _, one in work[: len(walked)]]
        lasts = sub_workflows.resolved([results[-1] for results in walked], ones, plan=plan)
        return [
            Outcome(run=one.run, item=one.item, fence=ticket, results=(*results[:-1], last), steps=one.steps)
            for one, ticket, results, last in zip(ones, held_, walked, lasts, strict=False)
        ]


def _ready(rows: Sequence[Row]) -> tuple[list[Work], list[HeldTicket]]:
    """Return the work of the rows that are not suspect, and the ticket under which each is to be recorded."""
    work: list[Work] = []
    tickets_: list[HeldTicket] = []
    clock = clock_of(rows)
    for row in rows:
        ticket, suspect, attempt, attempts, edited = row[9:]
        if not suspect:
            work.append(work_of(row, clock=clock, attempt=(attempt or 0) + 1, attempts=attempts, edited=edited))
            tickets_.append(HeldTicket(ticket, retried=attempt is not None))
    return work, tickets_


def _load(keys: Sequence[Key], *, plan: Plan, link: Link) -> list[Row]:
    if keys and keys[0][1] >= 0:
        return for_each.load(keys, head=link.head.id, reads=())
    found = tickets.load(keys, head=link.head.id, reads=plan.step_ids(_reads(plan, link)))
    remember_clock(found)
    return found


def _reads(plan: Plan, link: Link) -> frozenset[str]:
    """Return the steps to load for a link, with those that the run's output is made of, if the link is the last."""
    if plan.linear and link.follower is None:
        return link.reads | (plan.output_reads - {step.id for step in link.steps})
    return link.reads
