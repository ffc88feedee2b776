"""What is wrong with a definition is said at its path, and nothing is accepted half."""

from __future__ import annotations

import time

import pytest

from actions.base import Json
from tests.workflows.definitions import document, faults, step
from tests.workflows.test_forms import EDGES, NODES
from workflows.definitions.definition import Definition
from workflows.definitions.errors import DefinitionError
from workflows.publishing.validate import validate


@pytest.mark.parametrize(
    ("given", "path", "said"),
    [
        ([1], "", "must be a mapping"),
        ({"name": "x"}, "steps", "is required"),
        ({"name": "x", "steps": []}, "steps", "at least one step"),
        ({"name": "x", "steps": "a"}, "steps", "must be a list"),
        ({"name": "x", "steps": [3]}, "steps[0]", "must be a mapping"),
        ({"steps": [step("a")]}, "name", "is required"),
        ({"name": "_jobs", "steps": [step("a")]}, "name", "must not begin with an underscore"),
        (document(step("a"), stepz=[]), "stepz", "did you mean 'steps'?"),
        (document(step("a"), on=[], triggers=[]), "triggers", "means the same"),
        (document(step("a"), triggers=[{"shedule": {}}]), "triggers[0]", "did you mean 'schedule'?"),
        (document(step("a"), concurrency={"limits": 1, "limit": 1}), "concurrency.limits", "did you mean 'limit'?"),
        (document(step("a"), concurrency={"policy": "skip"}), "concurrency.limit", "is required"),
        (document(step("a"), concurrency={"limit": 0}), "concurrency.limit", "must be 1 or more, not 0"),
        (document(step("a"), concurrency={"limit": 1, "policy": "drop"}), "concurrency.policy", "queue, skip or"),
        (document(step("a"), concurrency={"limit": 1, "key": "customer"}), "concurrency.key", "has no expression"),
        (
            document(step("a"), concurrency={"limit": 1, "key": "{{ steps.a.output }}"}),
            "concurrency.key",
            "look at `input` only",
        ),
        (document(step("a"), concurrency={"limit": 1, "key": "{{ input. }}"}), "concurrency.key", "expression"),
        (document(step("a"), priority=101), "priority", "must be 100 or less, not 101"),
        (document(step("a"), inputs={"type": "objct"}), "inputs.type", "did you mean 'object'?"),
        (document(step("a"), inputs={"$ref": "http://127.0.0.1/x"}), "inputs", "is no valid JSON Schema"),
        (document(step("a"), labels={"a": 1}), "labels.a", 'must be a text, not 1; write a: "1"'),
        (document(step("a"), output="{{ steps.b.output }}"), "output", "there is no step 'b'"),
        (document(step("a"), timeout="soon"), "timeout", "is no duration"),
        (document(step("a"), timeout=0), "timeout", "must be more than 0, not 0"),
        (document(step("a"), finaly=[step("b")]), "finaly", "did you mean 'finally'?"),
        (document(step("a"), finally_=[step("a")]), "finally[0].id", "is the id of a step outside already"),
        (document(step("a"), on_failure=[step("b")], finally_=[step("b")]), "finally[0].id", "already"),
        (
            document(step("a"), on_failure=[step("b")], finally_=[step("c", if_="steps.b.output")]),
            "finally[0].if",
            "there is no step 'b'",
        ),
        (
            document(step("a"), finally_=[step("b", compensate={"action": "noop"})]),
            "finally[0].compensate",
            "is never undone",
        ),
    ],
)
def test_the_document_as_a_whole(given: Json, path: str, said: str) -> None:
    assert said in faults(given)[path]


