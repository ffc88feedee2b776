"""The commands that delete runs and say how long they are kept: they ask first, and take durations with a unit."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from io import StringIO

import pytest
from django.core.management import call_command

from runs.models import Run, WorkflowIntervention
from tests.flows import published, workspace
from tests.runs.maintenance.test_retention import SHORT, ended

pytestmark = pytest.mark.django_db(transaction=True)


def test_prune_runs_counts_deletes_and_is_written_down() -> None:
    found = published(SHORT)
    published(SHORT.replace("short", "other"))
    ended(found, {}, {}, days=31)
    told = StringIO()
    call_command("prune_runs", older_than="30d", workflow="short", dry_run=True, stdout=told)
    assert told.getvalue() == "short  2 runs would be deleted\n"
    told = StringIO()
    call_command("prune_runs", older_than="30d", yes=True, stdout=told)
    assert "2 runs that ended more than 30d ago" in told.getvalue()
    assert not Run.objects.exists()
    assert list(WorkflowIntervention.objects.values_list("verb", "why")) == [
        ("prune", "2 runs that ended more than 30d ago")
    ]


def test_prune_runs_refuses_an_age_that_is_none() -> None:
    workspace()
    told = StringIO()
    with pytest.raises(SystemExit, match="2"):
        call_command("prune_runs", older_than="a while", stderr=told)
    assert "--older-than: 'a while' is no duration" in told.getvalue()


@pytest.mark.parametrize("given", ["30", "0", "1.5", " 7 ", "12345"])
def test_an_age_without_a_unit_is_refused(given: str) -> None:
    found = published(SHORT)
    ended(found, {}, days=100)
    told = StringIO()
    with pytest.raises(SystemExit, match="2"):
        call_command("prune_runs", older_than=given, yes=True, stderr=told)
    assert "has no unit; write" in told.getvalue()
    with pytest.raises(SystemExit, match="2"):
        call_command("keep_runs", given, stderr=told)
    assert Run.objects.count() == 1


@pytest.mark.parametrize(("given", "days"), [("4w", 28), ("1d", 1), ("48h", 2)])
def test_runs_are_kept_for_a_duration(given: str, days: int) -> None:
    workspace()
    told = StringIO()
    call_command("keep_runs", given, stdout=told)
    assert f"are kept {days} days" in told.getvalue()


@pytest.mark.parametrize("given", ["90m", "36h", "0d", "40000d", "soon"])
def test_runs_are_kept_for_whole_days(given: str) -> None:
    workspace()
    with pytest.raises(SystemExit, match="2"):
        call_command("keep_runs", given, stderr=StringIO())


@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("yes\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_prune_runs_asks_on_a_terminal(answer: str, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = published(SHORT)
    ended(found, {}, days=31)
    main, terminal = os.openpty()
    with os.fdopen(terminal) as stdin:
        os.write(main, answer.encode() or b"\x04")
        monkeypatch.setattr(sys, "stdin", stdin)
        with nullcontext() if left == 0 else pytest.raises(SystemExit, match="2"):
            call_command("prune_runs", older_than="30d", stdout=StringIO(), stderr=StringIO())
    os.close(main)
    assert Run.objects.count() == left


def test_prune_runs_deletes_nothing_where_nobody_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    found = published(SHORT)
    ended(found, {}, days=31)
    told = StringIO()
    monkeypatch.setattr(sys, "stdin", StringIO("y\n"))
    with pytest.raises(SystemExit, match="2"):
        call_command("prune_runs", older_than="30d", stdout=StringIO(), stderr=told)
    assert "add --yes" in told.getvalue()
    assert Run.objects.count() == 1
