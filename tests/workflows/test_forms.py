"""Every accepted form of a workflow, and what it becomes."""

from __future__ import annotations

import time

import pytest

from actions.base import Json
from tests.workflows.definitions import document, needs, read, step
from workflows.definitions.errors import DefinitionError
from workflows.publishing.validate import validate

PIPELINE: dict[str, Json] = {
    "name": "data-pipeline",
    "steps": [
        {"name": "extract", "type": "transform", "payload": {"source": "db"}, "max_retries": 3},
        {"name": "process", "type": "compute", "payload": {"iterations": 1000}, "max_retries": 2},
        {"name": "notify", "type": "notify", "payload": {"channel": "slack"}, "max_retries": 1},
    ],
}
NODES: list[Json] = [
    {"id": "start", "type": "trigger"},
    {"id": "is-adult", "type": "condition", "data": {"expression": "input.age >= 18"}},
    {"id": "yes", "type": "action", "data": {"action": "notify", "config": {"channel": "a"}}},
    {"id": "no", "type": "action", "config": {"action": "noop"}},
    {"id": "join", "type": "wait", "data": {"seconds": 1}},
]
EDGES: list[Json] = [
    {"source": "start", "target": "is-adult"},
    {"source": "is-adult", "target": "yes", "condition": "true"},
    {"source": "is-adult", "target": "no", "condition": False},
    {"source": "yes", "target": "join"},
    {"source": "no", "target": "join"},
]


def test_steps_without_needs_follow_one_another() -> None:
    definition = validate(document(step("a"), step("b"), step("c"))).definition
    assert needs(definition) == {"a": [], "b": ["a"], "c": ["b"]}


def test_steps_without_needs_are_roots_once_any_step_has_needs() -> None:
    definition = validate(document(step("a"), step("b"), step("c", needs="a"))).definition
    assert needs(definition) == {"a": [], "b": [], "c": ["a"]}
    assert definition.roots() == ["a", "b"]


def test_a_step_that_is_jumped_to_stands_outside_the_line() -> None:
    definition = validate(document(step("a", on_error="goto:mend"), step("mend"), step("b"))).definition
    assert needs(definition) == {"a": [], "mend": [], "b": ["a"]}
    assert definition.roots() == ["a"]


def test_names_become_ids_and_are_kept_as_names() -> None:
    given = document({"name": "send mail", "action": "noop"}, step("b", needs=["send mail"]))
    first, second = validate(given).definition.steps
    assert (first.id, first.name, first.action) == ("send_mail", "send mail", "default")
    assert second.needs == ("send_mail",)


def test_a_step_without_id_and_name_is_called_after_its_action() -> None:
    assert validate(document({"action": "http_call", "with": {"url": "https://x.example"}})).definition.steps[0].id == (
        "http_request"
    )


def test_max_retries_counts_attempts_after_the_first() -> None:
    retry = validate(document(step("a", max_retries=0))).definition.steps[0].retry
    assert retry is not None
    assert retry.max_attempts == 1


def test_durations_are_read_in_words() -> None:
    only = validate(document(step("a", timeout="1m", retry={"delays": ["1m", "5m", 30]}))).definition.steps[0]
    assert only.timeout == 60
    assert only.retry is not None
    assert only.retry.delays == (60, 300, 30)


@pytest.mark.parametrize("key", ["on", "triggers"])
def test_on_is_the_same_as_triggers_and_said_to_be_for_later(key: str) -> None:
    checked = read(f"name: x\n{key}:\n  schedule: {{cron: '* * * * *'}}\nsteps: [{{id: a, action: noop}}]\n")
    assert checked.definition.triggers == ({"schedule": {"cron": "* * * * *"}},)
    assert checked.warnings == ("triggers is stored; this version does not perform it yet",)


def test_what_is_not_performed_yet_is_said() -> None:
    undone = step("a", compensate={"action": "noop"})
    checked = validate(document(undone, triggers=[{"webhook": {}}], on_failure=[step("alert")]))
    assert [warning.split()[0] for warning in checked.warnings] == ["triggers"]


