"""The command that generates docs/states.md from the code."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from runs.domain.states import PENDING, RUN_TRANSITIONS, STEP_TRANSITIONS, DeadLetterState

STATES = Path(__file__).resolve().parents[3] / "docs" / "states.md"
_HEAD = """# States

Generated from `runs/domain/states.py` by `make docs`; a test compares the two. Every transition is a guarded statement
in `runs/queries/records.py`, which returns the rows that it changed. If the guard does not hold, for example because
another worker was faster, it changes nothing.
"""


class Command(BaseCommand):
    """`manage.py write_docs`"""

    help = "Write docs/states.md from runs/domain/states.py."

    def handle(self, *args: Any, **options: Any) -> None:
        """Overwrite the page, and print its name."""
        STATES.write_text(markdown())
        self.stdout.write(f"wrote {STATES.name}")


def markdown() -> str:
    """Return the text of docs/states.md."""
    parts = [
        _HEAD,
        "## Run\n\n`paused` is not a state: a pause is a time on the run or its workflow. `ending` is not a state\n"
        "either: it is the outcome of a live run's work (`succeeded`, `failed`, `cancelled`) while compensation,\n"
        "`on_failure` or `finally` are still to be done.\n",
        _diagram(RUN_TRANSITIONS),
        _table(RUN_TRANSITIONS),
        "## StepRun\n\nA step has no row before something happens to it; the API calls that `pending`, or `skipped`,\n"
        "with the reason as its error, once the run's work is over and the step will never begin. The row of a pure\n"
        "step is written when the step has ended, so it is never `running`.\n",
        _diagram(STEP_TRANSITIONS),
        _table(STEP_TRANSITIONS),
        "## DeadLetter\n\n"
        + ", ".join(f"`{state.value}`" for state in DeadLetterState)
        + ": `open -> retried | discarded`.\n",
    ]
    return "\n".join(parts)


def _diagram(transitions: Mapping[Any, frozenset[Any]]) -> str:
    lines = [
        f"    {_name(source)} --> {target.value}"
        for source, targets in transitions.items()
        for target in sorted(targets)
    ]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```\n"])


def _table(transitions: Mapping[Any, frozenset[Any]]) -> str:
    lines = ["| from | to |", "|---|---|"]
    for source, targets in transitions.items():
        names = ", ".join(f"`{target.value}`" for target in sorted(targets))
        lines.append(f"| `{_name(source)}` | {names or 'nothing: it has ended'} |")
    return "\n".join(lines) + "\n"


def _name(state: StrEnum | None) -> str:
    return PENDING if state is None else state.value
