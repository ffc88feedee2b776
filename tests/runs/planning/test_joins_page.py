"""The table of joins in docs/definitions.md says what the code decides."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from runs.planning.joins import _RULES, EAGER, ParentState, Verdict
from workflows.definitions.definition import Join

OPEN, OK, FAILED, SKIPPED = ParentState.OPEN, ParentState.OK, ParentState.FAILED, ParentState.SKIPPED
_RUNS_IF: dict[str, Callable[[tuple[ParentState, ...]], bool]] = {
    "every parent succeeded": lambda parents: all(each is OK for each in parents),
    "no parent failed, and one succeeded": lambda parents: FAILED not in parents and OK in parents,
    "all parents have ended, in whichever way": lambda parents: True,
    "one parent succeeded": lambda parents: OK in parents,
    "one parent failed": lambda parents: FAILED in parents,
}


def rows() -> dict[str, list[str]]:
    text = Path(__file__).parents[3].joinpath("docs/definitions.md").read_text()
    table = text.partition("| `join` | the step runs if")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {re.sub("`", "", first): rest for first, *rest in cells}


def test_every_join_has_a_row() -> None:
    assert rows().keys() == {join.value for join in Join}


@pytest.mark.parametrize("join", Join)
def test_a_row_says_what_is_decided(join: Join) -> None:
    runs_if, all_skipped, early = rows()[join]
    for count in (1, 2, 3):
        for parents in product((OK, FAILED, SKIPPED), repeat=count):
            assert (_RULES[join]([*parents]) is Verdict.RUN) == _RUNS_IF[runs_if](parents), parents
        alike = _RULES[join]([SKIPPED] * count)
        assert {"skipped": Verdict.SKIP, "runs": Verdict.RUN}[all_skipped] is alike
        opened = [_RULES[join]([one, *[OPEN] * count]) for one in (OK, FAILED, SKIPPED)]
        assert (Verdict.RUN in opened) == (early == "yes") == (join in EAGER)