@pytest.mark.parametrize(
    ("given", "path", "said"),
    [
        (step("a", neds=[]), "neds", "did you mean 'needs'?"),
        (step("a-b"), "id", "write 'a_b'"),
        (step("1a"), "id", "must be a text of letters"),
        ({"id": "a", "action": "compte"}, "action", "did you mean 'compute'?"),
        ({"id": "a"}, "action", "is required"),
        (step("a", type="default"), "type", "means the same as action"),
        (step("a", max_retries=-1), "max_retries", "must be a whole number from 0"),
        (step("a", max_retries=True), "max_retries", "must be a whole number from 0"),
        (step("a", retry={"max_attempts": 0}), "retry.max_attempts", "must be 1 or more, not 0"),
        (step("a", retry="steps"), "retry", "is no preset; write none, ladder, three_tier"),
        (step("a", retry={"on": ["http"]}), "retry.on[0]", "write http:5xx, http:4xx, or one status such as http:503"),
        (step("a", retry={"on": ["timeout", "5xx"]}), "retry.on[1]", "did you mean 'http:5xx'?"),
        (step("a", retry={"on": ["HTTP 503"]}), "retry.on[0]", "did you mean 'http:503'?"),
        (step("a", retry={"on": ["timeoutt"]}), "retry.on[0]", "did you mean 'timeout'?"),
        (step("a", retry={"on": ["http:200"]}), "retry.on[0]", "is no kind of failure that is tried again"),
        (step("a", retry={"on": ["flaky"]}), "retry.on[0]", "is no kind of failure that is tried again"),
        (step("a", retry={"on": [""]}), "retry.on[0]", "is no kind of failure that is tried again"),
        (
            step("a", compensate={"action": "noop", "retry": {"on": ["conection"]}}),
            "compensate.retry.on[0]",
            "did you mean 'connection'?",
        ),
        (step("a", retry={"max_atempts": 2}), "retry.max_atempts", "did you mean 'max_attempts'?"),
        (step("a", retry={"initial": "soon"}), "retry.initial", "is no duration"),
        (step("a", timeout=-1), "timeout", "must be 0 or more, not -1"),
        (step("a", join="al_done"), "join", "must be all_succeeded, none_failed"),
        (step("a", on_error="ignore"), "on_error", "must be fail, continue or goto:"),
        (step("a", on_error="goto:b"), "on_error", "there is no such step"),
        (step("a", on_error="goto:a"), "on_error", "jumps to the step itself"),
        (step("a", with_=[]), "with", "must be"),
        (step("a", payload={"b": 1}), "payload", "belongs to the short form"),
        ({"id": "a", "action": "notify"}, "with.channel", "is required"),
        (
            {"id": "a", "action": "compute", "with": {"iterations": "many"}},
            "with.iterations",
            "must be a whole number, not 'many'; write iterations: 3",
        ),
        (
            {"id": "a", "action": "compute", "config": {"iterations": "many"}},
            "config.iterations",
            "must be a whole number",
        ),
        ({"id": "a", "action": "notify", "with": {"chanel": "x"}}, "with.chanel", "did you mean 'channel'?"),
        (step("a", needs=["b"]), "needs[0]", "there is no step 'b'"),
        (step("a", needs=["a"]), "needs", "need each other in a cycle: a -> a"),
        (step("a", if_="steps.b.output"), "if", "there is no step 'b'"),
        (step("a", if_="steps.a.output"), "if", "is the step itself"),
        (step("a", compensate={"action": "noop", "wth": {}}), "compensate.wth", "did you mean 'with'?"),
        (step("a", compensate={"action": "notfy"}), "compensate.action", "did you mean 'notify'?"),
    ],
)
def test_a_step(given: Json, path: str, said: str) -> None:
    assert said in faults(document(given))[f"steps[0].{path}"]


@pytest.mark.parametrize(
    "expression",
    [
        "{{ 1 + }}",
        "{% if x %}",
        "{# note #}",
        "{{ input.x | nofilter }}",
        "{{ input.keys() }}",
        "{{ input.x",
        "{{ '" + "a" * 9000 + "' }}",
        "{{ " + "(" * 5000 + ")" * 5000 + " }}",
    ],
)
def test_an_expression_that_may_not_be_used(expression: str) -> None:
    found = faults(document({"id": "a", "action": "notify", "with": {"channel": expression}}))
    assert [*found] == ["steps[0].with.channel"]


def test_a_bare_expression_is_checked_too() -> None:
    found = faults(document(step("a", if_="1 +"), {"id": "b", "action": "condition", "with": {"expression": "a +"}}))
    assert [*found] == ["steps[0].if", "steps[1].with.expression"]


def test_values_with_expressions_have_no_type_yet_but_keys_are_checked() -> None:
    config: dict[str, Json] = {"iterations": "{{ input.n }}"}
    assert faults(document({"id": "a", "action": "compute", "with": config})) == {}
    assert "steps[0].with.n" in faults(document({"id": "a", "action": "compute", "with": {**config, "n": 1}}))


def test_every_problem_is_said_at_once_with_its_line() -> None:
    with pytest.raises(DefinitionError) as caught:
        validate(document(step("a", needs=["x"]), {"id": "b", "action": "notify", "with": {}}))
    assert str(caught.value).splitlines() == [
        "steps[0].needs[0]: there is no step 'x'; known are a, b",
        "steps[1].with.channel: is required: a text; write channel: ops",
    ]


def test_duplicate_ids_and_names_that_collide_are_refused() -> None:
    assert "steps[0] has already" in faults(document(step("a"), step("a")))["steps[1].id"]
    named: Json = {"name": "send mail", "action": "noop"}
    assert "gives the id 'send_mail'" in faults(document(step("send_mail"), named))["steps[1].name"]


