"""Runs that ended long enough ago are forgotten with all their rows; what anybody still needs stays."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, transaction
from django.db.models import F
from uuid_utils.compat import uuid7

from runs.control import concurrency, dead_letters, inserts, pauses, retries, stops
from runs.control import replays as control
from runs.domain import requests
from runs.domain.actor import Actor
from runs.engine import lease
from runs.maintenance import retention
from runs.maintenance.retention import Policy
from runs.models import DeadLetter, Effect, Gate, Intervention, ItemBatch, Run, Signal, StepRun
from runs.queries import database
from runs.queries import retention as retention_queries
from tests.engine import drain, state
from tests.flows import begun, published, queued, the_run, workspace
from tests.runs.doors import api
from tests.runs.locks import in_thread, locked_run, other_connection, wait_for_waiter
from tests.waiting import wait_for
from workflows.models import Workflow
from workflows.publishing.publish import Published

pytestmark = pytest.mark.django_db(transaction=True)

SHORT = "name: short\nsteps: [{id: a, action: noop}, {id: b, action: noop}]"
DAY = 86400.0


def go_on(_: float) -> bool:
    return False


def aged(*run_ids: UUID, days: int) -> None:
    """As if these runs had been made and had ended so many days ago; their ids say when they were made."""
    for old in run_ids:
        made = UUID(int=old.int - (days * 86_400_000 << 80))
        then = timedelta(days=days)
        Run.objects.filter(pk=old).update(finished_at=F("finished_at") - then, created_at=F("created_at") - then)
        with connection.cursor() as cursor, transaction.atomic():
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
            cursor.execute("UPDATE runs_run SET id = %s WHERE id = %s", [made, old])
            cursor.execute("UPDATE runs_run SET parent_id = %s WHERE parent_id = %s", [made, old])
            for table in ("steprun", "deadletter", "intervention", "signal", "effect", "itembatch"):
                cursor.execute(f"UPDATE runs_{table} SET run_id = %s WHERE run_id = %s", [made, old])


def ended(found: Published, *inputs: Any, days: int = 0, **options: Any) -> list[UUID]:
    """Runs of it that ended so many days ago."""
    ids = begun(found, *inputs, **options)
    drain()
    aged(*ids, days=days)
    return [UUID(int=one.int - (days * 86_400_000 << 80)) for one in ids]


def policy(found: Published, *, days: float = 30) -> Policy:
    return Policy(found.workflow.pk, found.workflow.name, days * DAY)


def pruned(found: Published, *, days: float = 30, dry: bool = False) -> int:
    return sum(batch.runs for batch in retention.prune(policy(found, days=days), dry=dry))


def stored(run_id: UUID) -> bool:
    return Run.objects.filter(pk=run_id).exists()


def test_runs_that_ended_before_their_time_go_and_younger_and_live_ones_stay() -> None:
    found = published(SHORT)
    old = ended(found, {}, {}, {}, days=31)
    young = ended(found, {}, days=29)
    [live] = queued(found, {})
    assert pruned(found, dry=True) == 3
    assert all(map(stored, old))
    assert pruned(found) == 3
    assert set(Run.objects.values_list("pk", flat=True)) == {*young, live}
    assert set(StepRun.objects.values_list("run_id", flat=True)) == set(young)


def test_everything_of_a_run_goes_with_it() -> None:
    found = published(
        "name: rich\nsteps:\n  - {id: list, action: noop, for_each: {items: [1, 2, 3]}}\n  - {id: bad, action: fail}\n"
    )
    [old] = ended(found, days=31)
    Effect.objects.create(run_id=old, step="list", name="x", value=1)
    Signal.objects.create(run_id=old, name="late", workspace=workspace())
    dead_letters.discard([dead_letter.pk for dead_letter in DeadLetter.objects.all()], actor=Actor(reason="seen"))
    assert ItemBatch.objects.exists()
    assert Intervention.objects.exists()
    assert pruned(found) == 1
    for model in (Run, StepRun, Effect, Signal, DeadLetter, Intervention, ItemBatch):
        assert not model.objects.exists(), model


def test_an_open_dead_letter_keeps_its_run_until_somebody_has_seen_to_it() -> None:
    found = published("name: broken\nsteps: [{id: bad, action: fail}]")
    ended(found, days=400)
    assert pruned(found) == 0
    dead_letters.discard([dead_letter.pk for dead_letter in DeadLetter.objects.all()], actor=Actor(reason="seen"))
    assert pruned(found) == 1


def test_a_child_stays_while_its_parent_is_live_and_a_parent_while_its_child_is() -> None:
    child = published(SHORT)
    parent = published(
        "name: parent\nsteps:\n"
        "  - {id: call, action: sub_workflow, with: {workflow: short}}\n"
        "  - {id: nap, action: wait, with: {for: 1h}}\n"
    )
    [above] = begun(parent)
    drain()
    [below] = Run.objects.filter(parent_id=above).values_list("pk", flat=True)
    aged(below, days=31)
    assert pruned(child) == 0, "its parent waits"
    stops.cancel([above], actor=Actor(reason="enough"))
    assert pruned(child) == 1
    aged(above, days=31)
    [again] = begun(child)
    [above] = Run.objects.filter(workflow=parent.workflow).values_list("pk", flat=True)
    Run.objects.filter(pk=again).update(parent_id=above, parent_step="call", parent_item=-1, parent_attempt=1)
    assert pruned(parent) == 0, "its child is not over"
    drain()
    assert pruned(parent) == 1


def test_a_run_that_somebody_holds_is_passed_by_and_one_retried_meanwhile_stays() -> None:
    found = published("name: broken\nsteps: [{id: bad, action: fail, on_error: fail}]")
    held, other = ended(found, {}, {}, days=31)
    DeadLetter.objects.update(state="discarded", resolved_at=F("created_at"))
    with locked_run(held):
        assert pruned(found) == 1
    assert (stored(held), stored(other)) == (True, False)
    retries.retry([held], actor=Actor(reason="once more"))
    assert pruned(found) == 0
    assert state(held) == "running"
    drain()


def test_a_run_with_more_rows_than_a_batch_goes_alone_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH_ROWS", 7)
    monkeypatch.setattr(retention, "STATEMENT_ROWS", 4)
    small = published(SHORT)
    [first, second] = ended(small, {}, {}, days=33)
    large = ended(small, {}, days=32)[0]
    third = ended(small, {}, days=31)[0]
    StepRun.objects.bulk_create(
        StepRun(run_id=large, step="many", item=n, state="succeeded", finished_at=the_run(large).finished_at)
        for n in range(30)
    )
    batches = [batch.runs for batch in retention.prune(policy(small))]
    assert batches == [2, 1, 1]
    assert not any(map(stored, (first, second, large, third)))
    assert not StepRun.objects.exists()


def test_pages_follow_one_another_past_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAGE_RUNS", 2)
    found = published(SHORT)
    ids = ended(found, *[{}] * 7, days=31)
    for kept in ids[:3]:
        DeadLetter.objects.create(
            workspace=workspace(), workflow=found.workflow, run_id=kept, step="a", reason="failed", error={}
        )
    assert pruned(found) == 4
    assert set(Run.objects.values_list("pk", flat=True)) == set(ids[:3])


def test_a_key_is_known_as_long_as_its_run_is_kept() -> None:
    found = published(SHORT)
    [old] = ended(found, {}, days=31, idempotency_key="order 1")
    assert begun(found, {}, idempotency_key="order 1") == [old]
    assert pruned(found) == 1
    [new] = begun(found, {}, idempotency_key="order 1")
    assert new != old
    drain()


def test_the_workflow_says_how_long_else_its_workspace_else_for_ever() -> None:
    plain, own, kept = (published(SHORT.replace("short", name)) for name in ("plain", "own", "kept"))
    for one in (plain, own, kept):
        ended(one, {}, days=10)
    assert retention.prune_all(wait=go_on) == 0, "for ever"
    call_command("keep_runs", "20d", stdout=StringIO())
    call_command("keep_runs", "5d", workflow="own", stdout=StringIO())
    call_command("keep_runs", "forever", workflow="kept", stdout=StringIO())
    assert retention.prune_all(wait=go_on) == 1
    call_command("keep_runs", "9d", stdout=StringIO())
    assert retention.prune_all(wait=go_on) == 1
    assert [one.workflow_id for one in Run.objects.all()] == [kept.workflow.pk]
    told = StringIO()
    call_command("keep_runs", "default", workflow="kept", stdout=told)
    assert told.getvalue() == "kept  runs are kept 9 days after their end\n"


def test_one_process_prunes_at_a_time_and_a_stop_comes_after_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAGE_RUNS", 1)
    found = published(SHORT)
    ended(found, {}, {}, {}, days=10)
    Workflow.objects.update(keep_days=5)
    with other_connection() as other:
        other.execute(retention_queries.TRY_LOCK.sql)
        assert retention.prune_all(wait=go_on) == 0
        other.execute(retention_queries.UNLOCK.sql)
        other.commit()
    assert retention.prune_all(wait=lambda _: True) == 1
    assert retention.prune_all(wait=go_on) == 2


GATED = 'name: gated\nconcurrency: {limit: 1, key: "{{ input.k }}"}\nsteps: [{id: a, action: %s}]'


def keys() -> set[str]:
    return set(Gate.objects.values_list("key", flat=True))


def test_a_gate_goes_that_no_run_is_in_or_could_come_back_to() -> None:
    working = published(GATED % "noop")
    begun(working, {"k": "done"})
    drain()
    begun(published(GATED % "fail"), {"k": "failed"})
    drain()
    waiting = published(GATED % "wait, with: {for: 1h}")
    begun(waiting, {"k": "waits"})
    [held] = queued(waiting, {"k": "paused"})
    pauses.pause([held], actor=Actor(reason="hold"))
    queued(waiting, {"k": "waits"}, {"k": "queued"})
    assert keys() == {"done", "failed", "waits", "paused", "queued"}
    assert retention.prune_gates(wait=go_on) == 1
    assert keys() == {"failed", "waits", "paused", "queued"}
    begun(working, {"k": "done"})
    assert keys() == {"done", "failed", "waits", "paused", "queued"}


def test_a_run_still_tells_its_concurrency_key_when_its_gate_is_gone() -> None:
    [run_id] = begun(published(GATED % "noop"), {"k": "done"})
    drain()
    assert retention.prune_gates(wait=go_on) == 1
    run = Run.objects.select_related("version", "gate").get(pk=run_id)
    assert run.gate_id is not None
    assert concurrency.key_of(run) == "done"
    status, told = api().get(f"runs/{run_id}")
    assert (status, told["concurrency_key"]) == (200, "done")
    status, told = api().get("workflows/gated")
    assert (status, told["latest_run"]["concurrency_key"]) == (200, "done")
    said = StringIO()
    call_command("show_run", str(run_id), "--json", stdout=said)
    assert '"done"' in said.getvalue()


def test_a_start_that_has_found_its_gate_keeps_it_until_its_run_is_there() -> None:
    found = published(GATED % "noop")
    begun(found, {"k": "x"})
    drain()
    with transaction.atomic():
        [run_id] = begun(found, {"k": "x"})
        with in_thread(lambda: retention.prune_gates(wait=go_on)):
            pass
    assert keys() == {"x"}
    drain()
    assert state(run_id) == "succeeded"


def test_a_start_that_comes_while_its_gate_is_pruned_makes_it_anew() -> None:
    found = published(GATED % "noop")
    begun(found, {"k": "x"})
    drain()
    ids: list[UUID] = []
    with other_connection() as other:
        other.execute("DELETE FROM runs_gate")
        with in_thread(lambda: ids.extend(begun(found, {"k": "x"}))):
            wait_for_waiter()
            other.commit()
    drain()
    assert [state(one) for one in ids] == ["succeeded"]


def test_the_worker_prunes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    from runs.worker import retention_thread

    monkeypatch.setattr(retention_thread, "FIRST_SECONDS", 0.0)
    found = published(SHORT)
    ended(found, {}, days=31)
    Workflow.objects.update(keep_days=30)
    keeper = retention_thread.RetentionStep(None)
    keeper.start(None)
    try:
        wait_for(lambda: not Run.objects.exists(), what="the old run to go")
    finally:
        keeper.stop(None)
    assert not keeper.thread.is_alive()


def test_the_page_of_a_run_whose_original_was_pruned_still_stands() -> None:
    from tests.runs.doors import admin

    found = published(SHORT)
    [old] = ended(found, days=31)
    new = control.replay(old, actor=Actor(reason="again"))
    drain()
    assert pruned(found) == 1
    assert admin().get(f"/admin/runs/run/{new}/change/").status_code == 200


@pytest.mark.usefixtures("fresh_tables")
def test_a_beat_of_a_lease_stays_in_its_page_and_touches_no_index() -> None:
    process = uuid7()
    with transaction.atomic():
        assert all(lease.beat(process) for _ in range(5))
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'runs_process'"
            )
            assert cursor.fetchone() == (4, 4)


def test_a_start_whose_known_run_is_deleted_before_it_is_looked_up_starts_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = published(SHORT)
    [old] = ended(found, {}, days=31, idempotency_key="old")
    [young] = ended(found, {}, idempotency_key="young")
    seen: list[str] = []

    def prune_between(statement: str) -> None:
        seen.append(statement)
        if seen.count("known_keys") == 1 and statement == "known_keys":
            with in_thread(lambda: pruned(found)):
                pass

    monkeypatch.setattr(database, "_observers", [prune_between])
    asked = [requests.Request(idempotency_key=key) for key in ("old", "young", "new", "old")]
    started = inserts.start(inserts.Batch(asked, found.version, found.workflow, "test"))
    assert not stored(old)
    assert [one.created for one in started].count(True) == 2
    assert [one.run_id for one in started if one.run_id == young] == [started[1].run_id]
    assert started[0].run_id == started[3].run_id != old
    assert (seen.count("start"), seen.count("known_keys")) == (2, 2)
    drain()
    assert {one: state(one) for one in Run.objects.values_list("pk", flat=True)} == {
        one.run_id: "succeeded" for one in started
    }


def test_a_start_whose_known_run_is_always_gone_says_so_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    found = published(SHORT)
    begun(found, {}, idempotency_key="a")

    def rename(statement: str) -> None:
        """Whoever looks the key up finds another; whoever inserts it finds it taken."""
        with other_connection() as other:
            other.execute("UPDATE runs_run SET idempotency_key = %s", ["b" if statement == "known_keys" else "a"])
            other.commit()

    monkeypatch.setattr(database, "_observers", [rename])
    asked = [requests.Request(idempotency_key="a")]
    with pytest.raises(OperationalError, match="known runs of 'short' or its version were deleted meanwhile"):
        inserts.start(inserts.Batch(asked, found.version, found.workflow, "test"))
    assert Run.objects.count() == 1
