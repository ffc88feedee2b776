"""Print progress, and store results as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def say(line: str) -> None:
    """Print one line and flush it."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def keep(report: dict[str, Any], path: Path) -> None:
    """Write the report as JSON, and print where."""
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    say(f"written to {path}")
