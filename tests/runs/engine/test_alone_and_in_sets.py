"""A single run is claimed and recorded by statements of its own, which promise what those of sets do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID, uuid4

import pytest
from django.db.models import F
from django.db.models.functions import Now

from runs.control import pauses
from runs.domain.actor import Actor
from runs.domain.candidates import Candidate
from runs.domain.outcomes import Outcome, Recorded
from runs.engine import attempt, lease, record
from runs.engine.onward import Onward, claimed
from runs.engine.work import Work
from runs.models import Process, Run, StepRun, Ticket
from runs.planning import plan as plans
from runs.queries.database import observed
from tests.engine import claim_all
from tests.flows import begun, published, the_run
from tests.runs.engine.test_engine_failures import HOUR
from tests.runs.locks import in_thread, other_connection, waiters
from tests.waiting import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.parametrize("count", [1, 2])]

FLOW = """
name: two-naps
steps:
  - {id: a, action: sleep, with: {seconds: 0}}
  - {id: b, action: sleep, with: {seconds: 0}}
"""


@pytest.fixture(autouse=True)
def _nothing_in_hand() -> Iterator[None]:
    """What a test claims and leaves is in nobody's hand afterwards."""
    yield
    lease.let_go(set(lease._in_hand))


def runs(count: int) -> tuple[list[UUID], plans.Plan]:
    """Runs whose first step is due, and their plan."""
    found = published(FLOW)
    return begun(found, *({"n": number} for number in range(count))), plans.load(found.version.pk)


def candidates(ids: Sequence[UUID], head: str = "a") -> list[Candidate]:
    """The candidates of the runs at one step."""
    return [Candidate(run_id, -1, head) for run_id in ids]


def claimed_work(ids: Sequence[UUID], plan: plans.Plan) -> list[tuple[str, Work]]:
    """Claim the first step of each run for this process."""
    found = claimed(candidates(ids), plan=plan, process=lease.current())
    assert len(found) == len(ids)
    return found


def performed(work: Sequence[tuple[str, Work]], plan: plans.Plan) -> list[Outcome]:
    """Perform claimed steps, and return the outcomes, which nobody has recorded yet."""
    return [attempt.claimed(one, attempt.attempt(plan.steps[head], one), process=lease.current()) for head, one in work]


def recorded(outcomes: Sequence[Outcome], plan: plans.Plan) -> tuple[Recorded, list[tuple[str, Work]]]:
    """Record outcomes as a delivery does that walks on; with the next steps that it claimed."""
    onward = Onward(process=lease.current(), places=len(outcomes))
    return record.record(outcomes, plan=plan, onward=onward), onward.claimed


def rows(ids: Sequence[UUID], step: str) -> set[tuple[str, UUID | None]]:
    """State and process of the runs' rows of a step: one element if they all agree."""
    return set(StepRun.objects.filter(run__in=ids, step=step).values_list("state", "process"))


def tickets(ids: Sequence[UUID]) -> list[str]:
    """The steps at which the runs have tickets."""
    return list(Ticket.objects.filter(run__in=ids).values_list("head", flat=True))


def test_each_form_has_statements_of_its_own_and_both_go_to_the_end(count: int) -> None:
    ids, plan = runs(count)
    with observed() as seen:
        first, onward = recorded(performed(claimed_work(ids, plan), plan), plan)
        assert rows(ids, "b") == {("running", lease.current())}
        assert not tickets(ids)
        last, nothing = recorded(performed(onward, plan), plan)
    alone, sets = ["claim_one", "path_one_claim", "path_one_last"], ["claim", "path_claim_claim", "path_claim"]
    assert [name for name in seen if name != "beat"] == (alone if count == 1 else sets)
    assert len(first.won) == len(last.won) == count
    assert not nothing
    assert rows(ids, "a") == rows(ids, "b") == {("succeeded", None)}
    assert sorted(last.ended) == sorted((run_id, "succeeded") for run_id in ids)
    assert {the_run(run_id).state for run_id in ids} == {"succeeded"}


def test_a_ticket_is_not_claimed_before_its_time_nor_twice(count: int) -> None:
    ids, plan = runs(count)
    Ticket.objects.filter(run__in=ids).update(due_at=Now() + HOUR)
    assert claim_all(candidates(ids), process=lease.current()) == []
    assert tickets(ids) == ["a"] * count
    Ticket.objects.filter(run__in=ids).update(due_at=Now())
    assert len(claimed_work(ids, plan)) == count
    assert claim_all(candidates(ids), process=lease.current()) == []
    assert StepRun.objects.filter(run__in=ids, attempt=1, state="running").count() == count


