"""Every workspace has its turn while another one has a long backlog: what is picked, admitted, sent and performed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, ClassVar
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.test import override_settings

from actions import registry
from actions.base import Action, Config, Context, Json
from runs.control import pauses
from runs.dispatch import dispatcher, knocks, shares, window
from runs.domain.actor import Actor
from runs.domain.candidates import Candidate
from runs.domain.requests import Due
from runs.engine import executor
from runs.models import Run, Ticket
from runs.planning import plan as plans
from runs.queries.database import observed
from tests.engine import drain, messages, perform
from tests.flows import begun, owner, published, queued, the_run, workspace
from workflows.formats import parse
from workflows.publishing.publish import Published, publish

pytestmark = pytest.mark.django_db(transaction=True)

PURE = "name: pure\nsteps: [{id: a, action: default}]"
A, B, C = (UUID(int=number) for number in range(1, 4))


def _wide(width: int) -> str:
    lines = "\n".join(f"  - {{id: b{n}, needs: [root], action: default}}" for n in range(width))
    return f"name: wide{width}\nsteps:\n  - {{id: root, action: default}}\n{lines}"


def _in(name: str, text: str) -> Published:
    return publish(parse.load(text).document, workspace=workspace(name), owner=owner())


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process that has not dispatched yet, and with an empty broker."""
    monkeypatch.setattr(dispatcher._last, "tickets", 8)
    monkeypatch.setattr(shares._look, "not_before", 0.0)
    monkeypatch.setattr(shares._look, "after", shares._NOBODY)
    shares._forget()
    messages()
    window.forget()
    yield
    messages()
    window.forget()
    shares._forget()


def _due(flow: Published, *inputs: Any) -> list[UUID]:
    """Runs whose tickets are due, with no message in the broker."""
    with override_settings(PURE_BATCH_RUNS=400, DISPATCH_WINDOW_MESSAGES=100):
        runs = begun(flow, *inputs)
    messages()
    window.forget()
    Ticket.objects.filter(run_id__in=runs).update(knock_at="2020-01-01T00:00:00Z", sends=0)
    return runs


def _backlog(count: int, *, name: str = "default") -> list[UUID]:
    return _due(_in(name, PURE), *[{"n": n} for n in range(count)])


def _runs(found: list[list[Due]]) -> set[UUID]:
    return {ticket.run_id for message in found for ticket in message}


@pytest.mark.parametrize("room", [1, 2, 4])
def test_tickets_of_another_workspace_come_before_a_backlog_longer_than_a_look(
    room: int, settings: LazySettings
) -> None:
    settings.PURE_BATCH_RUNS = 4
    _backlog(40)
    [other] = _backlog(1, name="other")
    Ticket.objects.filter(run_id=other).update(knock_at="2021-01-01T00:00:00Z")
    assert other in _runs(dispatcher.take(room, spread=1))


def test_tickets_of_another_workspace_come_before_a_backlog_that_one_look_sees_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatcher._last, "tickets", 100)
    flows = [_in("default", PURE.replace("pure", f"pure{n}")) for n in range(5)]
    for flow in flows:
        _due(flow, *[{}] * 10)
    [other] = _backlog(1, name="other")
    Ticket.objects.filter(run_id=other).update(knock_at="2021-01-01T00:00:00Z")
    with observed() as seen:
        found = dispatcher.take(1, spread=1)
    assert _runs(found) == {other}
    assert "peek_shares" not in seen


def test_of_several_other_workspaces_the_one_with_the_fewest_tickets_is_first(settings: LazySettings) -> None:
    settings.PURE_BATCH_RUNS = 20
    _backlog(60)
    some = _backlog(9, name="some")
    [one] = _backlog(1, name="one")
    Ticket.objects.filter(run_id__in=[*some, one]).update(knock_at="2021-01-01T00:00:00Z")
    assert _runs(dispatcher.take(1, spread=1)) == {one}
    found = _runs(dispatcher.take(1, spread=1))
    assert len(found) == 8
    assert found < set(some)


def test_a_fan_out_keeps_no_run_of_another_workspace_waiting(settings: LazySettings) -> None:
    settings.PURE_BATCH_RUNS = 8
    [wide] = begun(published(_wide(100)))
    for message in messages():
        perform(message)
    messages()
    window.forget()
    Ticket.objects.filter(run_id=wide).update(knock_at="2020-01-01T00:00:00Z", sends=0)
    assert Ticket.objects.filter(run_id=wide).count() == 100
    shares._look.not_before = 0.0  # the look when there was no other workspace yet was a while ago
    [other] = _backlog(1, name="other")
    Ticket.objects.filter(run_id=other).update(knock_at="2021-01-01T00:00:00Z")
    assert other in _runs(dispatcher.take(1, spread=1))


def test_while_only_one_workspace_has_runs_others_are_looked_for_now_and_then_only(settings: LazySettings) -> None:
    settings.PURE_BATCH_RUNS = 4
    _backlog(60)
    with observed() as seen:
        for _ in range(5):
            assert dispatcher.take(1, spread=1)
    assert seen.count("peek") >= 5
    assert seen.count("peek_shares") <= 1


