"""A definition written as YAML loads back to the same content, whatever is in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actions.base import Json
from tests.workflows.definitions import document, faults, read, step
from workflows.definitions.definition import Definition
from workflows.formats import parse
from workflows.formats.export import export_yaml
from workflows.publishing.validate import validate

EXAMPLES = sorted(Path(__file__).parents[2].joinpath("examples").glob("*.*"))

# Everything that a text may hold: the rest is refused when a definition is read. Braces would be expressions.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00{"), max_size=20) | st.sampled_from(
    [
        "on",
        "no",
        "~",
        "null",
        "1",
        "1e3",
        ".5",
        "007",
        "12:30",
        "2024-01-31",
        "0x10",
        "- a",
        "a: b",
        "#",
        " x ",
        "\n",
        "=",
        "<<",
    ]
)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
retries: st.SearchStrategy[Json] = st.fixed_dictionaries(
    {},
    optional={
        "max_attempts": st.integers(1, 9),
        "initial": st.floats(0, 99),
        "delays": st.lists(st.integers(0, 9), max_size=3),
    },
)


@st.composite
def documents(draw: st.DrawFn) -> Json:
    steps: list[Json] = []
    for n in range(draw(st.integers(1, 5))):
        needs = draw(st.lists(st.sampled_from([f"s{k}" for k in range(n)]), unique=True)) if n else []
        more: dict[str, Json] = draw(
            st.fixed_dictionaries({}, optional={"timeout": st.integers(0, 60), "retry": retries})
        )
        config: Json = {"set": draw(st.dictionaries(texts, values, max_size=3))}
        steps.append({"id": f"s{n}", "action": "transform", "with": config, "needs": [*needs], **more})
    labels: dict[str, Json] = draw(st.dictionaries(texts, texts, max_size=2))
    return {**document(*steps), "labels": labels, "description": draw(texts)}


@settings(max_examples=50, deadline=None)
@given(documents())
def test_what_is_exported_loads_back_to_the_same_hash(given: Json) -> None:
    definition = validate(given).definition
    assert read(export_yaml(definition)).definition.hash() == definition.hash()


@settings(max_examples=25, deadline=None)
@given(documents())
def test_what_is_stored_is_the_same_definition_again(given: Json) -> None:
    definition = validate(given).definition
    assert validate(definition.canonical()).definition.hash() == definition.hash()
    assert Definition.model_validate(definition.canonical()) == definition


def test_steps_that_follow_one_another_are_exported_without_needs() -> None:
    in_line = export_yaml(validate(document(step("a"), step("b"))).definition)
    assert "needs" not in in_line
    side_by_side = export_yaml(validate(document(step("a", needs=[]), step("b", needs=[]))).definition)
    assert side_by_side.count("needs: []") == 2


def test_durations_are_exported_as_plain_seconds() -> None:
    text = export_yaml(validate(document(step("a", timeout="1m", retry={"initial": "500ms", "max": "1m"}))).definition)
    assert "timeout: 60\n" in text
    assert "initial: 0.5\n" in text
    assert "max: 60\n" in text


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_each_example_is_accepted_without_a_warning_and_exported_as_it_is(file: Path) -> None:
    checked = validate(parse.load(file.read_bytes()).document)
    assert checked.warnings == ()
    assert read(export_yaml(checked.definition)).definition.hash() == checked.definition.hash()


def test_the_definitions_in_the_reference_are_accepted() -> None:
    text = Path(__file__).parents[2].joinpath("docs/definitions.md").read_text()
    blocks = re.findall(r"```(?:yaml|json)\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 3
    assert [faults(block) for block in blocks] == [{}] * len(blocks)
