from __future__ import annotations

from collections.abc import Callable

import pytest

from workflows.definitions.errors import DefinitionError
from workflows.formats import parse


def refusal(text: str | bytes) -> str:
    with pytest.raises(DefinitionError) as caught:
        parse.load(text)
    return str(caught.value)


def test_yaml_and_json_of_the_same_document_are_the_same() -> None:
    yaml = parse.load("name: x\nsteps:\n  - {id: a, action: wait, with: {seconds: 1.5}}\n")
    json = parse.load('{"name": "x", "steps": [{"id": "a", "action": "wait", "with": {"seconds": 1.5}}]}')
    assert yaml.document == json.document


@pytest.mark.parametrize("text", ["on", "no", "yes", "off", "12:30", "2024-01-31", "007", "1_000", "0x10", "=", "y"])
def test_words_that_yaml_1_1_would_turn_into_something_else_stay_texts(text: str) -> None:
    assert parse.load(f"a: {text}").document == {"a": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("~", None),
        ("", None),
        ("-12", -12),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("'1'", "1"),
        ("!!str 1", "1"),
    ],
)
def test_plain_scalars_have_the_types_of_json(text: str, value: object) -> None:
    document = parse.load(f"a: {text}").document
    assert document == {"a": value}
    assert type(document["a"]) is type(value)


def test_keys_are_always_texts() -> None:
    assert parse.load("on: 1\n2: 3\ntrue: 4").document == {"on": 1, "2": 3, "true": 4}


def test_aliases_and_merges_are_written_out() -> None:
    text = "base: &base {a: 1, b: 2}\nuse: {<<: *base, b: 3}\nagain: *base\n"
    assert parse.load(text).document == {"base": {"a": 1, "b": 2}, "use": {"a": 1, "b": 3}, "again": {"a": 1, "b": 2}}


def test_the_line_of_a_path_is_known_for_yaml() -> None:
    source = parse.load("name: x\nsteps:\n  - id: a\n    with:\n      url: u\n  - id: b\n")
    assert source.line("steps[0].with.url") == 5
    assert source.line("steps[1].id") == 6
    assert source.line("steps[1].missing") == 6
    assert source.line("") is None


def test_text_that_is_neither_yaml_nor_json_says_where() -> None:
    assert "(line 2): is neither YAML nor JSON" in refusal("name: x\nsteps: ]")


def test_a_key_given_twice_is_refused() -> None:
    assert refusal("a: 1\nb:\n  c: 1\n  c: 2") == "b.c (line 4): is given twice; keep one of them"


@pytest.mark.parametrize("text", ["[" * 10_000, "a: " + "[" * 10_000, '{"a":' * 10_000, "- " * 10_000])
def test_ten_thousand_levels_are_a_clear_answer(text: str) -> None:
    assert "deep" in refusal(text)


def test_a_bomb_of_aliases_is_refused_before_it_is_written_out() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "once its aliases are written out" in refusal("\n".join(lines))


def test_an_alias_inside_its_own_anchor_is_refused() -> None:
    assert "before &a is complete" in refusal("a: &a [*a]")


@pytest.mark.parametrize(
    "text",
    [
        "a: .nan",
        "a: .inf",
        "a: 1e400",
        '{"a": NaN}',
        '{"a": 1e400}',
        "a: 9223372036854775808",
        '{"a": 9223372036854775808}',
        '{"a": "\\u0000"}',
        'a: "\\0"',
        '{"a": "\\ud800"}',
        "a: " + "9" * 5000,
    ],
)
def test_values_that_the_database_cannot_hold_are_refused(text: str) -> None:
    assert refusal(text)


@pytest.mark.parametrize("text", ["a: !!python/object:os.system {}", "a: !thing 1", "a: !!binary aGk="])
def test_tags_are_refused(text: str) -> None:
    assert "is not supported" in refusal(text)


def test_two_documents_in_one_file_are_refused() -> None:
    assert "second document" in refusal("a: 1\n---\nb: 2\n")


def test_more_than_ten_megabytes_are_refused() -> None:
    assert refusal(b"a" * (10 * 1024 * 1024 + 1)) == "document: is larger than 10 MB; split it"


def test_bytes_that_are_not_utf_8_are_refused() -> None:
    assert "is not UTF-8" in refusal(b"a: \xff")


def test_a_long_key_above_many_values_costs_no_path_for_each_of_them(peak: Callable[[], int]) -> None:
    text = "? " + "A" * 100_000 + "\n: [" + "0, " * 2000 + "99999999999999999999999999]\n"
    assert refusal(text).startswith(f"{'A' * 40}...[2000] (line 2): is an integer beyond")
    nested = "? " + "A" * 100_000 + "\n: [" + "[0], " * 2000 + "!!binary x]\n"
    assert refusal(nested).startswith(f"{'A' * 40}...[2000] (line 2): has the tag")
    assert peak() < 10_000_000


def test_more_than_half_a_million_values_are_refused_while_they_are_read() -> None:
    assert "more than 500,000 values" in refusal("- 0\n" * 500_001)
