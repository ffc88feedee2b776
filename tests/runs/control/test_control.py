"""What somebody does by hand: cancel, retry, replay, discard."""

from __future__ import annotations

from contextlib import ExitStack
from uuid import UUID

import pytest
from django.db import transaction

from runs.control import dead_letters, retries, stops
from runs.control import replays as control
from runs.control.replays import NotNow
from runs.domain.actor import Actor
from runs.engine import lease, record
from runs.models import DeadLetter, Intervention, Run, StepRun, Ticket
from runs.queries import database
from runs.queries.database import Row, Statement
from tests.engine import claim, deliver, drain, link_by_link
from tests.flows import begun, owner, published, states, steps, the_run
from tests.runs.locks import in_thread, other_connection
from tests.waiting import wait_for
from workflows.definitions.errors import InvalidInput

pytestmark = pytest.mark.django_db(transaction=True)

FAILS = """
name: fails
steps:
  - {id: a, action: default}
  - {id: b, action: transform, with: {select: [email]}}
  - {id: c, action: default}
  - {id: d, action: default}
"""
BRANCHES = """
name: branches
steps:
  - {id: a, action: default}
  - {id: left, needs: [a], action: default}
  - {id: right, needs: [a], action: transform, with: {set: {n: "{{ input.n }}"}}}
  - {id: join, needs: [left, right], action: default}
"""


def actor(why: str = "because") -> Actor:
    return Actor(user_id=owner().pk, reason=why)


def failed_run() -> UUID:
    [run_id] = begun(published(FAILS), {"mail": "a@b.c"})
    drain()
    assert the_run(run_id).state == "failed"
    return run_id


def test_cancel_ends_a_run_with_its_tickets_waits_and_retries() -> None:
    flow = published("name: long\nsteps: [{id: a, action: default}, {id: nap, action: wait, with: {for: 1h}}]")
    queued, waiting = begun(flow, {}, {})
    drain()
    Run.objects.filter(id=queued)
    assert stops.cancel([queued, waiting], actor=actor()) == {queued, waiting}
    assert the_run(waiting).state == "cancelled"
    assert states(waiting) == {"a": "succeeded", "nap": "cancelled"}
    assert not Ticket.objects.exists()
    assert stops.cancel([queued, waiting], actor=actor()) == frozenset()
    told = Intervention.objects.get(run_id=waiting)
    assert (told.verb, told.why, told.by) == ("cancel", "because", owner())


def test_a_cancelled_run_that_is_queued_never_starts() -> None:
    [run_id] = begun(published(FAILS), {"email": "a"})
    stops.cancel([run_id], actor=actor())
    drain()
    assert states(run_id) == {}
    assert the_run(run_id).state == "cancelled"


def test_a_running_steps_outcome_is_written_after_a_cancel_and_releases_nothing() -> None:
    from runs.domain.candidates import Candidate
    from runs.domain.outcomes import HeldClaim, Outcome, RunFacts, StepResult
    from runs.domain.states import StepState
    from runs.planning.plan import load

    flow = published("name: charged\nsteps: [{id: a, action: sleep, with: {seconds: 0}}, {id: b, action: default}]")
    for outcome, wanted in ((StepState.SUCCEEDED, "succeeded"), (StepState.RETRYING, "cancelled")):
        [run_id] = begun(flow)
        me = lease.current()
        claim(run_id, "a", process=me)
        stops.cancel([run_id], actor=actor())
        result = StepResult(step="a", state=outcome, output={"charged": True})
        done = Outcome(
            run=RunFacts(id=run_id, input={}, began=0.0), fence=HeldClaim(attempt=1, process=me), results=(result,)
        )
        assert record.record([done], plan=load(flow.version.id)).won == {Candidate(run_id, -1, "a")}
        assert states(run_id) == {"a": wanted}
        assert the_run(run_id).state == "cancelled"
        assert not Ticket.objects.filter(run_id=run_id).exists()


def test_retry_with_an_edited_input_goes_on_in_the_same_run() -> None:
    run_id = failed_run()
    assert states(run_id) == {"a": "succeeded", "b": "failed", "c": "skipped", "d": "skipped"}
    won = retries.retry([run_id], actor=actor("typo"), inputs={(run_id, "b"): {"email": "a@b.c"}})
    assert won == {run_id}
    assert states(run_id) == {"a": "succeeded", "b": "retrying"}
    assert the_run(run_id).state == "running"
    drain()
    assert the_run(run_id).state == "succeeded"
    assert set(states(run_id).values()) == {"succeeded"}
    row = steps(run_id)["b"]
    assert (row.attempt, row.input, row.output) == (2, {"email": "a@b.c"}, {"email": "a@b.c"})
    dead_letter = DeadLetter.objects.get(run_id=run_id)
    assert (dead_letter.state, dead_letter.resolution, dead_letter.resolved_by) == ("retried", "typo", owner())
    assert Intervention.objects.get(run_id=run_id).details == {"steps": ["b"], "edited": ["b"]}


