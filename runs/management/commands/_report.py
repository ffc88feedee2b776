"""What run_workflow and show_run print alike: a run's headline and its timeline."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from runs.control import pauses
from runs.history import text
from runs.history import timeline as timeline_history
from runs.models import Run


def timeline(run: Run) -> Iterator[str]:
    """The headline and one line for each step, as wide as the terminal."""
    yield headline(run)
    yield from text.lines(timeline_history.timeline(run), width=shutil.get_terminal_size((100, 24)).columns)


def headline(run: Run) -> str:
    """Which run of which workflow, how it stands, how long it took, and why it failed."""
    took = text.duration(run.started_at, run.finished_at)
    line = f"{run.workflow.name} version {run.version.number}  run {run.pk}  {run.state}"
    line += f" in {took}" if run.finished_at else ""
    line += f", {text.pause_line(held)}" if (held := pauses.of_run(run)) else ""
    return line if run.error is None else f"{line}: {text.error_line(run.error)}"
