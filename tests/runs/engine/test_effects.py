"""Effects of a step that are not to be made again: named ones, and those in the same database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import F

from actions import registry
from actions.base import Action, Config, Context, Json, Permanent, Retryable, Spawn
from runs.domain.candidates import Candidate
from runs.engine import lease, onward
from runs.engine import transactional as transactional_engine
from runs.maintenance.sweep import sweep
from runs.models import DeadLetter, Effect, Process
from runs.planning import plan as plans
from tests.engine import drain, messages
from tests.flows import begun, published, states, steps, the_run
from tests.runs.engine.test_engine_failures import HOUR, past

pytestmark = pytest.mark.django_db(transaction=True)

made: list[str] = []


class _TwoEffects(Action[Config]):
    """Charges, mails, and fails the first time in between."""

    name: ClassVar[str] = "two_effects"
    config_class: ClassVar[type[Config]] = Config

    def perform(self, config: Config, context: Context) -> Json:
        receipt = context.once("charge", lambda: self._make("charge", {"receipt": context.attempt}))
        if context.attempt == 1:
            raise Retryable("the mail server is away")
        context.once("mail", lambda: self._make("mail", None))
        return receipt

    def _make(self, effect: str, answer: Json) -> Json:
        made.append(effect)
        return answer


class _Nameless(_TwoEffects):
    name: ClassVar[str] = "nameless"

    def perform(self, config: Config, context: Context) -> Json:
        return context.once("", lambda: self._make("never", None))


class BookConfig(Config):
    amount: int
    then: str = ""
    fails: int = 0


class _Book(Action[BookConfig]):
    """Books an amount in a table of this database; `then` says what goes wrong after that."""

    name: ClassVar[str] = "book"
    transactional: ClassVar[bool] = True
    config_class: ClassVar[type[Config]] = BookConfig

    def perform(self, config: BookConfig, context: Context) -> Json:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO bookings VALUES (%s)", [config.amount])
            if config.then == "sql":
                cursor.execute("SELECT 1 / 0")
            if config.then == "slow":
                cursor.execute("SELECT pg_sleep(60)")
            if config.then == "cut":
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            if config.then == "lost":
                # Meanwhile the sweep has taken the step for lost and somebody else has it.
                cursor.execute("UPDATE runs_steprun SET process = %s WHERE state = 'running'", [uuid4()])
        if context.attempt <= config.fails:
            raise Permanent("after the booking") if config.then == "permanent" else Retryable("after the booking")
        return {"booked": config.amount}


class _BookAndCall(Action[BookConfig]):
    """Books, and lets another workflow do the rest."""

    name: ClassVar[str] = "book_and_call"
    transactional: ClassVar[bool] = True
    config_class: ClassVar[type[Config]] = BookConfig

    def perform(self, config: BookConfig, context: Context) -> Spawn:
        _Book().perform(config, context)
        return Spawn(workflow=config.then, input={})


@pytest.fixture(autouse=True)
def _their_actions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The actions above, as a user's own package would add them, and the table that one of them writes to."""
    for action in (_TwoEffects, _Nameless, _Book, _BookAndCall):
        monkeypatch.setitem(registry.ACTIONS, action.name, f"{__name__}.{action.__name__}")
    made.clear()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bookings (amount int CHECK (amount < 1000) )")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE bookings")


def booked() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT amount FROM bookings ORDER BY 1")
        return [row[0] for row in cursor.fetchall()]


def a_booking(options: str) -> str:
    return f"name: book\nsteps: [{{id: a, action: book, with: {{{options}}}}}, {{id: b, action: default}}]"


def test_an_effect_that_an_earlier_attempt_made_is_not_made_again() -> None:
    flow = published("name: two\nsteps: [{id: a, action: two_effects}]")
    [run_id] = begun(flow)
    drain()
    past()
    drain()
    row = steps(run_id)["a"]
    assert (row.state, row.attempt, row.output) == ("succeeded", 2, {"receipt": 1})
    assert made == ["charge", "mail"]
    assert list(Effect.objects.order_by("id").values_list("step", "name", "value")) == [
        ("a", "charge", {"receipt": 1}),
        ("a", "mail", None),
    ]


def test_runs_and_steps_keep_their_effects_apart() -> None:
    flow = published("name: apart\nsteps: [{id: a, action: two_effects}, {id: b, action: two_effects}]")
    begun(flow, {}, {})
    for _ in range(3):
        drain()
        past()
    assert sorted(made) == ["charge"] * 4 + ["mail"] * 4


def test_an_effect_without_a_name_fails_the_step_for_good() -> None:
    [run_id] = begun(published("name: nameless\nsteps: [{id: a, action: nameless}]"))
    drain()
    assert "name of an effect of step 'a'" in str(the_run(run_id).error)
    assert made == []