def test_the_short_form_carries_its_payloads_as_the_first_run_s_input() -> None:
    checked = validate(PIPELINE)
    assert checked.start_input == {
        "extract": {"source": "db"},
        "process": {"iterations": 1000},
        "notify": {"channel": "slack"},
    }
    assert [each.payload for each in checked.definition.steps] == [
        "{{ input.extract }}",
        "{{ input.process }}",
        "{{ input.notify }}",
    ]
    assert needs(checked.definition) == {"extract": [], "process": ["extract"], "notify": ["process"]}


def test_short_forms_with_other_payloads_are_the_same_version() -> None:
    steps: list[Json] = [{"name": "work", "type": "compute", "payload": {"iterations": n}} for n in (1, 2)]
    first, second = (validate({"name": "x", "steps": [each]}).definition.hash() for each in steps)
    assert first == second


def test_a_short_form_payload_with_expressions_is_part_of_the_recipe() -> None:
    given: Json = {
        "name": "x",
        "steps": [
            {"name": "pick", "type": "transform", "payload": {"email": "a@example.com"}},
            {"name": "tell", "type": "notify", "payload": {"channel": "{{ steps.pick.output.email }}"}},
            {"name": "keep", "type": "transform", "payload": {"select": ["email"]}},
            {"name": "ask", "type": "condition", "payload": {"expression": "steps.pick.output.email"}},
        ],
    }
    checked = validate(given)
    assert checked.start_input == {"pick": {"email": "a@example.com"}}
    assert checked.definition.steps[1].with_ == {"channel": "{{ steps.pick.output.email }}"}
    assert checked.definition.steps[2].with_ == {"select": ["email"]}
    assert checked.definition.steps[3].with_ == {"expression": "steps.pick.output.email"}


def test_keys_of_a_short_form_payload_that_the_action_does_not_know_are_data() -> None:
    payloads: dict[str, Json] = {
        "compute": {"iterations": 500, "pipeline_id": 3},
        "notify": {"channel": "slack", "message": "step {{ steps.compute.output.iterations }}", "pipeline_id": 3},
        "transform": {"select": ["iterations"], "pipeline_id": 3, "note": "{{ no expression"},
        "http_call": {"url": "https://a.example", "metod": "POST"},
    }
    checked = validate({"name": "x", "steps": [{"type": kind, "payload": given} for kind, given in payloads.items()]})
    assert checked.start_input == {
        "compute": payloads["compute"],
        "notify": {"pipeline_id": 3},
        "transform": {"pipeline_id": 3, "note": "{{ no expression"},
        "http_request": payloads["http_call"],
    }
    tell, keep = checked.definition.steps[1:3]
    assert tell.with_ == {"channel": "slack", "text": "step {{ steps.compute.output.iterations }}"}
    assert keep.with_ == {"select": ["iterations"]}
    assert checked.definition.inputs == {"type": "object", "required": ["compute", "http_request"]}
    [warning] = checked.warnings
    assert warning.startswith("steps[3].payload.metod is data, because http_request has no such key")
    assert "did you mean 'method'?" in warning


def test_the_faults_of_a_payload_are_told_under_the_key_that_was_written() -> None:
    given: Json = {"name": "x", "steps": [{"type": "notify", "payload": {"message": "{{ 1 + }}"}}]}
    with pytest.raises(DefinitionError) as refused:
        validate(given)
    assert [problem.path for problem in refused.value.problems] == ["steps[0].payload.message"]


@pytest.mark.parametrize("key", ["pipeline_id", "message", "chanel"])
def test_with_takes_the_keys_of_the_action_only(key: str) -> None:
    config: Json = {"channel": "ops", key: "x"}
    with pytest.raises(DefinitionError) as refused:
        validate({"name": "x", "steps": [{"id": "a", "action": "notify", "with": config}]})
    assert [problem.path for problem in refused.value.problems] == [f"steps[0].with.{key}"]


def test_a_payload_of_very_many_keys_is_read_quickly() -> None:
    keys: dict[str, Json] = {f"iteration_{n}": n for n in range(100_000)}
    began = time.thread_time()
    checked = validate({"name": "x", "steps": [{"type": "compute", "payload": keys}]})
    assert len(checked.warnings) == 500
    assert time.thread_time() - began < 5