def test_a_cycle_names_its_steps() -> None:
    given = document(step("a", needs=["c"]), step("b", needs=["a"]), step("c", needs=["b"]), step("d"))
    assert faults(given) == {"steps[0].needs": "these steps need each other in a cycle: a -> b -> c -> a"}


def test_a_goto_leads_neither_backwards_nor_into_a_step_with_needs() -> None:
    back = document(step("a"), step("b", needs=["a"], on_error="goto:a"))
    assert "lead back to themselves by a goto: " in faults(back)["steps[1].on_error"]
    assert "backwards" in faults(document(step("a"), step("b", on_error="goto:a")))["steps[1].on_error"]
    into = document(step("a", on_error="goto:c"), step("b"), step("c", needs=["b"]))
    assert "must have no needs" in faults(into)["steps[0].on_error"]


def test_an_expression_may_only_look_at_steps_upstream() -> None:
    look: Json = {"channel": "{{ steps.b.output }}"}
    beside = document(step("a"), step("b", needs=["a"]), {"id": "c", "action": "notify", "with": look, "needs": ["a"]})
    assert "is not upstream of 'c'" in faults(beside)["steps[2].with"]
    above = document(step("a"), step("b"), step("d"), {"id": "c", "action": "notify", "with": look})
    assert faults(above) == {}


def test_a_step_that_is_jumped_to_may_look_at_the_step_that_failed() -> None:
    mend = step("mend", action="notify", with_={"channel": "{{ steps.a.error.message }}"})
    assert faults(document(step("a", on_error="goto:mend"), mend)) == {}


@pytest.mark.parametrize(
    ("edge", "path", "said"),
    [
        ({"source": "start", "target": "nowhere"}, "target", "there is no node 'nowhere'"),
        ({"source": "strt", "target": "join"}, "source", "did you mean 'start'?"),
        ({"source": "join", "target": "join"}, "target", "to itself"),
        ({"source": "join", "target": "start"}, "target", "is a trigger"),
        ({"source": "start", "target": "join", "condition": "maybe"}, "condition", "must be true or false"),
        ({"source": "start", "target": "join", "condition": "true"}, "condition", "is no condition node"),
        ({"source": "start"}, "target", "is required"),
        ({"source": "start", "target": "join", "weight": 1}, "weight", "is not a known key"),
    ],
)
def test_an_edge(edge: Json, path: str, said: str) -> None:
    found = faults({"name": "x", "nodes": NODES, "edges": [*EDGES, edge]})
    assert said in found[f"edges[5].{path}"]


def test_edges_given_twice_and_cycles_of_edges_are_refused() -> None:
    assert "is the same as edges[0]" in faults({"name": "x", "nodes": NODES, "edges": [*EDGES, EDGES[0]]})["edges[5]"]
    back: list[Json] = [*EDGES, {"source": "join", "target": "is-adult"}]
    assert "in a cycle" in faults({"name": "x", "nodes": NODES, "edges": back})["edges"]


@pytest.mark.parametrize(
    ("node", "path", "said"),
    [
        ({"id": "n", "type": "acton"}, "type", "did you mean 'action'?"),
        ({"id": "start", "type": "trigger"}, "id", "is given to two nodes"),
        ({"type": "trigger"}, "id", "must be a text"),
        ({"id": "n", "type": "action", "data": {"action": "compte"}}, "data.action", "did you mean 'compute'?"),
        (
            {"id": "n", "type": "action", "data": {"action": "compute", "config": {"iterations": "x"}}},
            "data.config.iterations",
            "must be a whole number",
        ),
        ({"id": "n", "type": "wait", "data": {"second": 1}}, "data.second", "did you mean 'seconds'?"),
        ({"id": "n", "type": "condition", "data": {"expression": "1 +"}}, "data.expression", "does not parse"),
        (
            {"id": "n", "type": "action", "data": {"action": "noop", "max_retries": -1}},
            "data.max_retries",
            "whole number",
        ),
    ],
)
def test_a_node(node: Json, path: str, said: str) -> None:
    found = faults({"name": "x", "nodes": [*NODES, node], "edges": EDGES})
    assert said in found[f"nodes[5].{path}"]


def test_a_short_form_payload_is_checked_before_anything_is_stored() -> None:
    def short(payload: Json, kind: str = "compute") -> Json:
        return {"name": "x", "steps": [{"name": "a", "type": kind, "payload": payload}]}

    assert "must be a whole number" in faults(short({"iterations": "many"}))["steps[0].payload.iterations"]
    assert "must be a text" in faults(short({"message": 1, "channel": []}, kind="notify"))["steps[0].payload.channel"]
    assert "is required" in faults(short({"adress": "x"}, kind="http_call"))["steps[0].payload.url"]
    assert "steps[0].payload.b" in faults(short({"b": "{{ 1 + }}"}, kind="transform"))
    assert "did you mean 'compute'?" in faults(short({}, kind="compte"))["steps[0].type"]


