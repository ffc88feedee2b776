"""Checkpoints: kept under the attempt's fence, at most one a second, resumed by the next attempt, shown to people."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any, ClassVar
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db.models.functions import Now
from django.urls import reverse

from actions import registry
from actions.base import Action, Cancelled, Config, Context, Json, Retryable
from runs.control import retries
from runs.domain.actor import Actor
from runs.engine import checkpoints, journal
from runs.maintenance.sweep import sweep
from runs.models import Checkpoint, Run, StepRun, Ticket
from runs.queries import database
from runs.worker.alone import Alone
from tests.engine import drain, messages
from tests.flows import begun, published, states, steps
from tests.runs.doors import admin, api
from tests.runs.engine.held import as_in_another_process
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

Work = Callable[[Context], Json]


class Counts(Action[Config]):
    """Does what the test says."""

    name: ClassVar[str] = "counts"
    config_class: ClassVar[type[Config]] = Config
    does: ClassVar[Work]
    found: ClassVar[list[Json]] = []

    def perform(self, config: Config, context: Context) -> Json:
        self.found.append(context.resume)
        return Counts.does(context)


class PureCounts(Counts):
    name: ClassVar[str] = "pure_counts"
    pure: ClassVar[bool] = True


class TransactionalCounts(Counts):
    name: ClassVar[str] = "transactional_counts"
    transactional: ClassVar[bool] = True


FLOW = "name: counting\nsteps: [{id: a, action: counts, retry: {max_attempts: 2, delays: [0]}}]"


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for action in (Counts, PureCounts, TransactionalCounts):
        monkeypatch.setitem(registry.ACTIONS, action.name, f"{__name__}.{action.__name__}")
    Counts.found.clear()
    as_in_another_process()
    yield
    wait_for(journal.idle, what="the journal to be written")
    as_in_another_process()


@pytest.fixture
def written() -> Iterator[list[str]]:
    """The names of the checkpoints' statements as they are executed."""
    found: list[str] = []

    def observe(name: str) -> None:
        if name in ("save_checkpoint", "resume"):
            found.append(name)

    database._observers.append(observe)
    yield found
    database._observers.remove(observe)


def performed(does: Work, text: str = FLOW) -> UUID:
    Counts.does = staticmethod(does)
    [run_id] = begun(published(text))
    drain()
    return run_id


def test_a_retry_goes_on_where_the_attempt_before_it_was(written: list[str]) -> None:
    def work(context: Context) -> Json:
        if context.attempt == 1:
            for n in range(1, 51):
                context.checkpoint({"next": n}, done=n, failed=1, total=100)
            raise Retryable("half of it")
        return {"began_at": context.resume}

    run_id = performed(work)
    row = steps(run_id)["a"]
    assert (row.state, row.output) == ("succeeded", {"began_at": {"next": 50}})
    assert Counts.found == [None, {"next": 50}]
    # The first at once, the last at the end, and none of the forty-eight between them; a first attempt reads nothing.
    assert written == ["save_checkpoint", "save_checkpoint", "resume"]
    kept = Checkpoint.objects.get(run_id=run_id)
    assert (kept.step, kept.item, kept.attempt, kept.done, kept.failed, kept.total) == ("a", -1, 1, 50, 1, 100)


def test_a_killed_attempt_is_resumed_at_its_last_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (checkpoints, journal):
        monkeypatch.setattr(module, "EVERY_SECONDS", 0.2)

    def work(context: Context) -> Json:
        first: Any = context.resume["next"] if isinstance(context.resume, dict) else 0
        for n in range(first, 10):
            context.checkpoint({"next": n}, done=n, total=10)
            if n == 4 and context.attempt == 1:
                time.sleep(1)  # the time between two checkpoints is over, and nobody calls again
                os.kill(os.getpid(), signal.SIGKILL)
        return {"from": first}

    Counts.does = staticmethod(work)
    [run_id] = begun(published(FLOW))
    messages()
    Ticket.objects.update(suspect=True, knock_at=Now())
    alone = Alone()
    assert alone.start() == 1
    alone.stop(within_seconds=20)
    assert Checkpoint.objects.get(run_id=run_id).data == {"next": 4}
    assert sweep().rescued == 1
    drain()
    row = steps(run_id)["a"]
    assert (row.state, row.attempt, row.output) == ("succeeded", 2, {"from": 4})
    assert Checkpoint.objects.get(run_id=run_id).done == 9


