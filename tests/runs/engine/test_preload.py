"""A new run's first knock says what a load would find, and nothing rests on its being true or new."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from celery import current_app
from celery.app.trace import trace_task
from django.conf import LazySettings
from django.db import OperationalError
from django.db.models import F

from runs.control import inserts, pauses, stops
from runs.dispatch import dispatcher
from runs.domain import actor
from runs.engine import preload
from runs.models import StepRun, Ticket
from runs.queries.database import observed, run
from runs.worker import delivery, tasks
from tests.engine import deliver, drain, messages, perform, state
from tests.flows import begun, published, states, steps, the_run

pytestmark = pytest.mark.django_db(transaction=True)

TOLD = """
name: told
steps:
  - {id: a, action: transform, with: {set: {whole: "{{ input }}", said: "it is {{ input }}"}}}
  - {id: b, action: transform, with: {set: {at: "{{ run.started_at }}"}}}
"""


@pytest.fixture(autouse=True)
def the_clock_is_known() -> Iterator[None]:
    """This process has loaded a moment ago, and so knows the database's time."""
    messages()
    begun(published("name: first\nsteps: [{id: a, action: default}]"))
    deliver()
    yield
    messages()


def seen_in_delivery() -> list[str]:
    with observed() as seen:
        deliver()
    return seen


@pytest.mark.parametrize("given", [{"bb": 1, "a": [1.0, 1e16, -0.0, 'ü\n"<body>']}, [], "text", 0, None])
def test_what_is_told_comes_to_the_same_as_what_is_loaded(settings: LazySettings, given: Any) -> None:
    flow = published(TOLD)
    [told] = begun(flow, given)
    assert "load" not in seen_in_delivery()
    settings.KNOCK_INPUT_BYTES = 0
    [loaded] = begun(flow, given)
    assert "load" in seen_in_delivery()
    assert state(told) == state(loaded) == "succeeded"
    assert steps(told)["a"].output == steps(loaded)["a"].output
    assert the_run(told).started_at <= steps(told)["a"].started_at <= steps(told)["b"].finished_at  # type: ignore[operator]


def test_an_input_that_is_too_long_stays_in_the_database(settings: LazySettings) -> None:
    flow = published(TOLD)
    begun(flow, {"long": "x" * settings.KNOCK_INPUT_BYTES})
    [(_, [_, kwargs, _])] = messages()
    assert "fresh" not in kwargs


def test_a_message_of_many_runs_stays_within_its_bounds(settings: LazySettings) -> None:
    flow = published(TOLD)
    begun(flow, *({"quotes": '"' * 80} for _ in range(100)))
    assert ["fresh" in kwargs for _, [_, kwargs, _] in messages()] == [False]
    begun(flow, *({"n": n} for n in range(20)))
    [(_, [[keys], kwargs, _])] = messages()
    assert len(keys) == len(kwargs["fresh"]) == 20


def test_a_ticket_of_another_run_is_no_fence_and_is_left_to_its_own() -> None:
    ids = begun(published(TOLD), {"n": 1}, {"n": 2})
    [message] = messages()
    first, second = message[1][1]["fresh"]
    first[0], second[0] = second[0], first[0]
    perform(message)
    assert not StepRun.objects.filter(run_id__in=ids).exists()
    assert set(Ticket.objects.values_list("run_id", flat=True)) == set(ids)
    Ticket.objects.update(knock_at=F("due_at"))
    drain()
    assert {state(run_id) for run_id in ids} == {"succeeded"}


def test_the_second_of_two_deliveries_writes_nothing() -> None:
    [run_id] = begun(published(TOLD), {"n": 1})
    [message] = messages()
    perform(message)
    before = list(StepRun.objects.filter(run_id=run_id).values())
    perform(message)
    assert list(StepRun.objects.filter(run_id=run_id).values()) == before
    assert state(run_id) == "succeeded"


def test_a_run_that_is_paused_before_its_knock_arrives_is_not_begun() -> None:
    [run_id] = begun(published(TOLD), {"n": 1})
    pauses.pause([run_id], actor=actor.Actor())
    deliver()
    assert states(run_id) == {}
    pauses.resume([run_id], actor=actor.Actor())
    drain()
    assert state(run_id) == "succeeded"


