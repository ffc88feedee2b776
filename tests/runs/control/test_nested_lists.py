"""One fault below a for_each is one dead letter, at the item's run; its retry lets the item wait and its list go on."""

from __future__ import annotations

from uuid import UUID

import pytest

from actions.base import Json
from runs.control import dead_letters, parents_again, retries, signals
from runs.domain.actor import Actor
from runs.engine.sub_workflows import RETRIED_ABOVE
from runs.maintenance import invariants
from runs.models import DeadLetter, Intervention, Run, StepRun
from tests.engine import drain
from tests.flows import begun, published, the_run
from tests.runs.doors import api
from tests.runs.maintenance.test_alerts import alerting, told

pytestmark = pytest.mark.django_db(transaction=True)

# Fails for 0. Its step reads its own input, so that another one mends it.
CHILD = 'name: child\nsteps: [{id: a, action: transform, with: {set: {n: "{{ 1 // n }}"}}}]'
LISTED = """
name: {name}
steps:
  - id: each
    for_each: {{items: "{{{{ input }}}}", max_parallel: {window}, on_item_error: {on}}}
    action: sub_workflow
    with: {{workflow: {below}, input: {item}}}
  - {{id: after, action: default}}
"""


def listed(name: str = "list", *, below: str = "child", window: int = 2, on: str = "fail", more: str = "") -> str:
    item = '{n: "{{ item }}"}' if below == "child" else '"{{ item }}"'
    return LISTED.format(name=name, below=below, window=window, on=on, item=item) + more


def ran(text: str, given: Json) -> UUID:
    published(CHILD)
    [run_id] = begun(published(text), given)
    drain()
    return run_id


def items(run_id: UUID) -> dict[int, str]:
    rows = StepRun.objects.filter(run_id=run_id, step="each", item__gte=0)
    return dict(rows.order_by("item").values_list("item", "state"))


def each_of(run_id: UUID) -> StepRun:
    return StepRun.objects.get(run_id=run_id, step="each", item=-1)


def states(run_id: UUID) -> dict[str, str]:
    return dict(StepRun.objects.filter(run_id=run_id, item=-1).values_list("step", "state"))


def letters() -> list[tuple[str, str]]:
    found = DeadLetter.objects.filter(state="open").order_by("id")
    return [(letter.run.workflow.name, letter.step) for letter in found.select_related("run__workflow")]


def retried(*, at: int = 0) -> UUID:
    """Retry an open dead letter, with an input that mends it; return its run."""
    letter = list(DeadLetter.objects.filter(state="open").order_by("id"))[at]
    assert dead_letters.retry([letter.pk], actor=Actor(reason="mended"), given={"n": 1}) == {letter.pk}
    return letter.run_id


def test_one_failed_item_is_one_letter_and_its_retry_lets_the_list_go_on() -> None:
    alert = alerting()
    run_id = ran(listed(), [1, 0, 1, 1, 1])
    assert letters() == [("child", "a")]
    assert len(told(alert)) == 1
    error = each_of(run_id).error
    assert error is not None
    lowest = retried()
    assert error["details"]["dead_letter_run"] == str(lowest)
    assert (the_run(run_id).state, states(run_id)) == ("running", {"each": "waiting"})
    assert items(run_id)[1] == "waiting"
    drain()
    assert invariants.check() == 0
    assert states(run_id) == {"each": "succeeded", "after": "succeeded"}
    output = each_of(run_id).output
    assert output is not None
    assert (output["count"], output["succeeded"], output["failed"]) == (5, 5, 0)
    assert letters() == []
    assert Intervention.objects.get(run_id=run_id, verb="retry").details["steps"] == ["each[1]"]
    assert Run.objects.filter(parent_id=run_id).count() == 5, "nobody starts another run"


def test_each_deepest_fault_is_a_letter_and_the_list_goes_on_when_none_is_left() -> None:
    run_id = ran(listed(window=3), [0, 0, 0, 1, 1])
    assert letters() == [("child", "a")] * 3
    retried(at=1)
    drain()
    assert the_run(run_id).state == "failed"
    assert items(run_id) == {0: "failed", 1: "succeeded", 2: "failed"}, "no other item begins while some have failed"
    assert letters() == [("child", "a")] * 2, "the list leaves no letter beside those of its items"
    left = list(DeadLetter.objects.filter(state="open").values_list("pk", flat=True))
    assert dead_letters.retry(left, actor=Actor(), given={"n": 1}) == set(left)
    assert items(run_id) == {0: "waiting", 1: "succeeded", 2: "waiting"}
    drain()
    assert the_run(run_id).state == "succeeded"
    assert set(items(run_id).values()) == {"succeeded"}
    assert len(items(run_id)) == 5
    assert invariants.check() == 0


def test_an_item_that_failed_without_a_run_below_leaves_the_letter_at_the_list() -> None:
    text = CHILD + "\ninputs: {type: object, properties: {n: {type: integer}}}"
    published(text)
    [run_id] = begun(published(listed()), [0, "none"])
    drain()
    assert sorted(letters()) == [("child", "a"), ("list", "each")]
    retried()
    drain()
    assert (the_run(run_id).state, items(run_id)) == ("failed", {0: "succeeded", 1: "failed"})
    assert letters() == [("list", "each")], "the list's own letter is there again"
    assert retries.retry([run_id], actor=Actor())
    assert letters() == []