def test_a_transform_payload_with_none_of_its_own_keys_is_read_as_set() -> None:
    given: Json = {"name": "x", "steps": [{"name": "a", "type": "transform", "payload": {"b": "{{ input.b }}"}}]}
    assert validate(given).definition.steps[0].with_ == {"set": {"b": "{{ input.b }}"}}


def test_type_with_config_is_an_ordinary_step_and_starts_nothing() -> None:
    checked = validate({"name": "x", "steps": [{"id": "a", "type": "compute", "config": {"iterations": 1}}]})
    assert checked.start_input is None
    assert checked.definition.steps[0].with_ == {"iterations": 1}


def test_nodes_and_edges_become_steps_with_conditions_on_single_edges() -> None:
    definition = validate({"name": "x", "nodes": NODES, "edges": EDGES}).definition
    by_id = {each.id: each for each in definition.steps}
    assert needs(definition) == {
        "start": [], "is_adult": ["start"], "yes": ["is_adult"], "no": ["is_adult"], "join": ["yes", "no"],
    }  # fmt: skip
    assert by_id["is_adult"].name == "is-adult"
    assert by_id["yes"].if_ == "steps.is_adult.output.result"
    assert by_id["no"].if_ == "not steps.is_adult.output.result"
    assert by_id["join"].join == "none_failed"
    assert (by_id["start"].action, by_id["no"].action) == ("default", "default")


def test_a_conditional_edge_into_a_join_gets_a_step_that_carries_the_condition() -> None:
    edges: list[Json] = [*EDGES, {"source": "is-adult", "target": "join", "condition": "false"}]
    definition = validate({"name": "x", "nodes": NODES, "edges": edges}).definition
    carrier = next(each for each in definition.steps if each.id == "is_adult_false_to_join")
    assert (carrier.action, carrier.needs, carrier.if_) == (
        "default",
        ("is_adult",),
        "not steps.is_adult.output.result",
    )
    assert needs(definition)["join"] == ["yes", "no", "is_adult_false_to_join"]


def test_numbers_as_node_ids_become_step_ids() -> None:
    nodes: list[Json] = [{"id": 1, "type": "trigger"}, {"id": 2, "type": "wait", "data": {"seconds": 1}}]
    definition = validate({"name": "x", "nodes": nodes, "edges": [{"source": 1, "target": 2}]}).definition
    assert needs(definition) == {"step_1": [], "step_2": ["step_1"]}


def test_a_retry_policy_may_be_one_word() -> None:
    tiers = validate(document(step("a", retry="three_tier"))).definition.steps[0].retry
    assert tiers is not None
    assert tiers.delays == (0, 60, 300, 1800)
    ladder = validate(document(step("a", retry="ladder"))).definition.steps[0].retry
    assert ladder is not None
    assert (ladder.delays, ladder.max_attempts) == ((60, 300, 1800), None)
    once = validate(document(step("a", retry="none"))).definition.steps[0].retry
    assert once is not None
    assert once.max_attempts == 1


@pytest.mark.parametrize(
    "word", ["http:500", "HTTP:500", "http:5xx", "HTTP:4XX", "Timeout", "error", "connection", "database"]
)
def test_a_failure_to_try_again_is_named_in_any_letter_case(word: str) -> None:
    retry = validate(document(step("a", retry={"on": [word]}))).definition.steps[0].retry
    assert retry is not None
    assert retry.on == (word,)


def test_an_action_names_kinds_of_its_own() -> None:
    said: Json = {"id": "a", "action": "flaky", "retry": {"on": ["flaky", "timeout"]}}
    assert validate({"name": "n", "steps": [said]}).definition.steps[0].retry is not None


@pytest.mark.parametrize("data", [{"until": "2026-12-01", "timezone": "UTC"}, {"until": "2026-12-01T09:00 Asia/Tokyo"}])
def test_node_that_waits_may_name_a_time_zone(data: dict[str, Json]) -> None:
    nodes: list[Json] = [{"id": "start", "type": "trigger"}, {"id": "nap", "type": "wait", "data": {**data}}]
    edges: list[Json] = [{"source": "start", "target": "nap"}]
    found = validate({"name": "n", "nodes": nodes, "edges": edges}).definition
    assert found.steps[-1].with_ == data
