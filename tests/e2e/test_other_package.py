"""A worker performs an action of an installed package, tells of those that cannot be used, and loses no checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from runs.dispatch import dispatcher
from runs.models import Checkpoint, StepLog
from tests.actions.packages import GOOD, Packages, packages
from tests.flows import begun, published, states, steps
from tests.waiting import wait_for
from tests.workers import Worker

__all__ = ["packages"]

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

# At its first attempt it kills the worker's child, more than a second after its last checkpoint.
_COUNTS = """
import os, signal, time
from actions.base import Action, Config

class Other(Action):
    name = "NAME"
    summary = "Count to three"
    output = '{"began": number or null}'
    config_class = Config

    def perform(self, config, context):
        began = context.resume["n"] if context.resume else None
        context.log("counting", began=began)
        for n in range(began or 0, 3):
            context.checkpoint({"n": n}, done=n, total=3)
        if context.attempt == 1:
            time.sleep(1.5)
            os.kill(os.getpid(), signal.SIGKILL)
        return {"began": began}
"""


def test_an_action_of_a_package_goes_on_where_its_killed_worker_was(tmp_path: Path, packages: Packages) -> None:
    packages.install("counting", counts=_COUNTS, broken="raise OSError('gone')", compute=GOOD)
    worker = Worker(tmp_path / "counting.log", app="project", env={"PYTHONPATH": str(tmp_path)})
    try:
        worker.start()
        [run_id] = begun(published("name: counting\nsteps: [{id: a, action: counts}]"))
        dispatcher.dispatch()
        wait_for(lambda: states(run_id).get("a") == "succeeded", what="the second attempt", timeout_seconds=60)
        row, log = steps(run_id)["a"], StepLog.objects.filter(run_id=run_id)
        assert (row.output, row.attempt, [tried["outcome"] for tried in row.attempts]) == ({"began": 2}, 2, ["lost"])
        assert Checkpoint.objects.get(run_id=run_id).attempt == 2
        wait_for(lambda: log.filter(count=2).exists(), what="the lines of both attempts")
        assert [line["fields"] for line in log.get().lines] == [{"began": None}, {"began": 2}]
    finally:
        worker.kill()
    told = [line for line in worker.said().splitlines() if "action_unusable" in line]
    assert len(told) == 2, "once, and not by each child"
    assert all("package=counting" in line for line in told)
    assert "OSError: gone" in worker.said()
