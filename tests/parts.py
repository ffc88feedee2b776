"""Which tests share a process under pytest-xdist, how long each part of the suite took, and the limit on the whole.

A part is a directory below tests/. Loaded by tests/conftest.py.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

_TESTS = Path(__file__).parent
# Fixtures of these parts start servers or installations, which one process should do once.
_WHOLE = {"chaos", "e2e"}
_BY_MODULE = {"benchmarks"}
_MOST_PROCESSES = 4
_HERE = "main"


@dataclass
class Part:
    """What one part took, in seconds: setups and teardowns count."""

    tests: int = 0
    seconds_by_process: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    seconds_by_test: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def seconds(self) -> float:
        """All processes together."""
        return sum(self.seconds_by_process.values())


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make test` gives the limit; a part that is run by hand, or the long forms, have none."""
    group = parser.getgroup("stepwise")
    group.addoption("--limit-minutes", type=float, default=None, help="fail when the run takes longer")


def pytest_configure(config: pytest.Config) -> None:
    """The process that was started by hand sees the reports of all the others."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Clock(limit_minutes=config.getoption("--limit-minutes")), "stepwise-clock")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`: one more than there are processors, for chaos and end-to-end tests mostly wait.

    At most four: what takes longest stays in one process, and each process makes a database first.
    """
    return min(1 + (os.cpu_count() or 1), _MOST_PROCESSES)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Under pytest-xdist, whatever `--dist` says."""
    return Together(config, log)


def part_of(path: Path) -> str:
    """The directory below tests/ that this file lies in; `tests` for the others."""
    inside = path.relative_to(_TESTS).parts if path.is_relative_to(_TESTS) else ()
    return inside[0] if len(inside) > 1 else _TESTS.name


def piece(nodeid: str) -> str:
    """Tests with the same answer are run by the same process, one after the other."""
    file = nodeid.partition("::")[0]
    part = part_of(_TESTS.parent / file)
    if part in _WHOLE:
        return part
    return file if part in _BY_MODULE else nodeid


class Together(LoadScopeScheduling):
    """Hands out test by test, and in one piece what shares servers; the pieces with the most tests go first.

    pytest-xdist's own `loadgroup` writes the group into the test's id, which pytest does not allow any more.
    """

    def _split_scope(self, nodeid: str) -> str:
        return piece(nodeid)


class Clock:
    """Adds up what the reports say, prints it, and fails a run that took longer than its limit."""

    def __init__(self, *, limit_minutes: float | None) -> None:
        self.limit_minutes = limit_minutes
        self.parts: defaultdict[str, Part] = defaultdict(Part)
        self.began = time.monotonic()
        self.took = 0.0

    @property
    def too_long(self) -> bool:
        """Whether the run passed its limit."""
        return self.limit_minutes is not None and self.took > self.limit_minutes * 60

    def pytest_sessionstart(self) -> None:
        """From here pytest counts, too."""
        self.began = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test; under pytest-xdist it comes from the process that ran it."""
        part = self.parts[part_of(_TESTS.parent / report.location[0])]
        part.tests += report.when == "call"
        part.seconds_by_process[getattr(report, "worker_id", _HERE)] += report.duration
        part.seconds_by_test[report.nodeid] += report.duration

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A run that passed is a failure when it took too long."""
        self.took = time.monotonic() - self.began
        if self.too_long and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table, before pytest's own last line."""
        if not self.parts:
            return
        terminalreporter.section("how long each part took")
        for line in self.lines():
            terminalreporter.line(line)
        if self.too_long:
            said = f"TOO LONG: the run took {_clock(self.took)}, and {self.limit_minutes:g} minutes are the limit."
            advice = "Give the tests that were added last a shorter form (CONTRIBUTING.md)."
            terminalreporter.line(f"{said} {advice}", red=True, bold=True)

    def lines(self) -> Iterator[str]:
        """A line for each part, the longest first, and one for the whole."""
        for name, part in sorted(self.parts.items(), key=lambda one: -one[1].seconds):
            where = ", ".join(f"{process} {_clock(took)}" for process, took in sorted(part.seconds_by_process.items()))
            slowest, took = max(part.seconds_by_test.items(), key=lambda one: one[1])
            slowest = slowest.split("::", 1)[-1].split("[", 1)[0]
            yield f"{name:<14}{part.tests:>6} tests  {_clock(part.seconds):>6}  ({where}; {slowest} {took:.1f} s)"
        limit = "" if self.limit_minutes is None else f" of at most {self.limit_minutes:g} minutes"
        total = sum(part.tests for part in self.parts.values())
        busy = sum(part.seconds for part in self.parts.values())
        yield f"{'together':<14}{total:>6} tests  {_clock(busy):>6}  (wall time {_clock(self.took)}{limit})"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
