"""Write the pages of docs/ that are generated from the code."""

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
in `runs/queries/records.py`: where the guard does not hold, nothing is written, and the caller is told that it did not
win.
"""


class Command(BaseCommand):
    """`manage.py write_docs`"""

    help = "Write docs/states.md from runs/domain/states.py."

    def handle(self, *args: Any, **options: Any) -> None:
        """Overwrite the page and name it."""
        STATES.write_text(markdown())
        self.stdout.write(f"wrote {STATES.name}")


def markdown() -> str:
    """docs/states.md."""
    parts = [
        _HEAD,
        "## Run\n\nPaused is a time on the run or its workflow, no state. Nor is `ending`: what the work of a live\n"
        "run came to (`succeeded`, `failed`, `cancelled`) while what follows it is done.\n",
        _diagram(RUN_TRANSITIONS),
        _table(RUN_TRANSITIONS),
        "## StepRun\n\nA step has no row before something happens to it; the API calls that `pending`. A pure step is\n"
        "recorded when it has ended and never stands as `running`.\n",
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
        told = ", ".join(f"`{target.value}`" for target in sorted(targets))
        lines.append(f"| `{_name(source)}` | {told or 'nothing: it has ended'} |")
    return "\n".join(lines) + "\n"


def _name(state: StrEnum | None) -> str:
    return PENDING if state is None else state.value
