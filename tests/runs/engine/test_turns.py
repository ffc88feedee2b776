"""Threads whose expressions take long compute one at a time, in turn between workspaces."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from uuid import UUID

import pytest
from django.conf import LazySettings

from actions import expressions
from runs.engine import turns
from runs.engine.turns import Turn
from tests.engine import deliver, drain
from tests.flows import begun, owner, published, states, the_run, workspace
from tests.waiting import wait_for
from workflows.formats import parse
from workflows.publishing.publish import publish

A, B, C = (UUID(int=number) for number in range(1, 4))
# Takes several slices of work; the other one takes none.
_LONG = "{{ range(4000)|select('in', range(4000)|list|reverse)|list|length - 4000 }}"
_ENDLESS = "{{ " + " + ".join(["(range(10000)|select('in', range(10000)|list|reverse)|list|length)"] * 8) + " }}"
_SHORT = "{{ [1, 2]|length - 2 }}"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    turns._forget()
    yield
    assert turns._Process.turns._now is None, "every turn was given back"
    assert not turns._Process.turns._waiting


class _Threads:
    """Threads that take turns, and put their names into `had` as they get them."""

    def __init__(self) -> None:
        self.had: SimpleQueue[str] = SimpleQueue()
        self.asked = 0

    def begins(self, name: str, *, of: UUID) -> Turn:
        """A thread that asks for a turn, and the turn, once it has it or waits for it."""
        turn = Turn(of)
        threading.Thread(target=self._take, args=(name, turn), daemon=True).start()
        self.asked += 1
        wait_for(lambda: _there() == self.asked, what=f"{name} to ask for its turn")
        return turn

    def goes_on(self, name: str, turn: Turn) -> None:
        """Let the one that computes ask again, as it does before each slice."""
        threading.Thread(target=self._take, args=(name, turn), daemon=True).start()

    def ends(self, turn: Turn) -> None:
        self.asked -= 1
        turn.give_back()

    def next(self) -> str:
        """Whose turn began; an empty text if nobody's."""
        try:
            return self.had.get(timeout=0.2 if self.asked == _there() else 5)
        except Empty:
            return ""

    def _take(self, name: str, turn: Turn) -> None:
        turn.take()
        self.had.put(name)


def _there() -> int:
    now = turns._Process.turns
    return (now._now is not None) + sum(len(waiting) for waiting in now._waiting.values())


def test_one_computes_at_a_time_and_workspaces_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = _Threads()
    first = threads.begins("a1", of=A)
    assert threads.next() == "a1"
    second, third = threads.begins("a2", of=A), threads.begins("a3", of=A)
    other, last = threads.begins("b", of=B), threads.begins("c", of=C)
    assert threads.next() == ""
    monkeypatch.setattr(turns, "_MOMENT_SECONDS", 60.0)
    threads.goes_on("a1", first)
    assert threads.next() == "a1", "its moment is not over"
    monkeypatch.setattr(turns, "_MOMENT_SECONDS", 0.0)
    threads.goes_on("a1", first)
    assert threads.next() == "b", "not one of the same workspace, however long it has waited"
    threads.ends(other)
    assert threads.next() == "c"
    threads.ends(last)
    assert threads.next() == "a1", "it goes on before others of its workspace begin"
    threads.goes_on("a1", first)
    assert threads.next() == "a1", "no other workspace waits"
    for turn, name in ((first, "a2"), (second, "a3"), (third, "")):
        threads.ends(turn)
        assert threads.next() == name


class _Noted:
    """A turn that notes how often it was asked for and given back."""

    def __init__(self) -> None:
        self.taken = self.given_back = 0

    def take(self) -> None:
        self.taken += 1

    def give_back(self) -> None:
        self.given_back += 1


@pytest.mark.parametrize(
    ("source", "is_long"), [(_SHORT, False), (_LONG, True), (_ENDLESS, True), ([_LONG, _SHORT, _LONG], True)]
)
def test_only_an_evaluation_that_takes_long_takes_turns_and_gives_them_back_however_it_ends(
    source: str | list[str], is_long: bool
) -> None:
    noted = _Noted()
    with expressions.in_turn(noted):
        try:
            expressions.render(source, {})  # type: ignore[arg-type]  # a list of texts is JSON
        except expressions.ExpressionError as error:
            assert source == _ENDLESS and "takes too long" in str(error)  # noqa: PT017,PT018 - it depends on the source
    assert (noted.taken > 0) == is_long
    assert noted.given_back == is_long, "once for all expressions of one config"
    expressions.render(_LONG, {})
    assert noted.given_back == is_long, "outside of the block there is nobody to wait for"


STEPS = (
    f'action: sleep, with: {{seconds: "{_LONG}"}}',
    f'action: sleep, if: "{_LONG[2:-2]} == 0", with: {{seconds: 0}}',
    f'for_each: {{items: [1]}}, action: sleep, with: {{seconds: "{_LONG}"}}',
)


@pytest.mark.django_db(transaction=True)
def test_effectful_steps_wait_with_their_long_expressions_and_the_steps_of_others_do_not(
    settings: LazySettings,
) -> None:
    settings.QUICK_STEP_MILLISECONDS = 20
    text = f"name: quick\nsteps: [{{id: a, action: sleep, with: {{seconds: '{_SHORT}'}}}}]"
    quick = publish(parse.load(text).document, workspace=workspace("other"), owner=owner())
    flows = [published(f"name: long{number}\nsteps: [{{id: a, {step}}}]") for number, step in enumerate(STEPS)]
    busy = Turn(A)
    busy.take()
    try:
        held = [run_id for flow in flows for run_id in begun(flow)]
        wait_for(lambda: deliver() == 0, what="all of them to be delivered")
        wait_for(lambda: _there() == 1 + len(STEPS), what="them to ask for their turns")
        [other] = begun(quick)
        deliver()
        wait_for(lambda: states(other) == {"a": "succeeded"}, what="the step of another workspace")
        assert not {"succeeded", "failed"} & {state for run_id in held for state in states(run_id).values()}
    finally:
        busy.give_back()
    drain()
    assert [the_run(run_id).state for run_id in held] == ["succeeded"] * len(STEPS)