def test_a_booking_is_committed_with_its_record() -> None:
    runs = begun(published(a_booking("amount: '{{ input.n }}'")), {"n": 1}, {"n": 2})
    drain()
    assert booked() == [1, 2]
    assert [states(run_id) for run_id in runs] == [{"a": "succeeded", "b": "succeeded"}] * 2


@pytest.mark.parametrize("then", ["", "permanent"])
def test_a_booking_of_a_failed_attempt_is_rolled_back(then: str) -> None:
    [run_id] = begun(published(a_booking(f"amount: 1, fails: 1, then: '{then}'")))
    drain()
    assert booked() == []
    assert states(run_id)["a"] == ("failed" if then else "retrying")
    past()
    drain()
    assert booked() == ([] if then else [1]), "the second attempt books once"


def test_an_attempt_whose_own_sql_fails_is_recorded_as_failed() -> None:
    [run_id] = begun(published(a_booking("amount: 1, then: sql")))
    drain()
    row = steps(run_id)["a"]
    assert (row.state, row.attempts[0]["outcome"]) == ("retrying", "failed")
    assert "division by zero" in str(row.error)
    assert booked() == []


def test_a_statement_may_not_outlast_the_step() -> None:
    flow = published(
        "name: slow\n"
        "steps: [{id: a, action: book, with: {amount: 1, then: slow}, timeout: 0.2s, retry: {max_attempts: 1}}]"
    )
    [run_id] = begun(flow)
    drain()
    assert states(run_id)["a"] == "failed"
    assert "statement timeout" in DeadLetter.objects.get(run_id=run_id).error["message"]
    assert booked() == []


def test_a_booking_of_an_attempt_that_lost_its_fence_is_rolled_back() -> None:
    [run_id] = begun(published(a_booking("amount: 1, then: lost")))
    drain()
    # Rolled back with it: the row that told of the other process. The claim is given up as an orphan.
    assert booked() == []
    assert states(run_id)["a"] == "running"


def test_a_broken_connection_books_nothing_and_the_sweep_takes_the_step_up() -> None:
    [run_id] = begun(published(a_booking("amount: 1, then: cut")))
    drain()
    assert states(run_id)["a"] == "running"
    first = lease.unclaimed(lease.current())
    assert lease.give_up_unclaimed(lease.current(), before=first) == set()
    sweep()
    assert (states(run_id)["a"], booked()) == ("retrying", [])


def test_a_worker_that_was_taken_for_dead_cannot_book_once_more() -> None:
    [run_id] = begun(published(a_booking("amount: 1")))
    messages()
    plan = plans.load(the_run(run_id).version_id)
    frozen = lease.current()
    work = [one for _, one in onward.claimed([Candidate(run_id, -1, "a")], plan=plan, process=frozen)]
    Process.objects.filter(id=frozen).update(expires_at=F("expires_at") - HOUR)
    lease.give_up()
    sweep()
    drain()
    assert (states(run_id)["a"], booked()) == ("succeeded", [1])
    late = transactional_engine.perform(work, plan=plan, step=plan.steps["a"], process=frozen, onward=onward.NOWHERE)
    assert (late.won, booked()) == (frozenset(), [1])


def test_a_booking_that_undoes_a_step_is_made_once_though_its_first_attempt_fails() -> None:
    undo = "compensate: {action: book, with: {amount: 7, fails: 1}, retry: {max_attempts: 2, initial: 0s}}"
    flow = published(f"name: undo\nsteps: [{{id: a, action: default, {undo}}}, {{id: b, action: fail}}]")
    [run_id] = begun(flow)
    drain()
    assert (the_run(run_id).state, booked()) == ("compensated", [7])


def test_every_item_of_a_list_is_booked_once() -> None:
    each = 'for_each: {items: "{{ [3, 5, 2000] }}", on_item_error: continue}'
    flow = published(
        f"name: bookings\nsteps: [{{id: a, {each}, action: book, with: {{amount: '{{{{ item }}}}'}}, "
        "retry: {max_attempts: 2, initial: 0s}}]"
    )
    [run_id] = begun(flow)
    drain()
    assert (the_run(run_id).state, booked()) == ("succeeded", [3, 5])
    output = the_run(run_id).output
    assert output is not None
    assert (output["succeeded"], output["failed"]) == (2, 1)


@pytest.mark.parametrize(("called", "wanted"), [("child", "succeeded"), ("nobody", "failed")])
def test_a_booking_may_start_another_workflow(called: str, wanted: str) -> None:
    published("name: child\nsteps: [{id: a, action: default}]")
    flow = f"name: both\nsteps: [{{id: a, action: book_and_call, with: {{amount: 3, then: {called}}}}}]"
    [run_id] = begun(published(flow))
    drain()
    assert (the_run(run_id).state, booked()) == (wanted, [3] if wanted == "succeeded" else [])
