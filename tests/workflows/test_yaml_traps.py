"""What YAML reads in another way than it was meant is refused or warned of, with the right form."""

from __future__ import annotations

import pytest

from tests.workflows.definitions import faults
from workflows.definitions.errors import DefinitionError
from workflows.formats import parse
from workflows.publishing.validate import validate


def refused(text: str) -> str:
    with pytest.raises(DefinitionError) as caught:
        parse.load(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("text: Order #{{ x }}", "text (line 1): ends before '#{{ x }}', which is a comment to YAML"),
        ("text: Order #{{ x }}", '"Order #{{ x }}"'),
        ("a:\n  - b: Örder nö\t#{{ input.n }} of {{ input.m }}", "a[0].b (line 2): ends before"),
        ("text: #{{ x }}", "text (line 1): ends before"),
        ("text: first\n  second #{{ x }}", "ends before '#{{ x }}'"),
    ],
)
def test_a_comment_that_cuts_an_expression_is_refused(text: str, said: str) -> None:
    assert said in refused(text)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("channel: shop #general", "channel (line 1) ends before '#general', which is a comment to YAML"),
        ("list:\n- a #b", "list[0] (line 2) ends before '#b'"),
        ("text: Order # {{ x }}", "text (line 1) ends before '# {{ x }}'"),
        ("phone: +491234", "phone (line 1) is read as the number 491234, not as the text '+491234'; quote it"),
        ("version: 1.10", "version (line 1) is read as the number 1.1, not as the text '1.10'"),
        ("list: [+1.5]", "list[0] (line 1) is read as the number 1.5"),
    ],
)
def test_what_may_be_meant_otherwise_gets_a_warning(text: str, warning: str) -> None:
    [found] = parse.load(text).warnings
    assert found.startswith(warning)


@pytest.mark.parametrize(
    "text",
    [
        "a: b # a note",
        "a: b ## a note",
        "a: b#c",
        "a: 'b' #c",
        'a: "Order #{{ x }}"',
        "a: >\n  Order #{{ x }}",
        "a: b\n#{{ x }}",
        "#!shebang\na: b",
        "a: [1, -2, 1.5, 0, 10, 100, 1.0]",
        "a: '+49'",
        "a: 1e10",
    ],
)
def test_what_is_clear_passes_in_silence(text: str) -> None:
    assert parse.load(text).warnings == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("url: {{ input.url }}", 'quote what has an expression: url: "{{ input.url }}"'),
        ("a:\n  - {{ x }}", 'quote what has an expression: "{{ x }}"'),
        ("  text: {{ x }} and more", 'text: "{{ x }} and more"'),
        ("u: {{ x }}/b\nc: 1", 'u: "{{ x }}/b"'),
        ('u: {{ x["a"] }}', "u: '{{ x[\"a\"] }}'"),
        ("a: [{{ x }}]", 'quote what has an expression: "{{ ... }}"'),
        ('t: "{{ input["a"] }}"', "inside \"double quotes\" write 'single' ones"),
        ("a: @ada", "quote a text that begins with @"),
        ("a: b: c", "quote a text that has `: ` in it"),
    ],
)
def test_a_missing_quote_is_answered_with_the_quoted_form(text: str, said: str) -> None:
    assert said in refused(text)


def test_warnings_are_bounded() -> None:
    assert len(parse.load("\n".join(f"k{n}: +{n}" for n in range(1000))).warnings) == 20


def test_top_level_keys_that_begin_with_x_may_hold_anchors() -> None:
    text = """
name: a
x-ops: &ops {channel: ops}
x-retry: &retry {max_attempts: 3}
steps:
  - {id: a, action: notify, with: {<<: *ops, text: hello}, retry: *retry}
"""
    definition = validate(parse.load(text).document).definition
    assert definition.steps[0].with_ == {"channel": "ops", "text": "hello"}
    assert not any(key.startswith("x-") for key in definition.canonical())
    assert faults("name: a\nxops: 1\nsteps: [{action: default}]")["xops"].startswith("is not a known key")


@pytest.mark.parametrize("value", ["+491234567", "1.10", "1234567"])
def test_an_unquoted_number_where_a_text_is_wanted_is_not_shown_as_another_text(value: str) -> None:
    text = f"name: a\nlabels: {{phone: {value}}}\nsteps: [{{action: default}}]"
    [message] = faults(text).values()
    assert "must be a text, not " in message
    assert message.endswith("; write it in quotes")
