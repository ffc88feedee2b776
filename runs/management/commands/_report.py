"""What run_workflow and show_run print alike: a run's headline and its timeline."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from runs.control import pauses
from runs.history import text, words
from runs.history import timeline as timelines
from runs.models import Run


def timeline(run: Run) -> Iterator[str]:
    """The headline and one line for each step, as wide as the terminal."""
    yield headline(run)
    yield from text.lines(timelines.timeline(run), width=shutil.get_terminal_size((100, 24)).columns)


def headline(run: Run) -> str:
    """Which run of which workflow, how it stands, how long it took, and why it failed."""
    took = words.duration(run.started_at, run.finished_at)
    line = f"{run.workflow.name} version {run.version.number}  run {run.pk}  {run.state}"
    line += f" in {took}" if run.finished_at else ""
    line += f", {words.pause_line(held)}" if (held := pauses.of_run(run)) else ""
    return line if run.error is None else f"{line}: {words.error_line(run.error)}"