def test_a_run_that_is_cancelled_before_its_knock_arrives_stays_cancelled() -> None:
    [run_id] = begun(published(TOLD), {"n": 1})
    stops.cancel([run_id], actor=actor.Actor())
    deliver()
    assert (state(run_id), states(run_id)) == ("cancelled", {})


def test_what_was_told_of_an_older_ticket_is_refused() -> None:
    [run_id] = begun(published(TOLD), {"n": 1})
    [message] = messages()
    Ticket.objects.filter(run_id=run_id).update(id=10**12)
    perform(message)
    assert states(run_id) == {}
    Ticket.objects.filter(run_id=run_id).update(knock_at="2020-01-01T00:00Z")
    dispatcher.dispatch()
    deliver()
    assert state(run_id) == "succeeded"


@pytest.mark.parametrize(
    "told", [[[1]], [None], [[1, 2.0, "{}"], [1, 2.0, "{}"]], [["1", 2.0, "{}"]], [[1, 2.0, {}]], {"a": 1}, [7]]
)
def test_what_makes_no_sense_is_loaded_instead(told: Any) -> None:
    [run_id] = begun(published(TOLD), {"n": 1})
    [(headers, [args, kwargs, embed])] = messages()
    perform((headers, [args, {**kwargs, "fresh": told}, embed]))
    assert state(run_id) == "succeeded"


def test_a_process_that_does_not_know_the_time_asks() -> None:
    preload._clock_seen.clock = None
    [run_id] = begun(published(TOLD), {"n": 1})
    assert "load" in seen_in_delivery()
    [again] = begun(published(TOLD), {"n": 1})
    assert "load" not in seen_in_delivery()
    assert state(run_id) == state(again) == "succeeded"


def test_steps_that_reach_outside_are_claimed_as_ever() -> None:
    [run_id] = begun(published("name: nap\nsteps: [{id: a, action: sleep, with: {seconds: 0}}]"), {"n": 1})
    [message] = messages()
    assert "fresh" not in message[1][1]
    perform(message)
    assert state(run_id) == "succeeded"


def test_a_large_input_does_not_come_back_from_the_database(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = published(
        "name: roots\nsteps:\n  - {id: a, needs: [], action: default}\n  - {id: b, needs: [], action: default}"
    )
    found: list[list[Any]] = []

    def watched(statement: Any, **params: Any) -> list[Any]:
        found.append(rows := run(statement, **params))
        return rows

    monkeypatch.setattr(inserts, "run", watched)
    begun(flow, {"long": "ü" * settings.KNOCK_INPUT_BYTES})
    begun(flow, {"n": 1})
    assert [[row[4] for row in rows] for rows in found[:2]] == [[None, None], ['{"n": 1}', '{"n": 1}']]


def test_a_number_that_the_database_writes_in_many_digits_is_not_told() -> None:
    begun(published(TOLD), {"n": [1e300] * 20})
    assert "fresh" not in messages()[0][1][1]


def test_a_step_that_waits_for_a_moment_is_not_told_of() -> None:
    [run_id] = begun(published("name: wait\nsteps: [{id: a, action: wait, with: {seconds: 3600}}]"))
    assert "load" in seen_in_delivery()
    assert states(run_id) == {"a": "waiting"}


def test_a_message_that_was_delivered_before_is_loaded() -> None:
    [run_id] = begun(published(TOLD), {"n": 1})
    [(headers, [args, kwargs, embed])] = messages()
    request = {**headers, "chain": embed["chain"], "delivery_info": {"redelivered": True}, "is_eager": False}
    with observed() as seen:
        trace_task(tasks.advance, headers["id"], args, kwargs, request=request, app=current_app)
    assert "load" in seen
    assert state(run_id) == "succeeded"


def test_a_delivery_that_is_repeated_takes_no_input_along(monkeypatch: pytest.MonkeyPatch) -> None:
    begun(published(TOLD), {"secret": 1})
    [message] = messages()

    def away(*_: Any, **__: Any) -> list[str]:
        raise OperationalError("the database is away")

    monkeypatch.setattr(delivery, "deliver", away)
    with suppress(Exception):
        perform(message)
    [(_, [args, kwargs, _])] = messages()
    assert args == message[1][0]
    assert "fresh" not in kwargs