def test_without_a_backlog_nothing_more_is_asked() -> None:
    _backlog(3)
    _backlog(2, name="other")
    with observed() as seen:
        dispatcher.take(8, spread=1)
    assert seen == ["peek", "pick"]


def test_a_paused_run_and_a_suspect_are_not_looked_for(settings: LazySettings) -> None:
    settings.PURE_BATCH_RUNS = 4
    _backlog(40)
    held, suspect = _backlog(2, name="other")
    pauses.pause([held], actor=Actor())
    Ticket.objects.filter(run_id=suspect).update(suspect=True)
    assert not {held, suspect} & _runs(dispatcher.take(2, spread=1))


@pytest.mark.parametrize("room", [1, 2, 8])
def test_queued_runs_are_admitted_though_due_tickets_fill_the_room(room: int, settings: LazySettings) -> None:
    settings.PURE_BATCH_RUNS = 4
    _backlog(100)
    [other] = queued(_in("other", PURE))
    window.forget()
    found = _runs(dispatcher.take(room, spread=1)) | _runs(dispatcher.take(room, spread=1))
    assert other in found
    assert the_run(other).state == "running"


def test_few_queued_runs_are_admitted_behind_a_backlog(settings: LazySettings) -> None:
    settings.PURE_BATCH_RUNS = 4
    _backlog(100)
    more = queued(published(PURE.replace("pure", "more")), *[{}] * 50)
    window.forget()
    for _ in range(2):
        dispatcher.take(1, spread=1)
    assert Run.objects.filter(id__in=more, state="running").count() == 8


def test_who_had_little_of_this_processs_time_goes_first() -> None:
    assert not shares.goes_first(A), "alone"
    shares.spend(A, 1.0)
    assert not shares.goes_first(A)
    shares.spend(B, 0.2)
    assert shares.goes_first(B)
    assert shares.goes_first(C), "and so does a new one"
    assert not shares.goes_first(A)
    shares.spend(B, 0.2)
    assert not shares.goes_first(B), "more than half of its share: it waits its turn"


def test_time_that_was_spent_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "_HALF_LIFE_SECONDS", 0.01)
    shares.spend(A, 1.0)
    time.sleep(0.3)
    shares.spend(B, 0.01)
    assert not shares.goes_first(B)


def test_a_message_that_goes_first_is_taken_before_those_that_are_in_the_broker() -> None:
    plan = plans.load(published(PURE).version.pk)
    for number in (1, 2):
        knocks.send([knocks.Knock(plan, [Candidate(UUID(int=number), -1, "a")])])
    knocks.send([knocks.Knock(plan, [Candidate(UUID(int=3), -1, "a")])], first=True)
    assert [body[0][0] for _, body in messages()] == [[str(UUID(int=number))] for number in (3, 1, 2)]


def test_dispatch_sends_first_what_had_little_time_if_others_are_before_it() -> None:
    mine, theirs = _in("default", PURE), _in("other", PURE)
    [first] = begun(mine)
    assert the_run(first).state == "running"
    shares.spend(workspace().pk, 1.0)
    [other] = queued(theirs)
    window.forget()
    assert dispatcher.dispatch() == 1
    assert [body[0][0] for _, body in messages()] == [[str(other)], [str(first)]]


class Slow(Action[Config]):
    """A pure step that computes for a while."""

    name: ClassVar[str] = "slow"
    pure: ClassVar[bool] = True
    config_class: ClassVar[type[Config]] = Config

    def perform(self, config: Config, context: Context) -> Json:
        ends = time.monotonic() + 0.05
        while time.monotonic() < ends:
            pass
        return None


@pytest.mark.parametrize("text", ["name: slow\nsteps: [{id: a, action: slow}]", ""])
def test_a_message_of_slow_pure_steps_hands_back_what_it_cannot_do_in_its_time(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.ACTIONS, "slow", f"{__name__}.Slow")
    monkeypatch.setattr(executor, "INLINE_SECONDS", 0.1)
    monkeypatch.setattr(executor, "BUDGET_SECONDS", 0.1)
    monkeypatch.setattr(executor, "SHORT_BUDGET_SECONDS", 0.1)
    if text:
        runs = begun(published(text), *[{}] * 30)
        found = messages()
    else:  # the branches of a fan-out share a message
        runs = begun(published(_wide(30).replace("root], action: default", "root], action: slow")))
        for message in messages():
            perform(message)
        found = messages()
    before = Ticket.objects.filter(run_id__in=runs).count()
    assert before == 30
    perform(found[0])
    left = Ticket.objects.filter(run_id__in=runs)
    assert 0 < left.count() < before
    assert not left.filter(suspect=True).exists()
    for message in found[1:]:
        perform(message)
    drain()
    assert {the_run(run_id).state for run_id in runs} == {"succeeded"}