def test_retry_begins_the_policy_anew() -> None:
    flow = published(
        "name: anew\nsteps: [{id: a, action: flaky, with: {failure_rate: 1}, retry: {max_attempts: 2, initial: 0s}}]"
    )
    [run_id] = begun(flow)
    drain()
    assert steps(run_id)["a"].attempt == 2
    retries.retry([run_id], actor=actor())
    drain()
    assert steps(run_id)["a"].attempt == 4
    assert the_run(run_id).state == "failed"
    assert sorted(DeadLetter.objects.filter(run_id=run_id).values_list("state", flat=True)) == ["open", "retried"]


def test_retry_of_a_run_that_did_not_fail_wins_nothing() -> None:
    [run_id] = begun(published(FAILS), {"email": "a@b.c"})
    drain()
    assert retries.retry([run_id], actor=actor()) == frozenset()
    assert the_run(run_id).state == "succeeded"
    assert not Intervention.objects.exists()


def test_retry_of_one_of_two_failed_branches_leaves_the_other() -> None:
    flow = published(
        """
name: two-fail
steps:
  - {id: a, action: default}
  - {id: x, needs: [a], action: transform, with: {select: [email]}}
  - {id: y, needs: [a], action: fail, with: {message: no}}
  - {id: z, needs: [x], action: default}
"""
    )
    [run_id] = begun(flow, {})
    drain()
    dead_letter = DeadLetter.objects.get(run_id=run_id, step="x")
    assert dead_letters.retry([dead_letter.id], actor=actor(), given={"email": "q"}) == {dead_letter.id}
    drain()
    assert states(run_id) == {"a": "succeeded", "x": "succeeded", "y": "failed", "z": "succeeded"}
    assert the_run(run_id).state == "failed"


def test_a_delivery_from_before_the_retry_does_nothing() -> None:
    """The zombie's fence is the old ticket's id, and the retry has a new one."""
    from runs.domain.outcomes import HeldTicket, Outcome, RunFacts, StepResult
    from runs.domain.states import StepState
    from runs.planning.plan import load

    flow = published(FAILS)
    [run_id] = begun(flow, {"mail": "x"})
    old = Ticket.objects.get(run_id=run_id).id
    drain()
    retries.retry([run_id], actor=actor(), inputs={(run_id, "b"): {"email": "new"}})
    zombie = Outcome(
        run=RunFacts(id=run_id, input={}, began=0.0),
        fence=HeldTicket(old),
        results=(StepResult(step="b", state=StepState.SUCCEEDED, output={"email": "old"}),),
    )
    assert record.record([zombie], plan=load(flow.version.id)).won == frozenset()
    drain()
    assert steps(run_id)["b"].output == {"email": "new"}


def test_replay_from_a_step_makes_a_new_run_and_leaves_the_old_one() -> None:
    [old] = begun(published(BRANCHES), {"n": 1}, labels={"team": "shop"})
    drain()
    before = list(StepRun.objects.filter(run_id=old).order_by("id").values())
    new = control.replay(old, step="right", given={"n": 2}, actor=actor())
    drain()
    assert the_run(new).state == "succeeded"
    assert the_run(new).replay_of_id == old
    assert the_run(new).labels == {"team": "shop"}
    assert steps(new)["right"].output == {"n": 2}
    assert steps(new)["left"].output == {"n": 1}, "kept from the old run"
    assert steps(new)["join"].output == {"left": {"n": 1}, "right": {"n": 2}}
    assert list(StepRun.objects.filter(run_id=old).order_by("id").values()) == before


def test_replay_with_the_latest_version_takes_its_steps() -> None:
    [old] = begun(published(FAILS), {"mail": "x"})
    drain()
    published(FAILS.replace("select: [email]", "select: [mail]"))
    new = control.replay(old, step="b", latest=True, actor=actor())
    drain()
    assert the_run(new).state == "succeeded"
    assert steps(new)["b"].output == {"mail": "x"}


def test_replay_from_the_beginning_and_of_a_live_run() -> None:
    run_id = failed_run()
    again = control.replay(run_id, given={"email": "e"}, actor=actor())
    with pytest.raises(NotNow, match=r"queued|running"):
        control.replay(again, actor=actor())
    drain()
    assert the_run(again).state == "succeeded"
    with pytest.raises(NotNow, match="no step 'nope'"):
        control.replay(run_id, step="nope", actor=actor())


