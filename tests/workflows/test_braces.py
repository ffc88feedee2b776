"""Labels may have expressions over the input; where nothing renders braces, they are refused or warned of."""

from __future__ import annotations

import pytest

from actions.base import Json
from tests.workflows.definitions import document, faults, step, warnings_of
from workflows.definitions.errors import InvalidInput
from workflows.definitions.labels import rendered, with_expressions

KEYS = "has an expression in a key, and keys are not rendered; write the key itself"


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("{{ input.customer }}", {"customer": "ada"}, "ada"),
        ("{{ customer }} of {{ input.shop|upper }}", {"customer": "ada", "shop": "north"}, "ada of NORTH"),
        ("{{ input.n + 1 }}", {"n": 41}, "42"),
        ("{{ input.big }}", {"big": True}, "true"),
        ("{{ input.of|default('nobody') }}", {}, "nobody"),
        ("{{ input }}", "whole", "whole"),
    ],
)
def test_a_label_is_rendered_from_the_input(text: str, given: Json, expected: str) -> None:
    assert faults(document(step("a"), labels={"of": text})) == {}
    assert rendered({"of": text}, given) == {"of": expected}


@pytest.mark.parametrize(
    ("text", "given", "said"),
    [
        ("{{ input.customer }}", {}, "labels.of: cannot be worked out from the input"),
        ("{{ input.list }}", {"list": [1]}, "must come to a text, a number or a boolean"),
        ("{{ input.nothing }}", {"nothing": None}, "must come to a text, a number or a boolean"),
        ("{{ input.long }}", {"long": "x" * 300}, "came to 300 characters; at most 255 make a label"),
        ("{{ range(9000)|join|length * range(9000)|join|length }}{{ 'x' * input.n }}", {"n": 10**7}, "labels.of"),
    ],
)
def test_a_label_that_the_input_does_not_give_is_refused(text: str, given: Json, said: str) -> None:
    with pytest.raises(InvalidInput, match=r"labels\.of") as caught:
        rendered({"of": text}, given)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ steps.a.output }}", "looks at `steps`, but is rendered when the run is started"),
        ("{{ run.id }}", "looks at `run`"),
        ("{{ input.a ~ secrets.b }}", "has a value only in `with` of steps that reach outside"),
        ("{{ item }}", "looks at `item`"),
        ("{{ vars.region }}", "looks at `vars`"),
        ("{{ input. }}", "expression `input.`"),
        ("{{ input.a", "does not end"),
    ],
)
def test_a_label_reads_nothing_but_the_input(text: str, said: str) -> None:
    assert said in faults(document(step("a"), labels={"of": text}))["labels.of"]
    assert with_expressions({"labels": {"of": text, "b": "{{ input.b }}"}}) == {"b": "{{ input.b }}"}


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (document(step("a"), labels={"{{ input.c }}": "x"}), "labels.{{ input.c }}"),
        (document(step("a"), output={"{{ run.id }}": 1}), "output.{{ run.id }}"),
        (document(step("a", action="transform", with_={"set": {"{{input.k}}": 1}})), "steps[0].with.set.{{input.k}}"),
        (
            document(step("a", action="transform", with_={"rename": {"x{{ steps.b.output }}": "y"}})),
            "steps[0].with.rename.x{{ steps.b.output }}",
        ),
        (
            document(step("a", action="notify", with_={"channel": "a", "text": [{"{{ vars.x }}": 1}]})),
            "steps[0].with.text[0].{{ vars.x }}",
        ),
        (document(step("a", for_each={"items": [{"{{ item }}": 1}]})), "steps[0].for_each.items[0].{{ item }}"),
        (
            document(
                step(
                    "a",
                    action="flaky",
                    compensate={"action": "transform", "with": {"set": {"{{ secrets.s }}": 1}}},
                )
            ),
            "steps[0].compensate.with.set.{{ secrets.s }}",
        ),
        (
            document(step("a"), finally_=[step("b", action="transform", with_={"set": {"{{ f(input.a) }}": 1}})]),
            "finally[0].with.set.{{ f(input.a) }}",
        ),
    ],
)
def test_an_expression_of_ours_in_a_key_is_refused(given: Json, path: str) -> None:
    assert faults(given) == {path: KEYS}


@pytest.mark.parametrize("key", ["{{ name }}", "{{#each}}", "{{ $json.input }}", "{{ order.input }}", "{{"])
def test_other_braces_in_a_key_get_a_warning(key: str) -> None:
    given = document(step("a", action="transform", with_={"set": {key: 1}}))
    assert faults(given) == {}
    assert warnings_of(given) == (
        f"steps[0].with.set.{key} has {{{{ in a key, which is kept as it is: keys are not rendered",
    )


def test_titles_descriptions_and_schemas_keep_their_braces() -> None:
    given = document(
        step("a", name="greet {{ input.name }}"),
        description="greets {{ input.name }}",
        inputs={"type": "object", "properties": {"{{ input.x }}": {"description": "{{ input.x }}"}}},
    )
    assert faults(given) == {}
    assert warnings_of(given) == ()
