"""The table of aims says which figures reach their aim, which keep only their bound, and which were not measured."""

from __future__ import annotations

import pytest

from benchmarks import aims
from benchmarks.aims import Aim

MANY = Aim("many", 4, ("w4",), bound=3)
LATE = Aim("late", 1, ("w4",), at_most=True, bound=1.2)


@pytest.mark.parametrize(
    ("aim", "value", "answer"),
    [
        (MANY, 4, "yes"),
        (MANY, 3.9, "bound"),
        (MANY, 2.9, "no"),
        (LATE, 1, "yes"),
        (LATE, 1.2, "bound"),
        (LATE, 1.21, "no"),
        (Aim("no bound", 4, ("w3",)), 3.9, "no"),
    ],
)
def test_a_figure_reaches_its_aim_or_keeps_its_bound_or_does_neither(aim: Aim, value: float, answer: str) -> None:
    assert aims.reached(aim, value) == answer


def test_an_aim_without_results_is_shown_as_not_measured() -> None:
    told = aims.section({})
    assert told.count("not measured yet") == len(aims.AIMS)


def test_the_aims_of_a_suite_are_those_whose_results_it_has() -> None:
    ratios = {"pure_8": {"median": 1.4, "min": 1.0, "max": 2.0}, "quick_80": {"median": 90.0, "min": 80.0, "max": 99.0}}
    lines = aims.of_suite("neighbours", {"neighbours": {"ratios": ratios}}).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert len(cells) == 4
    assert [row[3:] for row in cells] == [
        ["1.40 (1 to 2)", "yes"],
        ["not measured yet", ""],
        ["not measured yet", ""],
        ["90 (80 to 99)", "no"],
    ]


def test_every_aim_stands_in_the_table_once() -> None:
    places = [aim.place for aim in aims.AIMS]
    assert len(places) == len(set(places))
