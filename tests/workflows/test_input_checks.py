"""What checking a run's input may cost: in place if it is cheap, in a helper process that can be killed if not."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from actions.base import Json
from runs.api.http import problems
from workflows.definitions.errors import InputNotChecked, InvalidInput
from workflows.definitions.pattern_cost import pattern_cost
from workflows.definitions.schema import schema_problems
from workflows.definitions.schema_cost import MAX_COMPARISONS, cost_of
from workflows.models import Version
from workflows.publishing import inputs, schema_helper
from workflows.publishing.inputs import check_input

# About 20 s of processor time in the worst case: 151 steps of a pattern for each of 3 million characters.
SLOW: dict[str, Any] = {"pattern": r"\p{L}{150}$"}
LONG = "x" * 3_000_000


def doubled(levels: int, *, word: str) -> dict[str, Any]:
    """A schema that refers twice to the next one, `levels` times: 2**levels paths lead to its end."""
    defs: dict[str, Any] = {f"d{n}": {word: [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**defs, f"d{levels}": {"type": "string"}}, "$ref": "#/$defs/d0"}


def problems_of(schema: dict[str, Any], value: Json) -> list[str]:
    try:
        check_input(Version(id=uuid4(), definition={"inputs": schema}), value)
    except InvalidInput as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.fixture(autouse=True)
def helper() -> Iterator[schema_helper.Helper]:
    """The helper, without a process of other tests."""
    yield schema_helper.helper
    schema_helper.helper._kill()
    inputs._kept.clear()


@pytest.mark.parametrize("word", ["allOf", "anyOf", "oneOf"])
def test_a_schema_counts_once_for_each_path_that_leads_to_it(word: str) -> None:
    assert cost_of(doubled(10, word=word)).comparisons == 2**12 - 1
    [problem] = schema_problems(doubled(29, word=word), path="inputs")
    assert problem.path == "inputs"
    assert f"{2**31 - 1:,} comparisons for one value; {MAX_COMPARISONS:,} are the limit" in problem.message


@pytest.mark.parametrize(
    ("schema", "comparisons"),
    [
        ({"enum": [*range(1000)]}, 1001),
        ({"items": {"enum": [*range(1000)]}}, 1001),
        # A value is one member or one item, so alternatives are not added up.
        ({"properties": {"a": {"enum": [*range(100)]}, "b": {"enum": [*range(200)]}}}, 201),
        ({"prefixItems": [{"enum": [1, 2]}], "items": {"enum": [1, 2, 3]}}, 4),
        ({"patternProperties": {"a": {"enum": [1, 2]}, "b": {"enum": [1, 2, 3]}}}, 7),
        ({"dependentSchemas": {"a": {"enum": [*range(50)]}}}, 52),
        ({"if": {"enum": [1]}, "then": {"enum": [1]}, "else": {"enum": [1]}}, 9),
        ({"unevaluatedProperties": False, "anyOf": [{"enum": [*range(10)]}]}, 3 * (2 + 11)),
        (True, 1),
    ],
)
def test_what_one_value_costs(schema: Any, comparisons: int) -> None:
    assert cost_of(schema).comparisons == comparisons


def test_a_schema_that_refers_to_itself_once_costs_no_more_the_deeper_a_value_is() -> None:
    any_json = {"anyOf": [{"type": "string"}, {"items": {"$ref": "#"}}, {"additionalProperties": {"$ref": "#"}}]}
    assert cost_of(any_json).comparisons < 10
    assert cost_of({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}).comparisons < 10
    twice = {"properties": {"next": {"$ref": "#"}}, "allOf": [{"properties": {"next": {"$ref": "#"}}}]}
    assert cost_of(twice).comparisons > 2**30
    assert cost_of(twice).fault == ""


@pytest.mark.parametrize(
    ("pattern", "scans"),
    [
        ("abc", 3),
        ("(ab{10}){5}", 55),
        (r"^\d{4}-\d{2}$", 9),
        ("a{,3}b", 4),
        ("[a-z]{3,20}", 20),
        ("((((", 0),
        ("{5}", 0),
    ],
)
def test_the_cost_of_a_pattern_is_its_length_with_repeats_written_out(pattern: str, scans: int) -> None:
    assert pattern_cost(pattern).scans == scans


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"enum": [*range(100_001)]}, "comparisons for one value"),
        ({"pattern": "(a{1000}){1000}"}, "patterns of 1,000,000 characters with repeats written out"),
        ({"patternProperties": {r"\p{L}{1001}": {}}}, "100,000 are the limit"),
        ({"properties": {f"k{n}": {} for n in range(6000)}}, "more than 5,000 subschemas"),
        ({"const": "x" * 1_000_001}, "1,000,000 are the limit"),
    ],
)
def test_a_schema_that_is_too_dear_is_refused_with_the_limit(schema: dict[str, Any], said: str) -> None:
    [problem] = schema_problems(schema, path="inputs")
    assert said in problem.message
    # Of a version that was published before, inputs are refused.
    [refused] = problems_of(schema, "x")
    assert said in refused
    assert refused.startswith("input: cannot be checked")


def test_an_ordinary_input_needs_no_helper(helper: schema_helper.Helper) -> None:
    schema = {
        "type": "object",
        "required": ["email"],
        "properties": {"email": {"type": "string"}, "rows": {"items": {}}},
    }
    assert problems_of(schema, {"email": "a@b.example", "rows": [*range(10_000)]}) == []
    assert problems_of(schema, {"email": 1}) == ['input.email: 1 is not of type "string"']
    assert len(problems_of({"items": {"type": "string"}}, [*range(100)])) == 20
    assert helper._process is None


def test_a_large_input_is_checked_by_the_helper_with_the_same_answers(helper: schema_helper.Helper) -> None:
    schema = {"items": {"enum": [f"word {n}" for n in range(2000)]}}
    assert problems_of(schema, ["word 7"] * 20_000) == []
    found = problems_of(schema, [*["word 7"] * 9_998, "no", 3])
    assert [text.partition(":")[0] for text in found] == ["input[9998]", "input[9999]"]
    assert helper._process is not None


@pytest.mark.parametrize(
    "schema",
    [{"allOf": [{"$ref": "#"}]}, {"$ref": "https://json-schema.org/draft/2020-12/schema"}],
    ids=["itself", "the schema of schemas"],
)
def test_what_is_not_followed_is_left_to_the_helper(schema: dict[str, Any], helper: schema_helper.Helper) -> None:
    assert problems_of(schema, {"type": "object"}) == []
    assert helper._process is not None


def test_a_validation_that_takes_too_long_is_ended_and_the_next_one_is_served(helper: schema_helper.Helper) -> None:
    before = time.thread_time()
    assert problems_of(SLOW, LONG) == [
        "input: takes more than 2 s or 1 GB to check against `inputs`; send less, or simplify the schema"
    ]
    assert time.thread_time() - before < 1
    assert problems_of({"allOf": [{"$ref": "#"}]}, 1) == []


def test_a_value_with_too_many_faults_is_refused_without_them(helper: schema_helper.Helper) -> None:
    [refused] = problems_of({"items": {"enum": [*range(50_000)]}}, ["x"] * 5000)
    assert refused == "input: does not match `inputs`, with too many faults to list them"


def test_more_than_a_few_who_wait_are_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_helper, "WAIT_SECONDS", 0.05)
    answers: list[BaseException | None] = []

    def check() -> None:
        try:
            check_input(Version(id=uuid4(), definition={"inputs": SLOW}), LONG)
        except InvalidInput as error:
            answers.append(error)

    threads = [threading.Thread(target=check) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [error for error in answers if isinstance(error, InputNotChecked)]
    assert len(refused) == 3
    answer = problems.answer(refused[0])
    assert answer is not None
    assert answer.status_code == 503
    assert b"one at a time, for at most 2 s each; try again in a moment" in answer.content


def test_a_forked_process_has_a_helper_of_its_own(helper: schema_helper.Helper) -> None:
    assert problems_of({"allOf": [{"$ref": "#"}]}, 1) == []
    child = os.fork()
    if child == 0:
        # No assertion: pytest is the parent's.
        os._exit(3 if schema_helper.helper._process is None and not problems_of({"allOf": [{"$ref": "#"}]}, 1) else 4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


def test_the_helper_ends_with_its_parent_and_knows_no_secret(helper: schema_helper.Helper) -> None:
    assert problems_of({"allOf": [{"$ref": "#"}]}, 1) == []
    process = helper._process
    assert process is not None
    assert b"SECRET" not in Path(f"/proc/{process.pid}/environ").read_bytes()
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=30) == 0
