"""Which tickets share a message."""

from __future__ import annotations

import logging
from typing import ClassVar
from uuid import uuid4

import pytest
from django.conf import LazySettings

from actions import registry
from actions.base import Action, Config, Context, Json
from runs.dispatch import knocks, window
from runs.dispatch.grouping import grouped, needed, spread_over
from runs.domain.requests import Due
from runs.planning import plan as plans
from tests.engine import messages
from tests.runs.dispatch.fan_out import EFFECTFUL, PURE, due, roots, shapes

pytestmark = pytest.mark.django_db(transaction=True)

BOOKED = {"action": "booked"}
EACH = {**EFFECTFUL, "for_each": {"items": [1, 2, 3]}}


class _Booked(Action[Config]):
    name: ClassVar[str] = "booked"
    config_class: ClassVar[type[Config]] = Config
    transactional: ClassVar[bool] = True

    def perform(self, config: Config, context: Context) -> Json:
        return None


@pytest.fixture(autouse=True)
def _two_children(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DISPATCH_WINDOW_MESSAGES, settings.MIXED_MESSAGES = 8, True
    settings.PURE_BATCH_RUNS, settings.EFFECTFUL_BATCH_RUNS = 400, 100
    monkeypatch.setitem(registry.ACTIONS, _Booked.name, f"{__name__}.{_Booked.__name__}")


def names(count: int) -> list[str]:
    return [f"b{number}" for number in range(count)]


def test_a_head_with_eight_tickets_has_a_message_of_its_own_and_smaller_ones_share() -> None:
    found = roots(PURE, PURE, PURE, PURE)
    tickets = [*due(found, "b0"), *due(found, "b1"), *(one for _ in range(8) for one in due(found, "b2", "b3"))][:-1]
    assert shapes(grouped(tickets, room=8, spread=4)) == [(8, 3), (1, 1), (8, 1)]
    assert grouped(tickets, room=8, spread=4)[0] == [tickets[0], tickets[1], *tickets[3::2][:6]]


def test_the_only_head_that_is_due_of_its_version_keeps_its_own_message() -> None:
    first, second = roots(PURE, PURE), roots(PURE, PURE)
    tickets = [*due(first, "b0"), *due(second, "b0"), *due(first, "b0"), *due(second, "b1")]
    assert shapes(grouped(tickets, room=8, spread=4)) == [(2, 1), (2, 2)]


def test_only_what_is_performed_in_the_same_way_shares_a_message() -> None:
    found = roots(PURE, PURE, EFFECTFUL, EFFECTFUL, BOOKED, BOOKED, EACH, EACH)
    tickets = [*due(found, *names(8)), *due(found, "b6", "b7", items=[0, 1])]
    inline, effectful, booked, items = grouped(tickets, room=8, spread=4)
    assert [ticket.head for ticket in inline] == ["b0", "b1", "b6", "b7"], "a list is made without a claim"
    assert [ticket.head for ticket in effectful] == ["b2", "b3"]
    assert [ticket.head for ticket in booked] == ["b4", "b5"]
    assert [(ticket.head, ticket.item) for ticket in items] == [("b6", 0), ("b6", 1), ("b7", 0), ("b7", 1)]


@pytest.mark.parametrize(
    ("step", "count", "room", "more", "sizes"),
    [
        (PURE, 300, 8, False, [75] * 4),
        (EFFECTFUL, 300, 8, False, [75] * 4),
        (PURE, 20, 8, False, [8, 8, 4]),
        (PURE, 7, 8, False, [7]),
        (EFFECTFUL, 450, 8, False, [100] * 4 + [50]),
        # No more messages than can be sent.
        (PURE, 300, 1, False, [300]),
        # All children get some of what was not read.
        (PURE, 500, 8, True, [400, 100]),
        (EFFECTFUL, 300, 8, True, [100] * 3),
    ],
)
def test_few_tickets_are_spread_over_the_children_and_many_fill_messages(
    step: dict[str, object], count: int, room: int, more: bool, sizes: list[int]
) -> None:
    found = roots(*[step] * count)
    tickets = due(found, *names(count))
    messages = grouped(tickets, room=room, spread=4, more=more)
    assert [len(message) for message in messages] == sizes
    assert [ticket for message in messages for ticket in message] == tickets


def test_messages_that_wait_already_count_as_some_of_those_that_the_children_get(settings: LazySettings) -> None:
    assert [spread_over(waiting=waiting) for waiting in (0, 1, 3, 4, 8)] == [4, 3, 1, 1, 1]
    settings.DISPATCH_WINDOW_MESSAGES = 1
    assert spread_over() == 1


def test_heads_that_need_twice_the_room_share_though_each_has_many_tickets() -> None:
    found = roots(*[PURE] * 40)
    tickets = [one for _ in range(10) for one in due(found, *names(40))]
    assert shapes(grouped(tickets, room=20, spread=4)) == [(10, 1)] * 40
    assert shapes(grouped(tickets, room=8, spread=4)) == [(100, 40)] * 4
    assert shapes(grouped(tickets, room=1, spread=4, more=True)) == [(400, 40)]


def test_a_batch_of_one_shares_nothing(settings: LazySettings) -> None:
    settings.EFFECTFUL_BATCH_RUNS = 1
    found = roots(EFFECTFUL, EFFECTFUL)
    assert shapes(grouped(due(found, "b0", "b1"), room=8, spread=4)) == [(1, 1), (1, 1)]


def test_without_mixed_messages_each_head_has_its_own(settings: LazySettings) -> None:
    settings.MIXED_MESSAGES = False
    found = roots(PURE, PURE)
    tickets = [*due(found, "b0", "b1"), *due(found, "b0")]
    assert shapes(grouped(tickets, room=1, spread=4)) == [(2, 1), (1, 1)]
    assert needed(plans.load(found.version.pk), runs=1) == 2


@pytest.mark.parametrize("runs", [1, 2, 7, 8, 500])
def test_a_start_is_told_how_many_messages_its_first_tickets_make(runs: int) -> None:
    for steps in ([PURE], [PURE, EFFECTFUL], [PURE] * 3 + [EFFECTFUL] * 20 + [BOOKED]):
        found = roots(*steps)
        tickets = [one for _ in range(runs) for one in due(found, *names(len(steps)))]
        assert needed(plans.load(found.version.pk), runs=runs) == len(grouped(tickets, room=100, spread=spread_over()))


def test_tickets_of_a_step_that_nobody_knows_hold_back_no_others(caplog: pytest.LogCaptureFixture) -> None:
    found = roots(PURE, PURE)
    unknown = Due(0, uuid4(), -1, uuid4(), "b0")
    tickets = [unknown, *due(found, "gone", "b0", "b1")]
    with caplog.at_level(logging.ERROR):
        assert grouped(tickets, room=8, spread=4) == [tickets[2:]]
    assert [record.getMessage() for record in caplog.records] == ["version_unusable"] * 2
    assert len({record.__dict__["version_id"] for record in caplog.records}) == 2


def test_no_message_is_larger_than_32_kb_however_long_the_ids_are() -> None:
    messages()
    steps = [{"id": "x" * 60 + f"{number:04}", **PURE} for number in range(800)]
    found = roots(*steps)
    plan = plans.load(found.version.pk)
    ids = [str(step["id"]) for step in steps]
    per_run = due(found, *ids)
    per_head = [one for head in ids for one in due(found, head)]
    groups = [*grouped(per_run, room=1, spread=1), *grouped(per_head, room=1, spread=1)]
    assert sum(len(group) for group in groups) == 1600
    assert len(groups) == 10
    knocks.send([knocks.Knock(plan, [ticket.candidate for ticket in group]) for group in groups])
    sizes = []
    while (text := window._client().rpop(window._queue())) is not None:
        sizes.append(len(text))
    assert len(sizes) == len(groups)
    assert 25_000 < max(sizes) < 32 * 1024
