"""The suite says how long its parts took, keeps to its limit, and makes what tests share once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from project.env import BASE_DIR
from tests.parts import Clock, part_of, piece


def _pytest(tmp_path: Path, *options: str) -> tuple[int, str]:
    """Status and output of a run of one test that passes, spread over two processes."""
    (tmp_path / "test_one.py").write_text("def test_one() -> None: pass\n", encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p xdist -p tests.parts\n", encoding="utf-8")
    words = [sys.executable, "-m", "pytest", "-n", "2", "--rootdir", str(tmp_path), *options]
    done = subprocess.run(
        [*words, "-c", str(tmp_path / "pytest.ini"), str(tmp_path)],
        cwd=BASE_DIR,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # else it takes seconds to load them
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout


def test_a_run_that_passes_its_limit_fails_and_says_so(tmp_path: Path) -> None:
    status, said = _pytest(tmp_path, "--limit-minutes", "0")
    assert (status, "TOO LONG" in said) == (1, True), said
    assert "1 passed in" in said.splitlines()[-1]


def test_make_test_has_twelve_minutes_for_ever() -> None:
    makefile = (BASE_DIR / "Makefile").read_text(encoding="utf-8")
    [line] = [line for line in makefile.splitlines() if "--limit-minutes" in line]
    assert line.endswith("-m pytest -n $(PROCESSES) --limit-minutes 12")


def test_a_run_within_its_limit_passes_and_shows_which_process_took_how_long(tmp_path: Path) -> None:
    status, said = _pytest(tmp_path, "--limit-minutes", "12")
    assert (status, "TOO LONG" in said) == (0, False), said
    assert "of at most 12 minutes" in said
    assert "(gw0 0:00" in said or "(gw1 0:00" in said
    assert "1 passed in" in said.splitlines()[-1]


def test_a_part_is_a_directory_below_tests() -> None:
    tests = BASE_DIR / "tests"
    assert part_of(tests / "runs" / "test_window.py") == "runs"
    assert part_of(tests / "test_anything.py") == "tests"
    assert part_of(Path("/elsewhere/test_x.py")) == "tests"


def test_what_shares_servers_stays_in_one_process_and_the_rest_is_spread_test_by_test() -> None:
    assert piece("tests/chaos/test_broker.py::test_a[mixed]") == piece("tests/chaos/test_database.py::test_b")
    up = piece("tests/e2e/test_make_up.py::test_a")
    assert piece("tests/e2e/test_make_up.py::test_b[x::y]") == up
    assert piece("tests/e2e/test_real_input.py::test_a") == up, "they share an installation"
    assert piece("tests/runs/test_window.py::test_a") != piece("tests/runs/test_window.py::test_b")


def test_setups_and_teardowns_count_and_the_longest_part_is_named_first() -> None:
    clock = Clock(limit_minutes=None)
    for path, when, seconds in [
        ("tests/runs/test_a.py", "setup", 1.0),
        ("tests/runs/test_a.py", "call", 2.0),
        ("tests/e2e/test_b.py", "call", 61.0),
        ("tests/e2e/test_b.py", "teardown", 4.0),
    ]:
        clock.pytest_runtest_logreport(_report(path, when=when, seconds=seconds))
    e2e, runs, together = clock.lines()
    assert e2e.split() == ["e2e", "1", "tests", "1:05", "(main", "1:05;", "test_b", "65.0", "s)"]
    assert runs.split()[:4] == ["runs", "1", "tests", "0:03"]
    assert together.split()[:4] == ["together", "2", "tests", "1:08"]


def _report(path: str, *, when: str, seconds: float) -> pytest.TestReport:
    name = Path(path).stem
    return pytest.TestReport(
        nodeid=f"{path}::{name}",
        location=(path, 1, name),
        keywords={},
        outcome="passed",
        longrepr=None,
        when=when,  # type: ignore[arg-type]  # one of three words
        duration=seconds,
    )
