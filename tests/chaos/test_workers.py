"""Faults of workers: they die, freeze, or are replaced."""

from __future__ import annotations

import signal

from runs.models import DeadLetter, StepRun
from tests.chaos import faulty, workloads
from tests.chaos.conftest import Table
from tests.chaos.size import SIZE
from tests.chaos.witness import Witness
from tests.waiting import wait_for


def test_children_killed_at_every_point_of_a_delivery_cost_seconds_and_no_result(
    table: Table, witness: Witness
) -> None:
    with table("F1", "kill -9 of a child at six points of a delivery, and in the middle of a step") as row:
        # The lease is too long to expire here: the parent process of a dead child notices its death.
        row.fleet.ready("a", "b", PROCESS_LEASE_SECONDS="600")
        for _ in range(SIZE.of(1, 3)):
            for point in faulty.POINTS:
                row.kill_at(point, workload=workloads.mixed(witness), count=SIZE.of(6, 12))
            row.start(workloads.held(witness, seconds=1), SIZE.of(4, 10))
            row.kill_child("a", "b")
    assert row.slowest() < SIZE.bound(30)


def test_a_killed_worker_groups_steps_are_taken_up_when_its_lease_has_passed(table: Table, witness: Witness) -> None:
    with table("F2", "kill -9 of a whole worker group, which nobody on its host survives") as row:
        for number in range(SIZE.of(1, 2)):
            # Before the runs start, because a worker of the row before has a longer lease and must not begin them.
            row.fleet.ready("a", "b")
            row.start(workloads.held(witness, seconds=1), SIZE.of(10, 30))
            row.start(workloads.mixed(witness), SIZE.of(10, 30))
            victim = "ab"[number % 2]
            row.kill_group(victim)
            row.all_end()
    assert row.slowest() < SIZE.bound(SIZE.lease_seconds + 8)


def test_a_list_of_effects_goes_on_after_the_death_of_a_child_and_does_each_item_once(
    table: Table, witness: Witness
) -> None:
    with table("L1", "kill -9 of a child in the middle of a list of 200 effects (for_each)") as row:
        row.fleet.ready("a", "b", PROCESS_LEASE_SECONDS="600")
        ids = row.start(workloads.listed(witness, count=200), SIZE.of(1, 3))
        done = StepRun.objects.filter(run_id__in=ids, step="each", item__gte=0, state="succeeded")
        for share in (3, 5, 7)[: SIZE.of(1, 3)]:
            enough = len(ids) * 20 * share
            wait_for(done.all()[enough:].exists, what=f"more than {enough} items", timeout_seconds=180)
            row.kill_child("a", "b")
    lists = StepRun.objects.filter(run_id__in=ids, step="each", item=-1)
    assert {(one.output["count"], one.output["succeeded"]) for one in lists if one.output} == {(200, 200)}
    assert StepRun.objects.filter(run_id__in=ids, attempts__contains=[{"outcome": "lost"}]).exists()


def test_a_frozen_workers_late_results_are_dropped(table: Table, witness: Witness) -> None:
    with table("F3", "SIGSTOP of a worker group for longer than its lease, then SIGCONT") as row:
        row.fleet.ready("a", "b")
        for number in range(SIZE.of(1, 2)):
            ids = row.start(workloads.held(witness, seconds=1.5), SIZE.of(10, 40))
            frozen = "ab"[number % 2]
            pids = row.fleet.busy(frozen)
            row.fleet.groups[frozen].signal(signal.SIGSTOP)
            row.fault("worker group frozen", pids=pids)
            again = StepRun.objects.filter(run_id__in=ids, attempts__0__outcome="lost")
            wait_for(again.exists, what="a lost attempt", timeout_seconds=SIZE.lease_seconds + 30)
            row.fleet.groups[frozen].signal(signal.SIGCONT)
            row.all_end()
    assert row.slowest() < SIZE.bound(SIZE.lease_seconds + 8)


def test_a_rolling_deploy_loses_nothing_and_burns_no_attempt(table: Table, witness: Witness) -> None:
    with table("F4", "rolling deploy under load: SIGTERM, and a new worker in its place") as row:
        for number in range(SIZE.of(1, 8)):
            # Where a machine is busy, the short form's lease may pass while its process lives: not what this is about.
            row.fleet.ready("a", "b", PROCESS_LEASE_SECONDS=str(SIZE.of(120, SIZE.lease_seconds)))
            row.start(workloads.held(witness, seconds=0.5), SIZE.of(5, 10))
            row.start(workloads.mixed(witness), SIZE.of(5, 10))
            name = "ab"[number % 2]
            row.fleet.busy("a", "b")
            row.fleet.groups[name].stop()
            row.fault("worker group replaced")
    lost = StepRun.objects.filter(run_id__in=list(row.accepted), attempts__contains=[{"outcome": "lost"}])
    assert lost.count() == 0


def test_a_step_whose_action_was_removed_waits_for_code_that_has_it(table: Table, witness: Witness) -> None:
    with table("F18", "a deploy without an action that runs need, and one that brings it back") as row:
        row.fleet.ready("a", "b")
        ids = row.start(workloads.late(witness), SIZE.of(10, 60))
        waiting = StepRun.objects.filter(run_id__in=ids, step="new", state="waiting")
        wait_for(lambda: waiting.count() == len(ids), what="the steps to wait", timeout_seconds=180)
        assert set(waiting.values_list("error__kind", flat=True)) == {"unknown_action"}
        row.fault("action removed", over=False)
        row.fleet.ready("a", "b", CHAOS_LATE="1")
        row.fault("action back")


def test_a_poison_step_is_given_up_and_its_neighbours_are_spared(table: Table, witness: Witness) -> None:
    ends = ("segfault", "exit", "memory", "hang") if SIZE.full else ("segfault", "exit", "memory")
    with table(
        "F17", "a step that takes its process down each time: segfault, sys.exit, OOM kill, endless loop"
    ) as row:
        row.fleet.ready("a", "b")
        bad = {}
        for end in ends:
            [bad[end]] = row.start(workloads.deadly(witness, end=end), 1)
        row.expected |= dict.fromkeys(bad.values(), "failed")
        fine = row.start(workloads.mixed(witness), SIZE.of(20, 60))
        row.all_end()
        for end, run_id in bad.items():
            row.fault(f"{end} in a step", count=sum(witness.done([run_id], "die")), over=False)
            attempts = StepRun.objects.get(run_id=run_id, step="die").attempts
            assert sum(1 for tried in attempts if tried["outcome"] == "lost") <= 4
    letters = dict(DeadLetter.objects.filter(run_id__in=bad.values()).values_list("run_id", "reason"))
    assert {end: letters[bad[end]] for end in ("segfault", "memory")} == {"segfault": "poison", "memory": "poison"}
    assert not DeadLetter.objects.filter(run_id__in=fine).exists()
