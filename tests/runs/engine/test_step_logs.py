"""Log lines of steps: written in sets beside the work, within bounds, and shown wherever a run is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any, ClassVar
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.urls import reverse

from actions import registry
from actions.base import Action, Config, Context, Json, Retryable
from runs.engine import journal, step_logs
from runs.maintenance import retention
from runs.models import Run, StepLog
from runs.queries import database
from tests.engine import drain
from tests.flows import begun, published, steps
from tests.runs.doors import admin, api
from tests.runs.engine.held import as_in_another_process
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


class Talks(Action[Config]):
    """Logs what the test says."""

    name: ClassVar[str] = "talks"
    config_class: ClassVar[type[Config]] = Config
    does: ClassVar[Callable[[Context], Json]]

    def perform(self, config: Config, context: Context) -> Json:
        return Talks.does(context)


class PureTalks(Talks):
    name: ClassVar[str] = "pure_talks"
    pure: ClassVar[bool] = True


FLOW = "name: talking\nsteps: [{id: a, action: talks, retry: {max_attempts: 2, delays: [0]}}]"


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for action in (Talks, PureTalks):
        monkeypatch.setitem(registry.ACTIONS, action.name, f"{__name__}.{action.__name__}")
    step_logs._full.clear()
    as_in_another_process()
    yield
    wait_for(journal.idle, what="the journal to be written")
    as_in_another_process()


@pytest.fixture
def appended() -> Iterator[list[str]]:
    """An entry for each statement that appends to logs."""
    found: list[str] = []

    def observe(name: str) -> None:
        if name == "append_logs":
            found.append(name)

    database._observers.append(observe)
    yield found
    database._observers.remove(observe)


def talked(does: Callable[[Context], Json], text: str = FLOW, *inputs: Any) -> list[UUID]:
    Talks.does = staticmethod(does)
    ids = begun(published(text), *inputs)
    drain()
    wait_for(journal.idle, what="the journal to be written")
    return ids


def test_lines_are_stored_in_order_over_all_attempts_and_shown_everywhere(appended: list[str]) -> None:
    def work(context: Context) -> Json:
        context.log("begun <b>", n=1)
        context.log("odd \0\ud800\x1b[2J", level="warning", data={"a": [1]}, moment=context.now, many="x" * 9000)
        if context.attempt == 1:
            raise Retryable("again")
        return None

    [run_id] = talked(work)
    status, log = api().get(f"runs/{run_id}/steps/a/logs")
    assert (status, log["dropped"]) == (200, 0)
    first, odd, again, _ = log["lines"]
    assert (first["level"], first["message"], first["attempt"], first["fields"]) == ("info", "begun <b>", 1, {"n": 1})
    assert odd["message"] == "odd \ufffd\ufffd\x1b[2J"
    assert odd["fields"] == {"left_out": "longer than 8,000 bytes: data, moment, many"}
    assert again["attempt"] == 2
    assert len(appended) in (1, 2), "both attempts, if they end within a moment of one another, share a statement"
    page = admin().get(reverse("admin:runs_run_change", args=[run_id])).content.decode()
    assert "info  try 1  begun &lt;b&gt;  {&quot;n&quot;" in page
    text = StringIO()
    call_command("show_run", str(run_id), "--logs", stdout=text)
    assert "log of a\n" in text.getvalue()
    assert "warning  try 1  odd \ufffd\ufffd\\u001b[2J" in text.getvalue()
    assert "try 2  begun <b>" in text.getvalue()


@pytest.mark.parametrize(
    ("count", "message", "stored", "dropped"),
    [(200, "m", 200, 0), (1000, "m", 200, 800), (50, "m" * 3000, 10, 40), (1, "m" * 100_000, 1, 0)],
)
def test_what_is_beyond_the_bounds_is_counted_and_said(count: int, message: str, stored: int, dropped: int) -> None:
    def work(context: Context) -> Json:
        for _ in range(count // 2 or 1):
            context.log(message)
        if context.attempt == 1 and count > 1:
            raise Retryable("the other half")
        return None

    [run_id] = talked(work)
    row = StepLog.objects.get(run_id=run_id)
    assert (row.count, len(row.lines), row.dropped) == (stored, stored, dropped)
    assert row.size <= 33_000
    text = StringIO()
    call_command("show_run", str(run_id), "--logs", stdout=text)
    assert ("more lines were not stored" in text.getvalue()) == bool(dropped)


def test_runs_that_log_share_statements_and_others_pay_nothing(appended: list[str]) -> None:
    def work(context: Context) -> Json:
        if context.names.get("says"):
            context.log("here")
        return None

    talked(work, FLOW, *[{"says": False}] * 20)
    assert appended == []
    assert not StepLog.objects.exists()
    talked(work, FLOW, *[{"says": True}] * 40)
    assert StepLog.objects.count() == 40
    assert len(appended) <= 5
    ids = talked(lambda context: context.log("pure"), FLOW.replace("talks", "pure_talks"))
    assert StepLog.objects.filter(run_id__in=ids, count=1).count() == 1


def test_items_and_the_action_log_have_logs_of_their_own() -> None:
    flow = """
