"""The text that each mutant of `make mutants` replaces exists in the code."""

from __future__ import annotations

import pytest

from project.env import BASE_DIR
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_the_text_that_a_mutant_changes_stands_exactly_once(mutant: Mutant) -> None:
    text = (BASE_DIR / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1, f"mend `old` of {mutant.name} in tests/mutants/catalogue.py"
    assert mutant.old != mutant.new


def test_there_are_tests_to_catch_each_mutant() -> None:
    assert [test for mutant in MUTANTS for test in mutant.tests if not (BASE_DIR / test).exists()] == []
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 10