def test_the_most_steps_that_there_may_be_are_checked_in_a_couple_of_seconds() -> None:
    steps: list[Json] = [step("s0")]
    for n in range(1, Definition.MAX_STEPS):
        look: Json = {"channel": "{{ steps.s0.output }}", "text": f"{{{{ steps.s{n - 1}.state }}}}"}
        steps.append({"id": f"s{n}", "action": "notify", "with": look, "needs": [f"s{n - 1}"]})
    begin = time.process_time()
    assert len(validate(document(*steps)).definition.steps) == Definition.MAX_STEPS
    assert time.process_time() - begin < 10, "3 s on a machine that has nothing else to do"
    assert "steps" in faults(document(*steps, step("one_more", needs=["s0"])))


LONG = "{{ " + "1 + " * 2000 + "}}"


@pytest.mark.parametrize(
    "given",
    [
        document(*[step(f"s{n}", with_={"value": f"{n} {LONG}"}) for n in range(1000)]),
        document(step("a", with_={f"k{n}": f"{n} {LONG}" for n in range(1000)})),
        document({"id": "a", "action": "transform", "with": {"map": {f"k{n}": f"{n} + " for n in range(1000)}}}),
        document(*[step(f"s{n}", wiht={}) for n in range(1000)]),
        document(*[step(f"s{n}", timeout="long") for n in range(1000)]),
        document(*[step(f"s{n}", needs=[f"t{n}"]) for n in range(1000)]),
        document(step("a", needs=[f"t{n}" for n in range(1000)])),
        document(*[dict[str, Json](id=f"s{n}") for n in range(1000)]),
        document(step("a"), **{f"key{n}": 1 for n in range(1000)}),
        {"name": "x", "nodes": [{"id": f"n{n}", "type": "no"} for n in range(1000)], "edges": []},
        {
            "name": "x",
            "nodes": [{"id": "n", "type": "trigger"}],
            "edges": [{"source": n, "target": n} for n in range(1000)],
        },
        {
            "name": "x",
            "steps": [{"name": f"s{n}", "type": "compute", "payload": {"iterations": "x"}} for n in range(1000)],
        },
    ],
    ids=str.split("expressions config bare keys types needs need actions top nodes edges short"),
)
def test_the_search_for_problems_ends_after_a_hundred_or_a_second(given: Json) -> None:
    begin = time.thread_time()
    with pytest.raises(DefinitionError) as refused:
        validate(given)
    assert time.thread_time() - begin < 6
    *found, last = refused.value.problems
    assert 1 <= len(found) <= 101
    assert last.path == ""
    assert last.message.endswith("send it again for the rest")


@pytest.mark.parametrize(
    ("given", "path", "said"),
    [
        (document(step("a", retry={"delays": ["x"] * 500_000})), "steps[0].retry.delays[0]", "x"),
        (document(step("a", retry={"on": [1] * 500_000})), "steps[0].retry.on[0]", "must be a text, not 1"),
        (document(step("a", needs=[1] * 500_000)), "steps[0].needs[0]", "must be a text, not 1"),
        (document(step("a", retry={"delays": [1] * 1001})), "steps[0].retry.delays", "at most 1000 entries"),
        (document(step("a"), labels={f"k{n}": n for n in range(400_000)}), "labels", "1,000 are the limit"),
        (document(step("a"), triggers=[1] * 400_000), "triggers[0]", "must be a mapping, not 1"),
        (document(*[step("a")] * 12_001), "steps", "12,000 are the limit"),
        (document(step("a"), finally_=[step("b")] * 12_001), "finally", "12,000 are the limit"),
        ({"name": "x", "nodes": [{}] * 12_001}, "nodes", "12,000 are the limit"),
        (
            document(step("a", with_={"v": "{{ input.a }}" * 30_000})),
            "steps[0].with.v",
            "200,000 characters",
        ),
        (document(step("a"), **{"x" * 1_000_000: 1}), f"{'x' * 40}...", "is not a known key"),
        (document(step("x" * 1_000_000)), "steps[0].id", "at most 64"),
    ],
    ids=str.split("delays on needs many labels triggers steps finally nodes text key id"),
)
def test_a_part_that_is_too_large_is_refused_without_an_error_for_each_of_its_parts(
    given: Json, path: str, said: str
) -> None:
    begin = time.thread_time()
    found = faults(given)
    assert time.thread_time() - begin < 6
    assert said in found[path]
    assert len(found) < 5
