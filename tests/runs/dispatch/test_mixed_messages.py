"""One message for many branches, on its way from dispatch through the broker to the end of the run."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.db.models import F

from runs.dispatch import dispatcher, window
from runs.dispatch.compiler import decode, encode
from runs.domain.candidates import Candidate, heads_of
from runs.domain.outcomes import Death
from runs.maintenance import sweep
from runs.models import StepRun, Ticket
from runs.queries.database import observed
from runs.worker import delivery, polling
from tests.engine import deliver, drain, messages, perform, settle, state
from tests.flows import begun, states
from tests.runs.dispatch.fan_out import EFFECTFUL, PURE, fan_out, roots
from tests.runs.engine import held
from tests.runs.engine.test_engine_failures import past

pytestmark = pytest.mark.django_db(transaction=True)

Message = tuple[dict[str, Any], list[Any]]


@pytest.fixture(autouse=True)
def _a_quiet_system(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.DISPATCH_WINDOW_MESSAGES, settings.MIXED_MESSAGES = 8, True
    settings.PURE_BATCH_RUNS, settings.EFFECTFUL_BATCH_RUNS = 400, 100
    monkeypatch.setattr(dispatcher._last, "tickets", 8)
    window.forget()
    yield
    window.forget()


def told(message: Message) -> list[Candidate]:
    args, kwargs, _ = message[1]
    return decode(args[0], head=kwargs["head"])


def branches(found: Any, runs: int = 1) -> tuple[list[UUID], list[Message]]:
    """Runs whose first step is done, and the messages that were sent for their branches."""
    ids = begun(found, *({"n": number} for number in range(runs)))
    deliver()
    return ids, messages()


def performed() -> int:
    """Perform whatever is due until nothing is, and return how many messages that took."""
    sent = 0
    while True:
        settle()
        dispatcher.dispatch()
        found = messages()
        if not found:
            return sent
        for message in found:
            perform(message)
        sent += len(found)


@pytest.mark.parametrize(
    ("step", "after", "most"),
    # Of two links each: no other message lies in the broker when a delivery sends what follows, so this is spread too.
    [(PURE, None, 10), (EFFECTFUL, None, 10), (PURE, EFFECTFUL, 20), (EFFECTFUL, PURE, 20)],
)
def test_a_fan_out_of_300_branches_takes_ten_messages_at_most_to_its_end(step: Any, after: Any, most: int) -> None:
    [run_id] = begun(fan_out(300, step, after=after))
    assert performed() <= most
    drain()
    assert state(run_id) == "succeeded"
    rows = StepRun.objects.filter(run_id=run_id, attempt=1, state="succeeded")
    assert rows.count() == 302 + (0 if after is None else 300)


def test_the_branches_of_many_runs_share_full_messages_and_one_dispatch_takes_them_all() -> None:
    ids = begun(fan_out(200), *({"n": number} for number in range(10)))
    deliver()
    found = messages()
    while dispatcher.dispatch():
        found += messages()
    assert sum(len(told(message)) for message in found) == 2000
    assert len(found) <= 8
    for message in found:
        perform(message)
    drain()
    assert {state(run_id) for run_id in ids} == {"succeeded"}


def test_a_start_with_several_first_steps_sends_one_message() -> None:
    [run_id] = begun(roots(*[PURE] * 5))
    [message] = messages()
    assert sorted(one.head for one in told(message)) == ["b0", "b1", "b2", "b3", "b4"]
    assert "fresh" not in message[1][1]
    perform(message)
    assert state(run_id) == "succeeded"
    assert set(states(run_id)) == {"b0", "b1", "b2", "b3", "b4"}


def test_a_mixed_message_carries_no_chain_and_what_follows_is_sent_at_once() -> None:
    [run_id], found = branches(fan_out(3, EFFECTFUL, after=PURE))
    [message] = found
    assert [one.head for one in told(message)] == ["b0", "b1", "b2"]
    assert not message[1][2]["chain"]
    perform(message)
    [following] = messages()
    assert sorted(heads_of(told(following))) == ["c0", "c1", "c2"]
    perform(following)
    drain()
    assert state(run_id) == "succeeded"


def test_without_mixed_messages_only_what_the_version_before_understands_is_sent(settings: LazySettings) -> None:
    settings.MIXED_MESSAGES = False
    [run_id], found = branches(fan_out(6, EFFECTFUL, after=PURE))
    assert [message[1][0] for message in found] == [[[str(run_id)]]] * 6
    assert sorted(message[1][1]["head"] for message in found) == [f"b{number}" for number in range(6)]
    assert [[task["kwargs"]["head"] for task in message[1][2]["chain"]] for message in found] == [
        [message[1][1]["head"].replace("b", "c")] for message in found
    ]
    for message in found:
        perform(message)
    drain()
    assert state(run_id) == "succeeded"


def test_messages_of_the_version_before_are_understood() -> None:
    ids, found = branches(fan_out(2), runs=2)
    [message] = found
    headers, [_, kwargs, embed] = message
    for head in ("b0", "b1"):
        perform((headers, [[[str(run_id) for run_id in ids]], {**kwargs, "head": head}, embed]))
    drain()
    assert {state(run_id) for run_id in ids} == {"succeeded"}


def test_a_second_delivery_writes_nothing() -> None:
    [run_id], [message] = branches(fan_out(5))
    perform(message)
    before = list(StepRun.objects.filter(run_id=run_id).order_by("step").values())
    perform(message)
    assert list(StepRun.objects.filter(run_id=run_id).order_by("step").values()) == before
    drain()
    assert state(run_id) == "succeeded"


def test_steps_that_the_plan_does_not_know_cost_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    found = fan_out(3)
    [run_id], [message] = branches(found)
    candidates = told(message)
    texts = encode([candidates[0], Candidate(run_id, -1, "gone"), Candidate(run_id, 3, "away"), *candidates[1:]])
    with caplog.at_level(logging.WARNING):
        delivery.deliver(texts, version_id=found.version.pk, head=candidates[0].head)
    assert [(record.getMessage(), record.__dict__["head"]) for record in caplog.records] == [("knock_ignored", "gone")]
    drain()
    assert state(run_id) == "succeeded"


def test_a_chain_behind_several_heads_and_their_preloaded_data_are_ignored() -> None:
    found = fan_out(3, EFFECTFUL, after=PURE)
    [run_id], [message] = branches(found)
    texts, head = message[1][0][0], message[1][1]["head"]
    told_nothing = [[1, 1.0, "{}"]] * 3
    delivery.deliver(texts, version_id=found.version.pk, head=head, chain=["c0"], preloaded=told_nothing)
    drain()
    assert state(run_id) == "succeeded"
    assert set(StepRun.objects.filter(run_id=run_id).values_list("attempt", flat=True)) == {1}


def test_branches_are_claimed_by_one_statement_and_a_slow_one_holds_back_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with held.installed(monkeypatch), held.patient():
        [run_id] = begun(roots({"action": "held", "with": {"hold": True}}, EFFECTFUL))
        [message] = messages()
        with observed() as seen:
            perform(message)
        assert seen.count("claim") == 1
        assert states(run_id) == {"b0": "running", "b1": "succeeded"}
        held.Held.let_go.set()
        drain()
    assert state(run_id) == "succeeded"


def test_after_the_death_of_a_child_exactly_what_its_message_named_is_sent_again_alone() -> None:
    ids, found = branches(fan_out(3), runs=2)
    first, second = ids
    mine = [Candidate(first, -1, "b0"), Candidate(first, -1, "b2"), Candidate(second, -1, "b1")]
    assert sum(len(told(message)) for message in found) == 6
    texts = tuple(encode(mine))
    sweep.children_died(
        [
            Death(pid=os.getpid(), runs=("no run",), head="b0"),
            Death(pid=os.getpid(), runs=texts, head="b0"),
            Death(pid=None, runs=(str(second),), head="b\x00"),
        ]
    )
    suspects = Ticket.objects.filter(suspect=True).values_list("run_id", "item", "head")
    assert set(suspects) == set(mine)
    Ticket.objects.update(knock_at=F("due_at"))
    dispatcher.dispatch()
    assert [len(told(message)) for message in messages()] == [3], "no message is sent for suspects"
    past()
    drain()
    assert {state(run_id) for run_id in ids} == {"succeeded"}


def test_items_of_several_lists_share_a_message() -> None:
    each = {**EFFECTFUL, "for_each": {"items": [1, 2, 3], "max_parallel": 3}}
    [run_id] = begun(roots(each, each))
    [lists] = messages()
    assert sorted(told(lists)) == [Candidate(run_id, -1, "b0"), Candidate(run_id, -1, "b1")]
    perform(lists)
    [items] = messages()
    assert sorted(told(items)) == [Candidate(run_id, item, head) for item in range(3) for head in ("b0", "b1")]
    assert "/1@b1" in items[1][0][0] or "/1@b0" in items[1][0][0]
    perform(items)
    drain()
    assert state(run_id) == "succeeded"


def test_branches_are_polled_without_a_broker(settings: LazySettings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    window.forget()
    [run_id] = begun(fan_out(30, EFFECTFUL, after=PURE))
    rounds = 0
    while state(run_id) != "succeeded":
        sweep.sweep(send=polling.poll)
        rounds += 1
        assert rounds < 50
    assert set(states(run_id).values()) == {"succeeded"}
    assert json.dumps(sorted(states(run_id))).count("b") == 30