name: items
steps:
  - {id: each, action: log, for_each: {items: [1, 2]}, with: {message: "item {{ item }}", fields: {n: "{{ item }}"}}}
  - {id: last, action: log, with: {message: "{{ steps.each.output.count }} items", level: error}}
"""
    [run_id] = talked(lambda _: None, flow)
    assert steps(run_id)["last"].output == {"message": "2 items", "level": "error"}
    get = api().get
    assert get(f"runs/{run_id}/steps/each/logs")[1] == {"lines": [], "dropped": 0}
    [line] = get(f"runs/{run_id}/steps/each/logs", item=1)[1]["lines"]
    assert (line["message"], line["fields"]) == ("item 2", {"n": 2})
    [line] = get(f"runs/{run_id}/steps/last/logs")[1]["lines"]
    assert (line["level"], line["message"]) == ("error", "2 items")
    assert [get(f"runs/{run_id}/steps/{rest}")[0] for rest in ("none/logs", "each/logs?item=9")] == [404, 404]
    for item in ("x", "-1", "1e3", "9" * 30):
        status, problem = get(f"runs/{run_id}/steps/each/logs", item=item)
        assert (status, problem["errors"][0]["path"]) == (400, "item")


def test_a_level_that_is_none_and_a_field_named_level_are_refused() -> None:
    [run_id] = talked(lambda context: context.log("x", level="loud"))
    error = steps(run_id)["a"].error
    assert error is not None
    assert "the level of a log line is 'loud'; use one of debug, info, warning, error" in error["message"]
    with pytest.raises(ValueError, match="a field cannot be named level"):
        registry.get("log").config_class.model_validate({"message": "x", "fields": {"level": 1}})


def test_lines_wait_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    [run_id] = talked(lambda _: None)
    key, now = (run_id, "a", -1), Run.objects.get(pk=run_id).created_at
    calls: list[int] = []
    real = step_logs._append

    def away(part: Any) -> None:
        calls.append(len(part))
        if len(calls) == 1:
            step_logs.add(key, step_logs.Line(now, 1, "info", "second", {}), hide=lambda value: value)
            raise OperationalError("away")
        real(part)

    monkeypatch.setattr(step_logs, "_append", away)
    step_logs.add(key, step_logs.Line(now, 1, "info", "first", {}), hide=lambda value: value)
    journal.flush()
    assert not StepLog.objects.exists()
    journal.flush()
    assert [line["message"] for line in StepLog.objects.get(run_id=run_id).lines] == ["first", "second"]


def test_logs_are_deleted_with_their_run_and_never_written_after_it() -> None:
    [run_id] = talked(lambda context: context.log("x"))
    key, now = (run_id, "a", -1), Run.objects.get(pk=run_id).created_at
    [policy] = [retention.Policy(Run.objects.get(pk=run_id).workflow_id, "talking", 0.0)]
    assert sum(batch.runs for batch in retention.prune(policy)) == 1
    step_logs.add(key, step_logs.Line(now, 1, "info", "late", {}), hide=lambda value: value)
    journal.flush()
    assert not StepLog.objects.exists()
