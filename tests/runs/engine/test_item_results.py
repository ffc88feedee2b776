"""The results of a for_each step: in its output up to a stated size, and as rows for the next for_each in any case."""

from __future__ import annotations

import random
import re
import string
from typing import Any
from uuid import UUID

import pytest

from runs.control import replays
from runs.domain.actor import Actor
from runs.engine import for_each
from runs.models import ItemBatch, StepRun
from tests.engine import drain, state
from tests.flows import begun, published, the_run
from tests.runs.engine.test_for_each import DOUBLE, FAILING, looped, ran
from workflows.definitions.errors import DefinitionError

pytestmark = pytest.mark.django_db(transaction=True)

SAME = "action: transform, with: {set: {v: '{{ item }}'}}"
STREAM = "for_each: {items: '{{ steps.each.results }}'}, action: transform"


def row(run_id: UUID, step: str) -> StepRun:
    return StepRun.objects.get(run_id=run_id, step=step, item=-1)


def why(run_id: UUID, step: str) -> str:
    return str((row(run_id, step).error or {}).get("message"))


def output_of(run_id: UUID, step: str = "each") -> dict[str, Any]:
    output = row(run_id, step).output
    assert isinstance(output, dict)
    return output


def noise(count: int) -> str:
    """Text that does not get smaller when it is compressed."""
    return "".join(random.Random(count).choices(string.ascii_letters + string.digits, k=count))


def test_results_are_measured_as_json_and_not_by_what_they_take_when_compressed() -> None:
    assert len(output_of(ran(looped(SAME), [noise(100_000) for _ in range(3)]))["results"]) == 3
    assert len(output_of(ran(looped(SAME), [list(range(20_000))] * 5))["results"]) == 5
    assert len(output_of(ran(looped(SAME), ["a" * 100_000] * 30))["results"]) == 30
    output = output_of(ran(looped(SAME), ["a" * 500_000] * 12))
    assert "results" not in output
    assert output["results_left_out"] == {"count": 12, "why": "the 12 are larger than 4 MB as JSON"}
    assert (output["count"], output["succeeded"], output["failed"]) == (12, 12, 0)


def test_ten_thousand_results_are_collected_and_more_are_left_to_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (for_each.COLLECTED_RESULTS, for_each.COLLECTED_BYTES) == (10_000, 4 * 1024 * 1024)
    monkeypatch.setattr(for_each, "COLLECTED_RESULTS", 1000)
    assert len(output_of(ran(looped(DOUBLE, each="batch: 500"), list(range(1000))))["results"]) == 1000
    output = output_of(ran(looped(DOUBLE, each="batch: 500"), list(range(1001))))
    assert output["results_left_out"] == {"count": 1001, "why": "they are 1,001, more than 1,000"}
    assert (output["count"], output["succeeded"]) == (1001, 1001)


READS = [
    "{{ steps.each.output.results }}",
    "{{ steps.each.output.results|length }}",
    "{{ steps.each.output.results|default([]) }}",
    "{{ steps.each.output.results is defined }}",
    "{{ results }}",
    "first: {{ steps.each.output['results'][0] }}",
    "{{ steps['each'].output.results if true else 0 }}",
]


@pytest.mark.parametrize("read", READS)
def test_a_step_that_asks_for_results_that_were_left_out_fails_and_says_what_to_do(read: str) -> None:
    after = f"""  - {{id: sum, action: transform, with: {{set: {{n: "{read}"}}}}}}\n"""
    run_id = ran(looped(DOUBLE, each="collect: false", after=after), [1, 2])
    assert state(run_id) == "failed"
    message = why(run_id, "sum")
    assert "the step has collect: false" in message
    assert "{{ steps.<id>.results }}" in message


def test_counts_can_be_read_and_the_whole_output_says_what_is_not_in_it() -> None:
    read = "{n: '{{ steps.each.output.succeeded }}', of: '{{ count }}', all: '{{ steps.each.output }}'}"
    after = f"  - {{id: sum, action: transform, with: {{set: {read}}}}}\n"
    run_id = ran(looped(DOUBLE, each="collect: false", after=after), [1, 2])
    output = output_of(run_id, "sum")
    assert (output["n"], output["of"], output["all"]["results_left_out"]["count"]) == (2, 2, 2)


