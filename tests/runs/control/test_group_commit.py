"""Requests that threads make while another one is executed are executed together, each with its own result."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from runs.control import group_commit
from runs.control.group_commit import GroupCommit
from tests.runs.locks import in_thread
from tests.waiting import wait_for


class Served:
    """Doubles numbers, the first group only when it is let; a negative one fails, 13 fails its whole group."""

    def __init__(self, *, most: int = 100) -> None:
        self.line: GroupCommit[str, int, int] = GroupCommit(self._do, after=self._after, most=most)
        self.let = threading.Event()
        self.groups: list[list[int]] = []
        self.ends: list[int] = []
        self.answers: dict[int, int | Exception] = {}

    def ask(self, number: int, key: str = "k") -> None:
        try:
            self.answers[number] = self.line.ask(key, number)
        except ValueError as error:
            self.answers[number] = error

    @contextmanager
    def asked(self, *numbers: int) -> Iterator[None]:
        """The first is being served in the block, and the others wait behind it, in this order."""
        with ExitStack() as stack:
            for place, number in enumerate(numbers):
                stack.enter_context(in_thread(lambda number=number: self.ask(number)))  # type: ignore[misc]
                if place == 0:
                    wait_for(lambda: self.groups, what="the first asker to be served")
                else:
                    wait_for(lambda place=place: self.line.waiting("k") == place, what="the asker in line")  # type: ignore[misc]
            yield
            self.let.set()

    def _do(self, key: str, numbers: Sequence[int]) -> list[int | Exception]:
        self.groups.append(list(numbers))
        if key == "k":
            assert self.let.wait(60)
        if 13 in numbers:
            raise ValueError("all of them")
        return [2 * number if number >= 0 else ValueError(str(number)) for number in numbers]

    def _after(self, answers: Sequence[int | Exception]) -> None:
        self.ends.append(len(answers))


def lingers(served: Served) -> bool:
    """Whether a leader waits for as many as there were a moment ago."""
    line = served.line._queues.get("k")
    return line is not None and line._lingering is not None


def test_an_asker_alone_is_served_at_once() -> None:
    served = Served()
    served.let.set()
    for number in (1, 2):
        served.ask(number)
    assert (served.groups, served.answers, served.ends) == ([[1], [2]], {1: 2, 2: 4}, [1, 1])


def test_those_who_come_meanwhile_go_together_and_one_s_failure_is_its_own() -> None:
    served = Served()
    with served.asked(1, 2, -3, 4):
        served.ask(9, key="another line does not wait")
        assert served.answers == {9: 18}
    assert served.groups == [[1], [9], [2, -3, 4]]
    assert {n: answer for n, answer in served.answers.items() if n != -3} == {1: 2, 2: 4, 4: 8, 9: 18}
    assert str(served.answers[-3]) == "-3"
    assert served.ends == [1, 1, 3]
    assert served.line.waiting("k") == 0


def test_a_group_that_fails_as_a_whole_is_told_and_the_next_goes_on() -> None:
    served = Served(most=2)
    with served.asked(1, 13, 2, 3, 4, 5):
        pass
    assert served.groups == [[1], [13, 2], [3, 4], [5]]
    assert {n for n, answer in served.answers.items() if isinstance(answer, ValueError)} == {13, 2}
    assert [served.answers[n] for n in (1, 3, 4, 5)] == [2, 6, 8, 10]


def test_where_several_ask_again_and_again_they_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    # As long as a thread may need to come again on a busy machine.
    monkeypatch.setattr(group_commit, "_BUSY_SECONDS", 60.0)
    monkeypatch.setattr(group_commit, "_LINGER_SECONDS", 1.0)
    groups: list[int] = []

    def do(_: str, numbers: Sequence[int]) -> list[int | Exception]:
        groups.append(len(numbers))
        time.sleep(0.003)
        return list(numbers)

    line: GroupCommit[str, int, int] = GroupCommit(do, after=lambda _: None, most=100)
    together = threading.Barrier(4)

    def ask_often() -> None:
        together.wait(60)
        for number in range(50):
            assert line.ask("k", number) == number

    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(in_thread(ask_often))
    assert sum(groups) == 200
    # Without waiting for those who were just served it would be every other one: 1, 3, 1, 3.
    assert groups.count(4) > 25, groups


def test_as_many_as_were_served_together_a_moment_ago_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "_BUSY_SECONDS", 60.0)
    served = Served()
    with served.asked(1, 2, 3):
        pass
    monkeypatch.setattr(group_commit, "_LINGER_SECONDS", 10.0)
    with in_thread(lambda: served.ask(4)):
        wait_for(lambda: lingers(served), what="4 to wait for another")
        served.ask(5)
    assert served.groups == [[1], [2, 3], [4, 5]]


def test_who_comes_while_others_are_waited_for_goes_along_when_no_more_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "_BUSY_SECONDS", 60.0)
    served = Served()
    with served.asked(1, 2, 3, 4):
        pass
    monkeypatch.setattr(group_commit, "_LINGER_SECONDS", 0.5)
    with in_thread(lambda: served.ask(5)):
        wait_for(lambda: lingers(served), what="5 to wait for others")
        served.ask(6)
    served.ask(7, key="another line")
    assert served.groups == [[1], [2, 3, 4], [5, 6], [7]]


def test_many_who_come_and_go_in_every_order_are_all_answered() -> None:
    line: GroupCommit[str, int, int] = GroupCommit(lambda _, numbers: list(numbers), after=lambda _: None, most=3)
    faults: list[BaseException] = []

    def ask_often(offset: int) -> None:
        try:
            for number in range(offset, offset + 400):
                assert line.ask("k", number) == number
        except BaseException as error:
            faults.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # so that threads are stopped between any two lines
    try:
        with ExitStack() as stack:
            for one in range(8):
                stack.enter_context(in_thread(lambda one=one: ask_often(1000 * one)))  # type: ignore[misc]
    finally:
        sys.setswitchinterval(before)
    assert faults == []
    assert line.waiting("k") == 0


def test_nobody_waits_for_askers_that_do_not_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "_BUSY_SECONDS", 60.0)
    waits: list[object] = []
    wait = group_commit._Queue.linger

    def counted(self: Any, *args: Any, **options: Any) -> None:
        waits.append(args)
        wait(self, *args, **options)

    served = Served()
    with served.asked(1, 2, 3):
        pass
    assert served.groups == [[1], [2, 3]]
    monkeypatch.setattr(group_commit._Queue, "linger", counted)
    for number in range(100):
        served.ask(number, key="k")
    assert len(waits) == 1, "the first waits for the other one of a moment ago"
    assert served.groups[2:] == [[number] for number in range(100)]


def test_wrong_counts_of_answers_leave_nobody_waiting() -> None:
    line: GroupCommit[str, int, int] = GroupCommit(lambda _, __: [], after=lambda _: None, most=9)
    with pytest.raises(ValueError, match="shorter"):
        line.ask("k", 1)
    assert line.waiting("k") == 0
