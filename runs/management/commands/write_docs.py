"""Write the pages of docs/ that are generated from the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from runs.states_doc import markdown

STATES = Path(__file__).resolve().parents[3] / "docs" / "states.md"


class Command(BaseCommand):
    """`manage.py write_docs`"""

    help = "Write docs/states.md from runs/domain/states.py."

    def handle(self, *args: Any, **options: Any) -> None:
        """Overwrite the page and name it."""
        STATES.write_text(markdown())
        self.stdout.write(f"wrote {STATES.name}")
