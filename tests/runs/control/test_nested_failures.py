"""One fault in nested sub-workflows is one dead letter, at the deepest run; its retry lets all above wait again."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db.models.functions import Now

from actions.base import Json
from runs.control import dead_letters, retries, stops
from runs.domain.actor import Actor
from runs.engine import stopping
from runs.maintenance import invariants
from runs.models import DeadLetter, Intervention, Run
from tests.engine import drain
from tests.flows import begun, published, states, steps, the_run
from tests.runs.maintenance.test_alerts import alerting, told

pytestmark = pytest.mark.django_db(transaction=True)

BROKEN = 'name: level-0\nsteps: [{id: a, action: transform, with: {set: {n: "{{ missing + 1 }}"}}}]'
ABOVE = """
name: level-{level}
steps:
  - {{id: call, action: sub_workflow, with: {{workflow: level-{below}, input: "{{{{ input }}}}"}}}}
  - {{id: after, action: default}}
"""
MENDED: Json = {"missing": 1}


def nested(depth: int, *, bottom: str = BROKEN, more: str = "") -> list[UUID]:
    """Runs in a line of sub-workflows, the lowest first, after all that follows by itself. `more`: of the highest."""
    flow = published(bottom)
    for level in range(1, depth + 1):
        flow = published(ABOVE.format(level=level, below=level - 1) + (more if level == depth else ""))
    line = begun(flow, {})
    drain()
    while (below := Run.objects.filter(parent_id=line[-1]).order_by("-id").first()) is not None:
        line.append(below.pk)
    return line[::-1]


def retried() -> None:
    """Retry the only open dead letter, with an input that mends it."""
    letter = DeadLetter.objects.get(state="open")
    assert dead_letters.retry([letter.pk], actor=Actor(reason="mended"), given=MENDED) == {letter.pk}


@pytest.mark.parametrize("depth", [1, 2, 9])
def test_a_fault_is_one_letter_and_one_alert_and_its_retry_goes_up_to_the_top(depth: int) -> None:
    alert = alerting()
    line = nested(depth)
    assert {the_run(run_id).state for run_id in line} == {"failed"}
    letter = DeadLetter.objects.get()
    assert (letter.run_id, letter.step) == (line[0], "a")
    assert len(told(alert)) == 1
    for run_id in line[1:]:
        error = steps(run_id)["call"].error
        assert error is not None
        assert error["details"]["dead_letter_run"] == str(line[0]), "each run above points to the letter"
    retried()
    assert [the_run(run_id).state for run_id in line] == ["running", *["waiting"] * depth]
    assert states(line[-1]) == {"call": "waiting"}
    assert invariants.check() == 0
    drain()
    assert {the_run(run_id).state for run_id in line} == {"succeeded"}
    assert states(line[-1]) == {"call": "succeeded", "after": "succeeded"}
    assert (len(told(alert)), DeadLetter.objects.filter(state="open").count()) == (1, 0)
    assert Intervention.objects.filter(run_id=line[-1], verb="retry", why="mended").exists()
    assert Run.objects.filter(source="sub_workflow").count() == depth, "nobody starts another run"


def test_a_retry_that_fails_again_is_one_letter_and_one_alert_again() -> None:
    alert = alerting()
    line = nested(3)
    [letter] = DeadLetter.objects.values_list("pk", flat=True)
    assert dead_letters.retry([letter], actor=Actor())
    drain()
    assert {the_run(run_id).state for run_id in line} == {"failed"}
    assert list(DeadLetter.objects.filter(state="open").values_list("run_id", "step")) == [(line[0], "a")]
    assert len(told(alert)) == 2
    retried()
    drain()
    assert {the_run(run_id).state for run_id in line} == {"succeeded"}


def test_what_followed_the_failure_of_a_parent_comes_again() -> None:
    more = "on_failure: [{id: tell, action: default}]\nfinally: [{id: tidy, action: default}]\n"
    line = nested(2, more=more)
    assert states(line[-1]) == {"call": "failed", "after": "skipped", "tell": "succeeded", "tidy": "succeeded"}
    retried()
    assert states(line[-1]) == {"call": "waiting"}
    drain()
    assert states(line[-1]) == {"call": "succeeded", "after": "succeeded", "tidy": "succeeded"}


@pytest.mark.parametrize("stopped", ["cancelled", "timed out"])
def test_a_parent_that_is_stopped_itself_has_the_letter(stopped: str) -> None:
    text = "name: level-0\nsteps: [{id: nap, action: wait, with: {for: 1h}}]"
    line = nested(2, bottom=text)
    if stopped == "cancelled":
        stops.cancel([line[1]], actor=Actor())
    else:
        Run.objects.filter(pk=line[1]).update(deadline=Now())
        stopping.time_out([line[1]])
    drain()
    letter = DeadLetter.objects.get()
    expected = (line[2], "call") if stopped == "cancelled" else (line[1], "")
    assert (letter.run_id, letter.step) == expected


def test_a_parent_that_was_compensated_does_not_wait_again() -> None:
    published(BROKEN)
    published(ABOVE.format(level=1, below=0))
    flow = published(
        """
name: level-2
steps:
  - {id: pay, action: default, compensate: {action: default}}
  - {id: call, action: sub_workflow, with: {workflow: level-1, input: "{{ input }}"}}
"""
    )
    [top] = begun(flow, {})
    drain()
    middle = Run.objects.get(parent_id=top)
    lowest = Run.objects.get(parent_id=middle.pk)
    assert (the_run(top).state, middle.state) == ("compensated", "failed")
    retried()
    drain()
    assert [the_run(one).state for one in (lowest.pk, middle.pk, top)] == ["succeeded", "succeeded", "compensated"]
    assert invariants.check() == 0


def test_a_timeout_of_the_deepest_run_is_its_own_letter_and_the_only_one() -> None:
    alert = alerting()
    line = nested(3, bottom="name: level-0\ntimeout: 1h\nsteps: [{id: nap, action: wait, with: {for: 2h}}]")
    Run.objects.filter(pk=line[0]).update(deadline=Now())
    stopping.time_out([line[0]])
    drain()
    assert {the_run(run_id).state for run_id in line} == {"failed"}
    assert list(DeadLetter.objects.values_list("run_id", "step", "reason")) == [(line[0], "", "run_timed_out")]
    assert len(told(alert)) == 1


def test_a_retry_of_a_run_above_starts_new_runs_and_closes_the_letter_of_the_old_ones() -> None:
    line = nested(2)
    assert retries.retry([line[2]], actor=Actor(reason="anew")) == {line[2]}
    assert not DeadLetter.objects.filter(state="open").exists()
    drain()
    [letter] = DeadLetter.objects.filter(state="open")
    assert letter.run_id not in line
