"""Every run that fails leaves one dead letter, and starts one alert: also one that fails without a failed step."""

from __future__ import annotations

from io import StringIO
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db.models.functions import Now
from django.urls import reverse

from runs.control import dead_letters, preconditions
from runs.domain.actor import Actor
from runs.engine import stopping
from runs.models import DeadLetter, Run
from tests.engine import drain
from tests.flows import begun, published, the_run
from tests.runs.doors import admin, api
from tests.runs.maintenance.test_alerts import alerting, told

pytestmark = pytest.mark.django_db(transaction=True)

NO_OUTPUT = """
name: no-output
steps:
{steps}
output: {{total: "{{{{ steps.a.output.missing.field }}}}"}}
"""
LINEAR = "  - {id: a, action: default}"
CLAIMED = "  - {id: a, action: sleep, with: {seconds: 0}}"
GRAPH = """  - {id: a, action: default}
  - {id: b, needs: [], action: default}"""
HANDLED = """  - {id: a, action: default}
on_failure:
  - {id: tell, action: default}
finally:
  - {id: tidy, action: default}"""
WAITING = """
name: too-long
timeout: 1h
steps:
  - {id: a, action: wait, with: {for: 2h}}
"""


def timed_out(run_id: UUID) -> None:
    Run.objects.filter(pk=run_id).update(deadline=Now())
    stopping.time_out([run_id])


@pytest.mark.parametrize("steps", [LINEAR, CLAIMED, GRAPH, HANDLED], ids=["inline", "claimed", "graph", "handled"])
@pytest.mark.parametrize("count", [1, 3])
def test_an_output_that_cannot_be_rendered_leaves_a_dead_letter_of_the_run(steps: str, count: int) -> None:
    alert = alerting()
    runs = begun(published(NO_OUTPUT.format(steps=steps)), *[{}] * count)
    drain()
    assert {the_run(run_id).state for run_id in runs} == {"failed"}
    letters = DeadLetter.objects.filter(run_id__in=runs)
    assert sorted(letters.values_list("run_id", flat=True)) == sorted(runs)
    assert set(letters.values_list("step", "reason", "state")) == {("", "output", "open")}
    assert len(told(alert)) == count
    assert letters[0].error == the_run(letters[0].run_id).error


@pytest.mark.parametrize("more", ["", "finally: [{id: tidy, action: default}]"], ids=["alone", "with finally"])
def test_a_run_that_exceeds_its_timeout_leaves_a_dead_letter_of_the_run(more: str) -> None:
    alert = alerting()
    [run_id] = begun(published(WAITING + more))
    drain()
    timed_out(run_id)
    drain()
    assert the_run(run_id).state == "failed"
    letter = DeadLetter.objects.get(run_id=run_id)
    assert (letter.step, letter.reason, letter.error["kind"]) == ("", "run_timed_out", "timeout")
    assert len(told(alert)) == 1


def test_a_run_whose_step_has_a_dead_letter_already_gets_no_second_one() -> None:
    alert = alerting()
    text = WAITING + "  - {id: bad, needs: [], action: fail, with: {message: no}, retry: none}\n"
    [run_id] = begun(published(text))
    drain()
    timed_out(run_id)
    drain()
    assert DeadLetter.objects.get(run_id=run_id).step == "bad"
    assert len(told(alert)) == 1


def test_every_door_shows_the_letter_and_says_what_can_be_done() -> None:
    [run_id] = begun(published(NO_OUTPUT.format(steps=LINEAR)))
    drain()
    letter = DeadLetter.objects.get(run_id=run_id)
    [listed] = api().get("dead-letters")[1]["results"]
    assert (listed["step"], listed["reason"]) == ("", "output")
    for page in (
        reverse("admin:runs_deadletter_changelist"),
        reverse("admin:runs_deadletter_change", args=[letter.pk]),
        reverse("admin:runs_run_change", args=[run_id]),
    ):
        assert "the run itself" in admin().get(page).content.decode()
    shown = admin().get(reverse("admin:runs_deadletter_change", args=[letter.pk])).content.decode()
    assert "Replay the run" in shown
    assert "Replay from this step" not in shown
    printed = StringIO()
    call_command("dead_letters", stdout=printed)
    assert "the run itself" in printed.getvalue()
    status, answer = api().post(f"dead-letters/{letter.pk}/retry", {})
    assert status == 409
    assert "replay the run" in answer["detail"]
    assert not preconditions.can_retry_dead_letter(letter)
    assert dead_letters.discard([letter.pk], actor=Actor(reason="seen")) == {letter.pk}
