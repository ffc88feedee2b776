"""docs/performance.md says what benchmarks/results/ says, and the suite that writes those works at all."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.tables import Report
from benchmarks.telling import RESULTS
from project.env import BASE_DIR


def tiny(directory: Path) -> dict[str, Report]:
    """The results of a few runs; it names servers of its own, so ours are not named to it."""
    names = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "INSTALLATION_ID")
    env = {name: value for name, value in os.environ.items() if name not in names}
    words = [sys.executable, "-W", "ignore", "-m", "benchmarks", "--tiny", "--output", str(directory)]
    done = subprocess.run(words, cwd=BASE_DIR, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.stem.removesuffix("-quick"): json.loads(path.read_text()) for path in directory.glob("*.json")}


def test_the_page_is_what_the_results_say() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.markdown(page.read(RESULTS)), "run `make docs`"


def test_every_plot_of_the_page_is_there_and_fetches_nothing() -> None:
    names = re.findall(r"\]\(\.\./benchmarks/results/(\S+)\.svg\)", page.PAGE.read_text(encoding="utf-8"))
    for name in names:
        drawn = (RESULTS / f"{name}.svg").read_text(encoding="utf-8")
        assert "<script" not in drawn
        assert set(re.findall(r"https?://[^\"\s)]+", drawn)) <= {
            "http://www.w3.org/2000/svg",
            "http://www.w3.org/1999/xlink",
        }
    assert set(page.drawings(page.read(RESULTS))) == set(names)


@pytest.mark.e2e
def test_a_few_runs_go_through_the_suite_with_a_child_killed_and_make_a_page(tmp_path: Path) -> None:
    found = tiny(tmp_path)
    killed = found["w3"]["durability"]["killed"]["stepwise_bulk"]
    assert killed["runs"] == 3000 > killed["ended_when_killed"] > 0
    assert found["w3"]["costs"]["stepwise_bulk"]["messages"]["median"] > 0
    assert found["w3"]["costs"]["stepwise_bulk"]["cpu_us_worker_children"]["median"] > 0
    assert [part["part"] for part in found["parts"]["parts"]["alone"]].count("deliver: perform the steps") == 1
    asked = {one["statement"]: one["calls"] for one in found["parts"]["statements"]["alone"]}
    assert asked["start"] == asked["path_last"] == 1
    assert found["schema_costs"]["things"]["run_live"]["saved"]["wal_bytes"]["median"] > 0
    asked = found["w4"]["by_answer_milliseconds"]["0"]
    assert asked["wrong"] == 0
    assert asked["systems"]["stepwise"]["cpu_us_worker_children"]["median"] > 0
    beside = found["neighbours"]["conditions"]["quick"]["1"]
    assert beside["hung_too_short"]["all"] == [0]
    assert beside["hung_running"]["max"] > 0
    assert beside["failed"]["all"] == [0]
    told = page.markdown(found)
    assert "## Rates of W3" in told
    assert "## Three requests in turn (W4)" in told
    assert "## The parts of a run" in told
    assert "## As the load grows" not in told  # its results are missing
    assert "<script" not in page.drawings(found)["w3-rates"]