def test_a_run_whose_output_needs_results_that_were_left_out_fails_with_the_reason() -> None:
    after = "output: {n: '{{ steps.each.output.results|length }}'}\n"
    run_id = ran(looped(DOUBLE, each="collect: false", after=after), [1, 2])
    assert state(run_id) == "failed"
    assert "collect: false" in str(the_run(run_id).error)


def test_a_for_each_streams_the_results_of_another_one_without_a_copy() -> None:
    after = f"  - {{id: again, {STREAM}, with: {{set: {{m: '{{{{ item.n + 1 }}}}', i: '{{{{ index }}}}'}}}}}}\n"
    run_id = ran(looped(DOUBLE, each="collect: false", after=after), [5, 6, 7])
    assert output_of(run_id, "again")["results"] == [{"m": 11, "i": 0}, {"m": 13, "i": 1}, {"m": 15, "i": 2}]
    assert set(ItemBatch.objects.filter(run_id=run_id).values_list("step", flat=True)) == {"each"}


def test_streamed_results_are_those_that_the_output_would_have_had() -> None:
    after = f"  - {{id: again, {STREAM}, with: {{set: {{of: '{{{{ item }}}}'}}}}}}\n"
    run_id = ran(looped(FAILING, each="on_item_error: continue", after=after), [1, 0, 1])
    collected = output_of(run_id)["results"]
    assert "error" in collected[1]
    assert [one["of"] for one in output_of(run_id, "again")["results"]] == collected
    skipping = looped(f"if: '{{{{ item > 1 }}}}', {SAME}", after=after)
    run_id = ran(skipping, [1, 2])
    assert [one["of"] for one in output_of(run_id, "again")["results"]] == [None, {"v": 2}]


def test_an_empty_list_streams_nothing_and_a_skipped_step_cannot_be_streamed() -> None:
    after = f"  - {{id: again, {STREAM}, with: {{set: {{}}}}, join: all_done}}\n"
    assert output_of(ran(looped(DOUBLE, after=after), []), "again")["count"] == 0
    run_id = ran(looped(f"if: 'false', {DOUBLE}", after=after), [1])
    assert state(run_id) == "failed"
    assert "steps.each.results cannot be read: the step is skipped" in why(run_id, "again")


def test_a_replay_streams_the_results_that_it_kept() -> None:
    after = f"  - {{id: again, {STREAM}, with: {{set: {{m: '{{{{ item.n }}}}'}}}}}}\n"
    run_id = ran(looped(DOUBLE, each="collect: false", after=after), [5, 6])
    replay = replays.replay(run_id, step="again", actor=Actor())
    drain()
    assert output_of(replay, "again")["results"] == [{"m": 10}, {"m": 12}]
    assert StepRun.objects.filter(run_id=replay, step="each", item__gte=0).count() == 2


# A key of the last step, and what is said.
WRONG = [
    ("with: {set: {n: '{{ steps.each.results }}'}}", "which only `for_each.items` may"),
    ('if: "steps.each.results|length > 1"', "which only `for_each.items` may"),
    ('for_each: {items: "{{ steps.each.results[:3] }}"}', "which only `for_each.items` may"),
    ("with: {set: {n: \"{{ steps['each'].results|default(0) }}\"}}", "which only `for_each.items` may"),
    ("with: {set: {n: '{{ steps.each.outptu.x }}'}}", "a step has output, state and error"),
    ("for_each: {items: '{{ steps.plain.results }}'}", "'plain' is no for_each step"),
    ("for_each: {items: '{{ steps.none.results }}'}", "there is no step 'none'"),
]


@pytest.mark.parametrize(("rest", "wanted"), WRONG)
def test_what_a_step_does_not_have_is_refused_when_the_workflow_is_published(rest: str, wanted: str) -> None:
    text = (
        "name: wrong\nsteps:\n  - {id: plain, action: default}\n"
        "  - {id: each, for_each: {items: [1]}, action: default, needs: [plain]}\n"
        f"  - {{id: end, action: transform, needs: [each], {rest}}}\n"
    )
    with pytest.raises(DefinitionError, match=re.escape(wanted)):
        published(text)


def test_a_version_whose_for_each_streams_can_be_started_many_times() -> None:
    after = f"  - {{id: again, {STREAM}, with: {{set: {{m: '{{{{ item.n }}}}'}}}}}}\n"
    run_ids = begun(published(looped(DOUBLE, after=after)), *({"rows": [n, n + 1]} for n in range(5)))
    drain()
    assert [output_of(run_id, "again")["results"][0]["m"] for run_id in run_ids] == [0, 2, 4, 6, 8]