@pytest.mark.parametrize("change", [{"attempt": 7}, {"state": "retrying", "process": None}])
def test_an_attempt_that_lost_its_step_is_told_to_stop_and_writes_nothing(change: dict[str, Any]) -> None:
    told: list[str] = []

    def work(context: Context) -> Json:
        context.checkpoint({"n": 1})
        changed = {**change, "deadline": None} if "state" in change else change
        StepRun.objects.filter(run_id=context.run_id).update(**changed)
        for n in range(200):
            time.sleep(0.02)
            try:
                context.checkpoint({"n": 2 + n})
            except Cancelled as error:
                told.append(str(error))
                with pytest.raises(Cancelled):
                    context.checkpoint({"n": 1000})
                break
        return None

    run_id = performed(work)
    assert told == ["the step was taken from this attempt, so its checkpoint is not written; stop here"]
    assert Checkpoint.objects.get(run_id=run_id).data == {"n": 1}
    Run.objects.filter(pk=run_id).delete()  # whose row nothing would ever move


@pytest.mark.parametrize(
    ("data", "counts", "said"),
    [
        ("x" * 262_143, {}, "its data is 262,145 bytes of JSON, and 262,144 are allowed"),
        ({1, 2}, {}, "its data is no JSON"),
        (float("nan"), {}, "its data is no JSON"),
        (None, {"done": -1}, "done is '-1', and must be a whole number from 0"),
        (None, {"total": 1.5}, "total is '1.5'"),
        (None, {"failed": True}, "failed is 'True'"),
        (None, {"done": 2**60}, "done is '1152921504606846976'"),
    ],
)
def test_what_cannot_be_kept_fails_the_step_and_says_why(data: Any, counts: dict[str, Any], said: str) -> None:
    run_id = performed(lambda context: context.checkpoint(data, **counts))
    error = steps(run_id)["a"].error
    assert error is not None
    assert error["kind"] == "checkpoint"
    assert error["message"].startswith(f"step 'a': the checkpoint cannot be kept: {said}")
    assert not Checkpoint.objects.exists()


@pytest.mark.parametrize("action", ["pure_counts", "transactional_counts"])
def test_only_an_effectful_action_makes_checkpoints(action: str) -> None:
    run_id = performed(lambda context: context.checkpoint({}), FLOW.replace("counts", action))
    error = steps(run_id)["a"].error
    assert error is not None
    assert f"only an effectful action can make checkpoints, and {action} is pure" in error["message"]


def test_another_input_by_hand_begins_anew() -> None:
    def work(context: Context) -> Json:
        if context.attempt < 3:
            context.checkpoint({"of": context.attempt})
            raise Retryable("again")
        return None

    flow = FLOW.replace("counting", "edited").replace("max_attempts: 2", "max_attempts: 1").replace("delays: [0]", "")
    run_id = performed(work, flow.replace(", }", "}"))
    assert retries.retry([run_id], actor=Actor())
    drain()
    assert retries.retry([run_id], actor=Actor(), inputs={(run_id, "a"): {"other": 1}})
    drain()
    assert states(run_id) == {"a": "succeeded"}
    assert Counts.found == [None, {"of": 1}, None]


def test_progress_is_shown_on_the_page_over_the_api_and_in_the_terminal() -> None:
    seen: dict[str, Any] = {}

    def work(context: Context) -> Json:
        context.checkpoint(None, done=12, failed=3, total=1000)
        seen["page"] = admin().get(reverse("admin:runs_run_change", args=[context.run_id])).content.decode()
        seen["step"] = api().get(f"runs/{context.run_id}")[1]["steps"][0]
        text = StringIO()
        call_command("show_run", context.run_id, stdout=text)
        seen["text"] = text.getvalue()
        return None

    run_id = performed(work)
    assert "12 of 1,000 done, 3 failed" in seen["page"]
    assert "12 of 1,000 done, 3 failed" in seen["text"]
    progress = seen["step"]["progress"]
    assert {key: progress[key] for key in ("done", "failed", "total", "attempt")} == {
        "done": 12,
        "failed": 3,
        "total": 1000,
        "attempt": 1,
    }
    assert api().get(f"runs/{run_id}/steps/a")[1]["progress"]["done"] == 12
