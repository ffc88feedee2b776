"""Concurrency limits, workspace limits and priorities: which queued run begins, and when."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.test import override_settings

from runs.control import pauses, retries, starts, stops
from runs.control import replays as control
from runs.dispatch import admission
from runs.domain.actor import Actor
from runs.domain.requests import Request, Started
from runs.maintenance.sweep import sweep
from runs.models import Gate, Intervention, Run
from runs.queries.database import observed
from tests.engine import deliver, drain, messages, perform, state
from tests.flows import begun, owner, published, queued, the_run, workspace
from tests.runs.control.test_pause import until_somebody_waits
from tests.runs.doors import api, first_error
from tests.runs.engine.test_engine_failures import past
from tests.runs.locks import in_thread, other_connection, wait_for_waiter
from workflows.definitions.errors import InvalidInput
from workflows.formats import parse
from workflows.publishing.publish import Published, publish

pytestmark = pytest.mark.django_db(transaction=True)


def flow(concurrency: str = "", *, name: str = "limited", action: str = "sleep, with: {seconds: 0}") -> Published:
    rule = f"concurrency: {concurrency}\n" if concurrency else ""
    return published(f"name: {name}\n{rule}steps: [{{id: a, action: {action}}}]")


def waiting(concurrency: str) -> Published:
    """Its runs wait for half an hour."""
    return flow(concurrency, action="wait, with: {for: 30m}")


def states(run_ids: list[UUID]) -> list[str]:
    return [state(run_id) for run_id in run_ids]


def admitted() -> list[UUID]:
    return [due.run_id for due in admission.admit(limit=100)]


def test_a_workflow_has_no_more_live_runs_than_its_limit() -> None:
    ids = begun(waiting("{limit: 2}"), {}, {}, {})
    drain()
    assert states(ids) == ["waiting", "waiting", "queued"], "a waiting run keeps its place"
    stops.cancel(ids[:1], actor=Actor())
    drain()
    assert states(ids) == ["cancelled", "waiting", "waiting"]
    for _ in range(2):
        past()
        drain()
    assert states(ids) == ["cancelled", "succeeded", "succeeded"]


def test_a_retry_by_hand_takes_up_its_place_again_even_where_its_limit_is_reached() -> None:
    broken, holding, later = begun(flow("{limit: 1}", action="fail"), {}, {}, {})
    drain()
    assert states([broken, holding, later]) == ["failed"] * 3
    [holding, later] = begun(waiting("{limit: 1}"), {}, {})
    drain()
    assert retries.retry([broken], actor=Actor()) == {broken}
    assert states([broken, holding, later]) == ["running", "waiting", "queued"]
    stops.cancel([holding], actor=Actor())
    assert admitted() == [], "it holds the place now"
    drain()
    assert states([broken, later]) == ["failed", "waiting"]


def test_each_key_has_places_of_its_own_and_a_full_one_holds_back_no_other() -> None:
    found = waiting('{limit: 1, key: "{{ input.customer }}"}')
    ids = begun(found, {"customer": "a"}, {"customer": "a"}, {"customer": 7}, {"customer": 7})
    [free] = begun(flow(name="free"))
    drain()
    assert states(ids) == ["waiting", "queued", "waiting", "queued"]
    assert state(free) == "succeeded"
    assert sorted(Gate.objects.values_list("key", flat=True)) == ["7", "a"]


def test_a_raised_limit_counts_for_what_is_queued_already() -> None:
    ids = begun(waiting("{limit: 1}"), {}, {}, {})
    drain()
    waiting("{limit: 2}")
    drain()
    assert states(ids) == ["waiting", "waiting", "queued"]
    flow(action="default")
    drain()
    assert states(ids) == ["waiting", "waiting", "waiting"], "the new version has no limit"


def test_a_start_that_finds_its_gate_full_is_skipped_where_the_policy_says_so() -> None:
    found = waiting("{limit: 1, policy: skip}")
    with transaction.atomic():
        [first, second] = _started(found, 2)
    [third] = _started(found, 1)
    assert [one.state for one in (first, second, third)] == ["queued", "cancelled", "cancelled"]
    drain()
    run = the_run(second.run_id)
    assert run.error is not None
    assert run.error["kind"] == "skipped"
    assert state(first.run_id) == "waiting"
    stops.cancel([first.run_id], actor=Actor())
    assert _started(found, 1)[0].state == "queued"


def test_a_known_key_is_answered_and_takes_no_place() -> None:
    found = waiting("{limit: 1, policy: skip}")
    [first] = begun(found, idempotency_key="k")
    [again] = begun(found, idempotency_key="k")
    assert again == first
    assert state(first) == "running"


def test_a_newer_run_takes_the_place_of_the_oldest_where_the_policy_says_so() -> None:
    found = waiting("{limit: 2, policy: cancel_running}")
    ids = begun(found, {}) + begun(found, {}) + begun(found, {})
    drain()
    assert states(ids) == ["cancelled", "waiting", "waiting"]
    assert "newer run took its place" in Intervention.objects.get().why
    many = begun(found, {}, {}, {})
    drain()
    assert states(ids + many) == ["cancelled"] * 4 + ["waiting"] * 2


@pytest.mark.parametrize(
    ("given", "wanted"), [({}, "cannot be worked out"), ({"c": [1]}, "must come to"), ({"c": "x" * 300}, "300")]
)
def test_a_key_that_the_input_does_not_give_is_refused_at_the_start(given: dict[str, Any], wanted: str) -> None:
    found = flow('{limit: 1, key: "{{ input.c }}"}')
    with pytest.raises(InvalidInput, match=wanted):
        begun(found, given)
    assert not Run.objects.exists()


def test_whoever_else_admits_through_a_gate_is_left_alone() -> None:
    ids = queued(flow("{limit: 1}"), {}, {})
    with other_connection() as other:
        other.execute("SELECT 1 FROM runs_gate FOR NO KEY UPDATE")
        assert admitted() == []
        # What the other counts and admits is not seen here before it is committed.
        other.execute("UPDATE runs_run SET state = 'running', started_at = now() WHERE id = %s", [ids[0]])
        other.execute(
            "INSERT INTO runs_ticket (run_id, head, item, sends, suspect) VALUES (%s, 'a', -1, 0, false)", [ids[0]]
        )
        assert admitted() == []
        other.commit()
    assert admitted() == []
    assert states(ids) == ["running", "queued"]


def test_two_admissions_at_once_keep_the_limit() -> None:
    ids = queued(flow("{limit: 3}"), *[{}] * 10)
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(in_thread(lambda: admission.admit(limit=2)))
    admission.admit(limit=10)
    assert sorted(states(ids)) == ["queued"] * 7 + ["running"] * 3


def test_an_admission_does_not_take_a_run_that_is_being_cancelled() -> None:
    [run_id, next_one] = queued(flow("{limit: 1}"), {}, {})
    with other_connection() as other:
        other.execute("SELECT 1 FROM runs_run WHERE id = %s FOR NO KEY UPDATE", [run_id])
        assert admitted() == []
        other.execute("UPDATE runs_run SET state = 'cancelled', finished_at = now() WHERE id = %s", [run_id])
        other.commit()
    assert admitted() == [next_one]


def test_a_start_that_skips_waits_for_whoever_holds_the_gate() -> None:
    found = waiting("{limit: 1, policy: skip}")
    begun(found)
    stops.cancel([Run.objects.get().pk], actor=Actor())
    with other_connection() as other:
        # Before the start: it might come to the gate first.
        other.execute("SELECT 1 FROM runs_gate FOR NO KEY UPDATE")
        with in_thread(lambda: begun(found)):
            wait_for_waiter()
            other.execute("UPDATE runs_run SET state = 'waiting', started_at = now(), finished_at = NULL")
            other.execute(
                "INSERT INTO runs_ticket (run_id, head, item, sends, suspect)"
                " SELECT id, 'a', -1, 0, false FROM runs_run"
            )
            other.commit()
    newest = Run.objects.order_by("-id")[0]
    assert newest.state == "cancelled", "it saw what came in while it waited"


def test_a_workspace_has_no_more_running_runs_than_its_limit_but_any_number_that_wait() -> None:
    _limit(concurrent_runs=2)
    parked = begun(flow(action="wait, with: {for: 30m}", name="parked"), *[{}] * 4)
    drain()
    assert states(parked) == ["waiting"] * 4
    ids = queued(flow(name="plain"), *[{}] * 3) + queued(flow("{limit: 9}", name="gated"), *[{}] * 3)
    assert len(admitted()) == 2
    assert admitted() == []
    drain()
    deliver()
    past()
    drain()
    assert states(ids) == ["succeeded"] * 6


def test_sub_workflows_live_in_their_parents_place() -> None:
    _limit(concurrent_runs=1, runs_per_minute=2)
    flow(name="child")
    parent = published("name: parent\nsteps: [{id: s, action: sub_workflow, with: {workflow: child}}]")
    first, second, third = begun(parent, {}, {}, {})
    drain()
    assert states([first, second, third]) == ["succeeded", "succeeded", "queued"], "the children used up no start"
    assert Run.objects.filter(parent__isnull=False, metered=True).count() == 0


def test_a_workspaces_rate_is_kept_within_any_minute_and_refuses_nothing() -> None:
    _limit(runs_per_minute=3)
    ids = begun(flow(), *[{}] * 5)
    drain()
    assert states(ids) == ["succeeded"] * 3 + ["queued"] * 2
    sweep()
    drain()
    assert states(ids).count("queued") == 2
    Run.objects.filter(state="succeeded").update(started_at=F("started_at") - timedelta(minutes=1))
    sweep()
    drain()
    assert states(ids) == ["succeeded"] * 5


def test_a_limited_workspace_holds_back_no_other_and_both_kinds_go_in_turn() -> None:
    _limit(concurrent_runs=1)
    queued(flow(name="mine"), *[{}] * 3)
    other = publish(
        parse.load("name: theirs\nsteps: [{id: a, action: default}]").document,
        workspace=workspace("other"),
        owner=owner(),
    )
    theirs = queued(other, *[{}] * 5)
    assert len(admission.admit(limit=2)) == 3
    assert set(admitted()) | {run.pk for run in Run.objects.exclude(state="queued")} >= set(theirs)


def test_a_limit_that_is_no_number_of_runs_is_refused_by_the_database() -> None:
    with pytest.raises(IntegrityError):
        _limit(concurrent_runs=0)


def test_runs_of_a_higher_priority_begin_first_and_then_the_oldest() -> None:
    usual = queued(flow(), {}, {})
    urgent = queued(flow(), {}, priority=5)
    late = queued(flow(), {}, priority=-5)
    order = []
    while found := admission.admit(limit=1):
        order += [due.run_id for due in found]
    assert order == [*urgent, *usual, *late]


def test_a_priority_of_the_definition_is_the_one_of_its_runs_unless_the_start_says_otherwise() -> None:
    found = published("name: p\npriority: 7\nconcurrency: {limit: 1}\nsteps: [{id: a, action: default}]")
    [usual, own] = queued(found) + queued(found, priority=9)
    assert [the_run(run_id).priority for run_id in (usual, own)] == [7, 9]
    assert admitted() == [own]


def test_a_high_priority_in_one_workspace_does_not_starve_another() -> None:
    queued(flow(), *[{}] * 20, priority=100)
    other = publish(
        parse.load("name: theirs\nsteps: [{id: a, action: default}]").document,
        workspace=workspace("other"),
        owner=owner(),
    )
    theirs = queued(other, {}, priority=-100)
    assert theirs[0] in [due.run_id for due in admission.admit(limit=4)]


def test_a_paused_run_stands_in_no_line_and_comes_back_to_its_gate() -> None:
    [first, second] = queued(flow("{limit: 1}"), {}, {})
    pauses.pause([first], actor=Actor())
    assert admitted() == [second]
    stops.cancel([second], actor=Actor())
    pauses.resume([first], actor=Actor())
    assert state(first) == "running"


def test_a_replay_queues_at_its_gate_whatever_the_policy() -> None:
    found = waiting('{limit: 1, key: "{{ input.c }}", policy: skip}')
    [old] = begun(found, {"c": "x"})
    stops.cancel([old], actor=Actor())
    [live] = begun(found, {"c": "x"})
    again, elsewhere = control.replay(old, actor=Actor()), control.replay(old, given={"c": "y"}, actor=Actor())
    drain()
    assert states([live, again, elsewhere]) == ["waiting", "queued", "waiting"]


def test_more_gates_than_one_round_looks_at_all_get_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "LOOK", 2)
    found = flow('{limit: 1, key: "{{ input.n }}"}')
    ids = queued(found, *[{"n": n} for n in range(7)])
    for _ in range(5):
        admission.admit(limit=100)
    assert states(ids) == ["running"] * 7


def test_an_idle_limit_costs_a_plain_start_no_statement() -> None:
    begun(flow("{limit: 1}", name="gated"))
    drain()
    found = flow(name="plain")
    with observed() as seen:
        begun(found)
    assert seen == ["start"]
    messages()


@override_settings(PURE_BATCH_RUNS=200)
def test_a_backlog_stays_in_the_database_and_is_never_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    # Few enough that no message waits for 10 s, after which it would rightly be sent again.
    monkeypatch.setattr(settings, "PURE_BATCH_RUNS", 100)
    ids = begun(flow(action="default"), *[{}] * 100 * (settings.DISPATCH_WINDOW_MESSAGES + 3))
    for _ in range(5):
        sweep()
    sent = messages()
    assert 0 < len(sent) <= settings.DISPATCH_WINDOW_MESSAGES
    assert Run.objects.filter(state="queued").exists()
    told: list[str] = []
    while sent:
        told += [key for _, (args, _, _) in sent for key in args[0]]
        for message in sent:
            perform(message)
        sent = messages()
    assert sorted(told) == sorted(map(str, ids)), "every run was in one message, once"
    assert set(states(ids)) == {"succeeded"}


def test_the_api_tells_of_a_skipped_start_of_priority_and_of_the_key() -> None:
    waiting('{limit: 1, key: "{{ input.c }}", policy: skip}')
    status, first = api().post("workflows/limited/runs", {"input": {"c": "x"}, "priority": 9})
    assert (status, first["state"]) == (201, "queued")
    status, second = api().post("workflows/limited/runs", {"input": {"c": "x"}})
    assert (status, second["state"]) == (201, "cancelled")
    _, shown = api().get(f"runs/{second['id']}")
    assert (shown["error"]["kind"], shown["concurrency_key"]) == ("skipped", "x")
    _, shown = api().get(f"runs/{first['id']}")
    assert (shown["priority"], shown["concurrency_key"]) == (9, "x")
    assert first_error(api().post("workflows/limited/runs", {"input": {}})[1])[0] == "concurrency.key"
    assert api().post("workflows/limited/runs", {"input": {"c": "x"}, "priority": 101})[0] == 400


def test_a_replay_with_a_known_idempotency_key_answers_the_first_one() -> None:
    [old, other] = begun(flow(), {}, {})
    drain()
    status, first = api().post(f"runs/{old}/replay", {"idempotency_key": "again"})
    assert status == 201
    drain()
    assert api().post(f"runs/{old}/replay", {"idempotency_key": "again"}) == (200, {**first, "state": "succeeded"})
    status, problem = api().post(f"runs/{other}/replay", {"idempotency_key": "again"})
    assert (status, problem["state"]) == (409, "succeeded")
    assert "use another" in problem["detail"]
    assert Run.objects.count() == 3
    assert Intervention.objects.count() == 1


def test_two_replays_with_one_key_at_once_make_one_run() -> None:
    [old] = begun(flow())
    drain()
    made: list[UUID] = []

    def again() -> None:
        made.append(control.replay(old, key="k", actor=Actor()))

    with ExitStack() as outer, transaction.atomic():
        first = control.replay(old, key="k", actor=Actor())
        outer.enter_context(in_thread(again))
        until_somebody_waits(outer.enter_context(other_connection()))
    assert made == [first]


def _limit(**limits: int) -> None:
    mine = workspace()
    for name, value in limits.items():
        setattr(mine, name, value)
    mine.save()


def _started(found: Published, number: int) -> list[Started]:
    requests = [Request() for _ in range(number)]
    return starts.start(requests, version=found.version, workflow=found.workflow, source="test")