def test_nothing_is_claimed_under_a_lease_that_has_passed(count: int) -> None:
    ids, _ = runs(count)
    Process.objects.filter(id=(process := lease.current())).update(expires_at=F("expires_at") - HOUR)
    assert claim_all(candidates(ids), process=process) == []
    assert tickets(ids) == ["a"] * count
    lease.give_up()


def test_a_suspect_is_claimed_only_by_whoever_performs_it_alone(count: int) -> None:
    ids, plan = runs(count)
    Ticket.objects.filter(run__in=ids).update(suspect=True)
    assert claimed(candidates(ids), plan=plan, process=lease.current()) == []
    assert len(claimed(candidates(ids), plan=plan, process=lease.current(), suspect=True)) == count


def test_a_retry_counts_its_attempts_and_keeps_their_history(count: int) -> None:
    ids, plan = runs(count)
    for run_id in ids:
        StepRun.objects.create(run_id=run_id, step="a", state="retrying", attempts=[{"number": 1}], error={"kind": "x"})
    assert [(one.attempt, one.attempts) for _, one in claimed_work(ids, plan)] == [(2, [{"number": 1}])] * count
    assert set(StepRun.objects.filter(run__in=ids).values_list("state", "attempt", "error")) == {("running", 2, None)}


def test_a_step_that_another_process_took_over_is_not_recorded(count: int) -> None:
    ids, plan = runs(count)
    outcomes, other = performed(claimed_work(ids, plan), plan), uuid4()
    for change in ({"process": other}, {"process": lease.current(), "attempt": 2}):
        StepRun.objects.filter(run__in=ids).update(**change)
        found, onward = recorded(outcomes, plan)
        assert (found.won, found.ended, onward) == (frozenset(), (), [])
        assert rows(ids, "a") == {("running", change["process"])}
        assert not tickets(ids)
        assert not rows(ids, "b")


def test_behind_a_pause_the_next_step_gets_a_ticket_that_is_not_due(count: int) -> None:
    ids, plan = runs(count)
    outcomes = performed(claimed_work(ids, plan), plan)
    assert pauses.pause(ids, actor=Actor()) == frozenset(ids)
    found, onward = recorded(outcomes, plan)
    assert len(found.won) == count
    assert not onward
    assert rows(ids, "a") == {("succeeded", None)}
    assert not rows(ids, "b")
    assert Ticket.objects.filter(run__in=ids, head="b", due_at__gt=Now() + HOUR).count() == count


def test_a_record_waits_for_whoever_pauses_its_runs_and_sees_that(count: int) -> None:
    ids, plan = runs(count)
    outcomes = performed(claimed_work(ids, plan), plan)
    claims: list[tuple[str, Work]] = []
    with other_connection() as other, in_thread(lambda: claims.extend(recorded(outcomes, plan)[1])):
        other.execute("UPDATE runs_run SET paused_at = now(), paused_through = 'run' WHERE id = ANY(%s)", [ids])
        wait_for(waiters, what="the record to wait for the runs")
        assert rows(ids, "a") == {("running", lease.current())}
        other.commit()
    assert not claims
    assert tickets(ids) == ["b"] * count


def test_under_a_lease_that_has_passed_the_next_step_gets_a_ticket(count: int) -> None:
    ids, plan = runs(count)
    outcomes = performed(claimed_work(ids, plan), plan)
    Process.objects.filter(id=lease.current()).update(expires_at=F("expires_at") - HOUR)
    found, onward = recorded(outcomes, plan)
    assert len(found.won) == count, "what was performed is recorded all the same: nobody has taken it over yet"
    assert not onward
    assert tickets(ids) == ["b"] * count
    assert Ticket.objects.filter(run__in=ids, due_at__lte=Now(), knock_at__lte=Now()).count() == count
    lease.give_up()


def test_in_a_run_that_ended_meanwhile_the_step_is_recorded_and_nothing_follows(count: int) -> None:
    ids, plan = runs(count)
    outcomes = performed(claimed_work(ids, plan), plan)
    Run.objects.filter(pk__in=ids).update(state="cancelled", finished_at=Now())
    found, onward = recorded(outcomes, plan)
    assert len(found.won) == count
    assert not onward
    assert rows(ids, "a") == {("succeeded", None)}
    assert not rows(ids, "b")
    assert not tickets(ids)
    assert {the_run(run_id).state for run_id in ids} == {"cancelled"}