def test_a_replay_that_is_tried_again_keeps_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another replay has the key at the INSERT, and is deleted before the key is looked up."""
    old = failed_run()
    tried = 0

    def run_first_in_vain(statement: Statement, **params: object) -> list[Row]:
        nonlocal tried
        tried += statement.name == "replay"
        return [] if statement.name == "replay" and tried == 1 else database.run(statement, **params)

    monkeypatch.setattr(control, "run", run_first_in_vain)
    new = control.replay(old, given={"email": "e"}, key="k", actor=actor())
    assert (tried, the_run(new).input) == (2, {"email": "e"})


def test_a_discarded_dead_letter_is_closed_with_a_reason() -> None:
    run_id = failed_run()
    dead_letter = DeadLetter.objects.get(run_id=run_id)
    assert dead_letters.discard([dead_letter.id], actor=actor("customer gone")) == {dead_letter.id}
    assert dead_letters.discard([dead_letter.id], actor=actor()) == frozenset()
    dead_letter.refresh_from_db()
    assert (dead_letter.state, dead_letter.resolution) == ("discarded", "customer gone")
    assert the_run(run_id).state == "failed"


def test_cancel_in_the_middle_stops_what_the_chain_carries_on_to() -> None:
    flow = published("name: middle\nsteps: [{id: a, action: default}, {id: n, action: sleep, with: {seconds: 0}}]")
    [run_id] = begun(flow)
    with link_by_link():
        deliver()
    stops.cancel([run_id], actor=actor())
    drain()
    assert states(run_id) == {"a": "succeeded"}


def test_replay_from_a_step_whose_parent_never_succeeded_is_refused() -> None:
    run_id = failed_run()
    with pytest.raises(NotNow, match="needs 'c'"):
        control.replay(run_id, step="d", actor=actor())
    assert Run.objects.count() == 1


def test_replay_with_the_latest_version_holds_the_old_input_against_its_schema() -> None:
    [old] = begun(published(FAILS), {"mail": "x"})
    drain()
    published(FAILS + "inputs: {type: object, required: [email]}\n")
    with pytest.raises(InvalidInput, match="email"):
        control.replay(old, latest=True, actor=actor())


def test_cancel_waits_for_a_claim_and_leaves_what_it_took() -> None:
    """The claim holds the ticket first: the cancel must see the row running, and not cancel it as retrying."""
    flow = published("name: raced\nsteps: [{id: a, action: sleep, with: {seconds: 0}}]")
    [run_id] = begun(flow)
    me = lease.current()
    won: list[frozenset[UUID]] = []
    with other_connection() as watcher, ExitStack() as stack, transaction.atomic():
        # A transaction of its own for each look: within one, pg_stat_activity stands still.
        watcher.autocommit = True
        claim(run_id, "a", process=me)
        stack.enter_context(in_thread(lambda: won.append(stops.cancel([run_id], actor=Actor()))))
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        wait_for(lambda: watcher.execute(waits).fetchone(), what="the cancel to wait for the claim")
    assert won == [{run_id}]
    assert states(run_id) == {"a": "running"}
    assert the_run(run_id).state == "cancelled"


# The jump handles what fails in m, and blocks d; x fails behind everything.
JUMPED = """
name: jumped
steps:
  - {id: r, action: fail, with: {message: no}, needs: []}
  - {id: m, action: fail, with: {message: no}, needs: [r], join: all_done, on_error: "goto:t"}
  - {id: d, action: default, needs: [m]}
  - {id: x, action: default, needs: []}
  - {id: j, action: default, needs: [d, x], join: all_done}
  - {id: t, action: default}
"""


def test_a_replay_goes_past_what_a_handled_failure_blocks() -> None:
    [old] = begun(published(JUMPED))
    drain()
    new = control.replay(old, step="x", actor=actor())
    drain()
    assert states(new) == states(old)
    assert states(new)["j"] == "succeeded"


def test_a_retry_leaves_blocked_what_another_failure_blocks() -> None:
    [run_id] = begun(published(JUMPED))
    drain()
    before = states(run_id)
    assert retries.retry([run_id], actor=actor()) == {run_id}
    drain()
    assert states(run_id) == before
    assert before["d"] == "skipped"


def test_a_retry_closes_the_letters_of_what_on_failure_did_for_it_comes_again() -> None:
    text = "name: told\nsteps: [{id: a, action: fail, with: {message: no}}]\n"
    [run_id] = begun(published(text + "on_failure: [{id: f, action: fail, with: {message: no}}]"))
    for _ in range(2):
        drain()
        letters = DeadLetter.objects.filter(run_id=run_id, state="open")
        assert sorted(letters.values_list("step", flat=True)) == ["a", "f"]
        retries.retry([run_id], actor=actor())
    assert DeadLetter.objects.filter(run_id=run_id, state="retried").count() == 4