def test_a_fault_below_lists_in_lists_is_one_letter_and_goes_up_to_the_top() -> None:
    published(CHILD)
    published(listed("middle"))
    published('name: plain\nsteps: [{id: call, action: sub_workflow, with: {workflow: middle, input: "{{ input }}"}}]')
    [run_id] = begun(
        published(listed("top", below="plain", more="finally: [{id: tidy, action: default}]")), [[1, 0], [1]]
    )
    drain()
    assert letters() == [("child", "a")]
    assert states(run_id) == {"each": "failed", "after": "skipped", "tidy": "succeeded"}
    assert {run.state for run in Run.objects.filter(depth__lt=3)} == {"failed", "succeeded"}
    lowest = retried()
    assert states(run_id) == {"each": "waiting"}
    assert parents_again.kept([lowest]) == {}
    drain()
    assert {run.state for run in Run.objects.all()} == {"succeeded"}
    assert states(run_id) == {"each": "succeeded", "after": "succeeded", "tidy": "succeeded"}
    assert invariants.check() == 0


def test_a_fault_that_is_retried_while_the_list_or_another_branch_goes_on_is_no_failure_of_it() -> None:
    published(CHILD)
    published("name: waits\nsteps: [{id: w, action: wait_for_signal, with: {name: go}}]")
    called = """{workflow: "{{ item.flow }}", input: {n: "{{ item.n }}"}}"""
    text = listed(
        more="  - {id: call, action: sub_workflow, needs: [], with: {workflow: child, input: {n: 0}}}\n"
    ).replace('{workflow: child, input: {n: "{{ item }}"}}', called)
    [run_id] = begun(published(text), [{"flow": "child", "n": 0}, {"flow": "waits", "n": 1}, {"flow": "child", "n": 1}])
    drain()
    assert (states(run_id)["call"], items(run_id)) == ("failed", {0: "failed", 1: "waiting"})
    assert letters() == [("child", "a")] * 2
    state = the_run(run_id).state
    lowest = [retried(), retried()]
    assert parents_again.kept(lowest) == {}
    assert the_run(run_id).state == state == "running"
    drain()
    assert (states(run_id)["call"], items(run_id)) == ("succeeded", {0: "succeeded", 1: "waiting", 2: "succeeded"})
    [waiting] = Run.objects.filter(workflow__name="waits").values_list("pk", flat=True)
    signals.send([waiting], message=signals.Message("go", payload=None), actor=Actor())
    drain()
    assert the_run(run_id).state == "succeeded"
    assert letters() == []
    assert invariants.check() == 0


def test_a_retry_by_policy_leaves_the_letter_of_the_last_run_alone() -> None:
    retry = "    retry: {max_attempts: 3, initial: 0s}\n    action: sub_workflow"
    run_id = ran(listed().replace("    action: sub_workflow", retry), [0, 1])
    assert Run.objects.filter(parent_id=run_id, state="failed").count() == 3
    closed = DeadLetter.objects.exclude(state="open")
    assert set(closed.values_list("state", "resolution")) == {("retried", RETRIED_ABOVE)}
    [letter] = DeadLetter.objects.filter(state="open")
    assert letter.run_id == Run.objects.get(parent_id=run_id, parent_item=0, parent_attempt=3).pk
    oldest = Run.objects.get(parent_id=run_id, parent_item=0, parent_attempt=1).pk
    assert retries.retry([oldest], actor=Actor())
    assert "has started another run in place of this one" in parents_again.kept([oldest])[oldest]
    assert items(run_id)[0] == "failed"


@pytest.mark.parametrize(
    ("text", "state", "says"),
    [
        (listed(on="continue"), "succeeded", "is succeeded, and its step 'each' had handled the failure"),
        (
            "name: list\nsteps:\n  - {id: pay, action: default, compensate: {action: default}}\n"
            + listed().partition("steps:\n")[2],
            "compensated",
            "has ended and ran its compensations, which cannot be taken back; replay it",
        ),
        (
            listed(more="on_failure: [{id: ask, action: approval, with: {message: really}}]\n"),
            "waiting",
            "it is performing what follows its work, which is failed; replay it if it is to go on after that",
        ),
    ],
    ids=["continue", "compensated", "on_failure"],
)
def test_a_run_above_that_keeps_its_end_is_told_in_the_answer_and_at_both(text: str, state: str, says: str) -> None:
    run_id = ran(text.replace("    for_each", "    needs: []\n    for_each"), [0])
    assert the_run(run_id).state == state
    letter = DeadLetter.objects.get(state="open")
    status, answer = api().post(f"dead-letters/{letter.pk}/retry", {"why": "mended", "input": {"n": 1}})
    assert status == 200, answer
    [note] = answer["notes"]
    assert note.startswith(f"run {run_id} of workflow 'list' above does not wait for this run again: ")
    assert says in note
    drain()
    assert (the_run(letter.run_id).state, the_run(run_id).state) == ("succeeded", state)
    assert letters() == []
    assert api().get(f"runs/{letter.run_id}")[1]["notes"] == [note]
    above = api().get(f"runs/{run_id}")[1]["notes"]
    stays = f"run {letter.run_id}, by which item 0 of step 'each' failed, was retried by hand since and is succeeded"
    assert [one.partition(";")[0] for one in above] == ([stays] if state == "compensated" else [])
