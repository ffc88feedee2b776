"""for_each beside the other features: how a run ends, pauses, decisions, unknown actions, transactions."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db.models import F

from actions import registry
from runs.control import approvals, pauses, retries, stops
from runs.control.approvals import Decision
from runs.domain.actor import Actor
from runs.maintenance import sweep
from runs.models import DeadLetter, Run, StepRun
from runs.planning import plan
from tests.engine import drain, state
from tests.flows import begun, published, the_run
from tests.runs.engine.test_engine_failures import past

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor(reason="because")
EACH = 'for_each: {items: "{{ [1, 2, 3] }}", batch: 2}, action: transform, with: {set: {n: "{{ item }}"}}'


def items(run_id: UUID, step: str) -> list[str]:
    rows = StepRun.objects.filter(run_id=run_id, step=step, item__gte=0).order_by("item")
    return list(rows.values_list("state", flat=True))


@pytest.mark.parametrize("undo", ["", ", compensate: {action: default}"])
def test_a_list_in_what_follows_the_work_is_done_and_done_again_after_a_retry(undo: str) -> None:
    flow = published(
        f"""
name: ends
steps: [{{id: a, action: default{undo}}}, {{id: b, action: fail}}]
on_failure: [{{id: tell, {EACH}}}]
finally: [{{id: tidy, {EACH}}}]
"""
    )
    [run_id] = begun(flow)
    drain()
    assert state(run_id) == ("compensated" if undo else "failed")
    assert items(run_id, "tell") == items(run_id, "tidy") == ["succeeded"] * 3
    if not undo:
        first = StepRun.objects.get(run_id=run_id, step="tidy", item=0).pk
        assert retries.retry([run_id], actor=ACTOR) == {run_id}
        assert items(run_id, "tidy") == []
        drain()
        assert state(run_id) == "failed"
        assert items(run_id, "tidy") == ["succeeded"] * 3
        assert StepRun.objects.get(run_id=run_id, step="tidy", item=0).pk != first


def test_a_cancelled_list_does_not_hold_up_the_list_of_finally() -> None:
    flow = published(
        f"""
name: stopped
steps:
  - {{id: naps, for_each: {{items: "{{{{ [1, 2, 3] }}}}", max_parallel: 1}}, action: wait, with: {{for: 1h}}}}
finally: [{{id: tidy, {EACH}}}]
"""
    )
    [run_id] = begun(flow)
    drain()
    assert items(run_id, "naps") == ["waiting"]
    assert stops.cancel([run_id], actor=ACTOR) == {run_id}
    past()
    drain()
    assert (state(run_id), items(run_id, "naps")) == ("cancelled", ["cancelled"])
    assert items(run_id, "tidy") == ["succeeded"] * 3


def test_a_paused_list_opens_nothing_until_it_is_resumed() -> None:
    flow = published(
        """
name: held
steps: [{id: naps, for_each: {items: "{{ [1, 2] }}", max_parallel: 1}, action: wait, with: {for: 1h}}]
"""
    )
    [run_id] = begun(flow)
    drain()
    assert pauses.pause([run_id], actor=ACTOR) == {run_id}
    StepRun.objects.filter(wake_at__isnull=False, item=0).update(wake_at=F("started_at"))
    drain()
    assert items(run_id, "naps") == ["succeeded"], "a timer runs on; what its end opens is held"
    assert pauses.resume([run_id], actor=ACTOR) == {run_id}
    drain()
    assert items(run_id, "naps") == ["succeeded", "waiting"]
    past()
    drain()
    assert state(run_id) == "succeeded"


def test_each_item_can_be_decided_by_itself() -> None:
    flow = published(
        """
name: decide
steps:
  - id: ok
    for_each: {items: "{{ ['x', 'y'] }}"}
    action: approval
    with: {message: "take {{ item }}?", on_reject: continue}
"""
    )
    [run_id] = begun(flow)
    drain()
    rows = list(approvals.pending(StepRun.objects.all()).select_related("run").order_by("item"))
    assert [found.message for row in rows if (found := approvals.asked(row))] == ["take x?", "take y?"]
    for item, yes in ((0, True), (1, False)):
        place = (run_id, "ok", item)
        assert approvals.decide([place], decision=Decision(yes, by="ada"), actor=ACTOR) == {place}
        drain()
    assert state(run_id) == "succeeded"
    output = the_run(run_id).output
    assert output is not None
    assert [one["approved"] for one in output["results"]] == [True, False]


def test_an_item_that_waits_again_in_what_follows_the_work_leaves_the_run_compensating() -> None:
    flow = published(
        """
name: again
steps: [{id: a, action: default, compensate: {action: default}}, {id: b, action: fail}]
on_failure:
  - id: asks
    for_each: {items: "{{ [1] }}", on_item_error: continue}
    action: wait_for_signal
    with: {name: go, timeout: 1h}
    retry: {max_attempts: 2, initial: 1h}
"""
    )
    [run_id] = begun(flow)
    drain()
    StepRun.objects.filter(run_id=run_id, item=0).update(wake_at=F("started_at"))
    drain()
    assert (state(run_id), items(run_id, "asks")) == ("compensating", ["retrying"])
    for _ in range(2):
        past()
        drain()
    assert (state(run_id), items(run_id, "asks")) == ("compensated", ["failed"])


def test_items_wait_for_the_code_that_has_their_action(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = published(
        'name: gone\nsteps: [{id: a, for_each: {items: "{{ [0, 0] }}"}, action: sleep, with: {seconds: "{{ item }}"}}]'
    )
    monkeypatch.delitem(registry.ACTIONS, "sleep")
    plan.load.cache_clear()
    [run_id] = begun(flow)
    drain()
    assert items(run_id, "a") == ["waiting"] * 2
    monkeypatch.undo()
    plan.load.cache_clear()
    past()
    drain()
    assert state(run_id) == "succeeded"
    assert items(run_id, "a") == ["succeeded"] * 2


def test_a_run_past_its_timeout_ends_its_lists() -> None:
    flow = published(
        'name: late\ntimeout: 1m\nsteps: [{id: naps, for_each: {items: "{{ [1, 2] }}"}, action: wait, with: {for: 1h}}]'
    )
    [run_id] = begun(flow)
    drain()
    Run.objects.filter(pk=run_id).update(deadline=F("started_at"))
    sweep.sweep()
    assert (state(run_id), items(run_id, "naps")) == ("failed", ["cancelled"] * 2)
    # The run's own, and none of its items.
    assert [letter.step for letter in DeadLetter.objects.all()] == [""]
