"""docs/reliability.md says what benchmarks/results/reliability.json says, and that says nothing bad."""

from __future__ import annotations

import json
from typing import Any

from tests.chaos.results import JSON_FILE, PAGE, ROWS, markdown
from tests.chaos.row import NEVER


def published() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(JSON_FILE.read_text(encoding="utf-8"))
    return found


def test_the_page_is_what_the_results_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(published()), "run `make docs`"


def test_every_row_is_there_with_early_and_late_acknowledgement_and_nothing_went_wrong() -> None:
    rows = published()["rows"]
    assert {(row["row"], row["acks"]) for row in rows} == {(name, acks) for name in ROWS for acks in ("early", "late")}
    assert [(row["row"], name) for row in rows for name in NEVER if row[name]] == []


def test_there_are_enough_runs_and_faults_to_mean_something() -> None:
    rows = published()["rows"]
    assert sum(row["runs"] for row in rows) >= 2000
    assert sum(sum(row["faults"].values()) for row in rows) >= 150
