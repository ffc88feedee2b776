"""Workers that die while they perform items: who is blamed, what is done again, and what the step comes to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models import F

from runs.control import dead_letters
from runs.dispatch import dispatcher
from runs.dispatch.compiler import decode
from runs.domain.actor import Actor
from runs.domain.candidates import Candidate
from runs.domain.outcomes import Death
from runs.domain.requests import Due
from runs.engine import lease
from runs.maintenance import suspects, sweep
from runs.models import DeadLetter, Process, StepRun, Ticket
from runs.queries.database import observed
from tests.engine import claim_all, deliver, drain, messages, perform, state
from tests.flows import begun, published

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = timedelta(minutes=1)
NAPS = """
name: naps
steps:
  - id: each
    for_each: {items: "{{ input.rows }}", max_parallel: 4, on_item_error: %s}
    action: sleep
    with: {seconds: 0}
"""


def opened(text: str, rows: list[Any]) -> UUID:
    """A run whose items have their tickets, and no message in the broker."""
    [run_id] = begun(published(text), {"rows": rows})
    deliver()
    messages()
    return run_id


def die_with(run_id: UUID, numbers: Sequence[int]) -> None:
    """A worker claims these items, is killed, and its lease passes."""
    keys = [(run_id, number) for number in numbers]
    claimed = claim_all([Candidate(*key, "each") for key in keys], process=lease.current())
    assert len(claimed) == len(numbers)
    Process.objects.update(expires_at=F("expires_at") - MINUTE)
    lease.give_up()
    sweep.rescue()


def alone() -> dict[int, Due]:
    """The suspects that are due now, by their items."""
    return {one.item: one for one in suspects.pick(limit=100)}


def outcomes(run_id: UUID) -> dict[int, tuple[str, list[str]]]:
    """State of each item, and what became of its attempts that did not succeed."""
    rows = StepRun.objects.filter(run_id=run_id, step="each", item__gte=0).order_by("item")
    return {row.item: (row.state, [tried["outcome"] for tried in row.attempts]) for row in rows}


def result(run_id: UUID) -> tuple[int, int]:
    """How many items there were, and how many succeeded, as the step's output has it."""
    output = StepRun.objects.get(run_id=run_id, step="each", item=-1).output
    assert output is not None
    return output["count"], output["succeeded"]


def test_items_of_a_worker_that_was_killed_are_performed_again_each_alone() -> None:
    run_id = opened(NAPS % "fail", [1, 2, 3, 4])
    die_with(run_id, [0, 1, 2, 3])
    assert outcomes(run_id) == dict.fromkeys(range(4), ("retrying", ["lost"]))
    assert dispatcher.dispatch() == 0
    with observed() as seen:
        assert suspects.perform_due() == 4
    assert seen.count("claim_items") == 4
    drain()
    assert outcomes(run_id) == dict.fromkeys(range(4), ("succeeded", ["lost"]))
    assert result(run_id) == (4, 4)
    assert state(run_id) == "succeeded"


def test_an_item_that_kills_its_worker_is_given_up_and_its_neighbours_are_not_blamed() -> None:
    run_id = opened(NAPS % "fail", [1, 2, 3, 4])
    die_with(run_id, [0, 1, 2, 3])
    again = alone()
    suspects.perform([again[number] for number in (0, 2, 3)])
    for _ in range(sweep.MAX_LOST):
        assert outcomes(run_id)[1][0] == "retrying"
        die_with(run_id, [1])
    drain()
    assert outcomes(run_id) == {
        0: ("succeeded", ["lost"]),
        1: ("failed", ["lost"] * (1 + sweep.MAX_LOST)),
        2: ("succeeded", ["lost"]),
        3: ("succeeded", ["lost"]),
    }
    dead_letter = DeadLetter.objects.get(run_id=run_id)
    assert dead_letter.item == -1
    [named] = dead_letter.error["details"]["items"]
    assert (named["item"], named["error"]["kind"]) == (1, "lost")
    assert state(run_id) == "failed"


def test_a_poisonous_item_goes_again_alone_when_a_person_retries_it_and_the_others_keep_their_results() -> None:
    run_id = opened(NAPS % "fail", [1, 2, 3])
    for _ in range(1 + sweep.MAX_LOST):
        die_with(run_id, [1])
    Ticket.objects.update(knock_at=F("knock_at") - MINUTE)
    drain()
    rows = StepRun.objects.filter(run_id=run_id, step="each")
    assert dict(rows.values_list("item", "state")) == {-1: "failed", 0: "succeeded", 1: "failed", 2: "succeeded"}
    tried = dict(rows.values_list("item", "attempt"))
    dead_letter = DeadLetter.objects.get(run_id=run_id)
    assert dead_letters.retry([dead_letter.pk], actor=Actor(reason="the item was mended")) == {dead_letter.pk}
    sweep.wake()
    drain()
    assert (state(run_id), result(run_id)) == ("succeeded", (3, 3))
    assert dict(rows.exclude(item__in=[-1, 1]).values_list("item", "attempt")) == {0: tried[0], 2: tried[2]}
    assert outcomes(run_id)[1] == ("succeeded", ["lost"] * (1 + sweep.MAX_LOST)), "its history stays"
    assert not DeadLetter.objects.filter(state="open").exists()


def test_a_poisonous_item_among_others_does_not_fail_a_step_that_goes_on() -> None:
    run_id = opened(NAPS % "continue", [1, 2])
    for _ in range(1 + sweep.MAX_LOST):
        die_with(run_id, [0])
    Ticket.objects.update(knock_at=F("knock_at") - MINUTE)
    drain()
    assert [told[0] for told in outcomes(run_id).values()] == ["failed", "succeeded"]
    assert state(run_id) == "succeeded"
    assert not DeadLetter.objects.exists()


def test_computed_items_that_a_dead_child_had_in_hand_are_repeated_each_alone_and_counted_once() -> None:
    run_id = opened(
        'name: pure\nsteps: [{id: each, for_each: {items: "{{ input.rows }}"}, action: default}]', [1, 2, 3]
    )
    Ticket.objects.update(knock_at=F("knock_at") - MINUTE)
    dispatcher.dispatch()
    [message] = messages()
    assert [one.item for one in decode(message[1][0][0], head="each")] == [0, 1, 2]
    sweep.children_died([Death(pid=os.getpid(), runs=tuple(message[1][0][0]), head="each")])
    lease.give_up()
    again = alone()
    assert sorted(again) == [0, 1, 2]
    suspects.perform([*again.values(), *again.values()])
    perform(message)
    drain()
    assert result(run_id) == (3, 3)
    assert state(run_id) == "succeeded"
