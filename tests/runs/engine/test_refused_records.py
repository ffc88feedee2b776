"""A result that the database does not take: only a refusal of the value fails the step, all else is tried again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest
from django.db import connection

from actions import registry
from actions.base import Action, Config, Context, Json
from runs.models import DeadLetter
from tests.engine import deliver, drain, messages
from tests.flows import begun, published, steps, the_run
from tests.runs.engine.refusing import accept, refusing
from tests.runs.engine.test_engine_failures import past
from tests.runs.locks import in_thread
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

# Read-only transaction, undefined column and table, feature not supported, unknown and doubled prepared statement,
# internal error, a transaction that failed, a constraint, a disk that is full, and a server that shuts down.
PASSING = ("25006", "42703", "42P01", "0A000", "26000", "42P05", "XX000", "25P02", "23514", "53100", "57P01")
# Untranslatable character, number and date out of range, a value that is too large, one that is too deep.
OF_THE_VALUE = ("22P05", "22003", "22008", "54000", "54001")

INLINE = """
name: refused-inline
steps: [{id: a, action: transform, with: {set: {n: "{{ input.n }}"}}}]
"""
CLAIMED = """
name: refused-claimed
steps: [{id: a, action: test_answer, with: {n: "{{ input.n }}"}, retry: none}]
"""
IN_A_GRAPH = """
name: refused-graph
steps:
  - {id: first, action: transform, with: {set: {x: 1}}}
  - {id: a, needs: [first], action: test_answer, with: {n: "{{ input.n }}"}, retry: none}
  - {id: b, needs: [first], action: default}
  - {id: last, needs: [a, b], action: default}
"""


class AnswerConfig(Config):
    n: int


class Answer(Action[AnswerConfig]):
    """Returns its config, as an effect that happened; `calls` counts how often."""

    name: ClassVar[str] = "test_answer"
    summary: ClassVar[str] = "Return a number"
    output: ClassVar[str] = "the number"
    config_class: ClassVar[type[Config]] = AnswerConfig
    calls: ClassVar[list[int]] = []

    def perform(self, config: AnswerConfig, context: Context) -> Json:
        Answer.calls.append(config.n)
        return {"n": config.n}


@pytest.fixture(autouse=True)
def _answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(registry.ACTIONS, Answer.name, f"{__name__}.Answer")
    Answer.calls.clear()
    yield
    connection.close()


@pytest.mark.parametrize(("text", "code"), [*((CLAIMED, code) for code in PASSING), (IN_A_GRAPH, "25006")])
def test_an_effect_is_recorded_once_the_server_takes_it_and_is_not_repeated(text: str, code: str) -> None:
    good, refused = begun(published(text), {"n": 1}, {"n": 2})
    with refusing(code), in_thread(drain):
        wait_for(lambda: 2 in Answer.calls, what="the effect")
        wait_for(lambda: steps(refused)["a"].state == "running", what="the step under way")
        accept()
    drain()
    assert [the_run(one).state for one in (good, refused)] == ["succeeded", "succeeded"]
    assert sorted(Answer.calls) == [1, 2]
    assert (steps(refused)["a"].attempt, steps(refused)["a"].output) == (1, {"n": 2})
    assert not DeadLetter.objects.exists()


@pytest.mark.parametrize("code", PASSING)
def test_a_pure_step_is_performed_again_once_the_server_takes_its_result(code: str) -> None:
    good, refused = begun(published(INLINE), {"n": 1}, {"n": 2})
    with refusing(code):
        deliver()
        assert steps(refused) == {}
    messages()  # Celery's retry of the message is lost, too
    past()
    drain()
    assert [the_run(one).state for one in (good, refused)] == ["succeeded", "succeeded"]
    assert not DeadLetter.objects.exists()


@pytest.mark.parametrize("code", OF_THE_VALUE)
@pytest.mark.parametrize("text", [INLINE, CLAIMED], ids=["inline", "claimed"])
def test_a_value_that_is_refused_fails_its_step(text: str, code: str) -> None:
    good, refused = begun(published(text), {"n": 1}, {"n": 2})
    with refusing(code):
        drain()
    assert [the_run(one).state for one in (good, refused)] == ["succeeded", "failed"]
    assert DeadLetter.objects.get(run_id=refused).reason == "unrecordable"
