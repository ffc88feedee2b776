"""Documents of definitions, and JSON bodies, that are deep, wide, long, repeated or no text at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial

from actions import payload
from actions.payload import PayloadError
from tests.hostile.case import Case
from workflows.definitions.errors import DefinitionError
from workflows.formats import parse
from workflows.publishing.validate import validate

_YAML, _JSON, _FORM = "YAML documents", "JSON bodies", "definitions in every form"
# A refusal that lists everything that is wrong must still fit on a page.
_LONGEST_REFUSAL = 300_000


def _yaml(make: Callable[[], str | bytes]) -> str | None:
    """The document is refused, or is a definition that can be validated; either way it costs little."""
    try:
        validate(parse.load(make()).document)
    except DefinitionError as error:
        return _told(error)
    return None


def _refused_yaml(make: Callable[[], str | bytes]) -> str | None:
    try:
        validate(parse.load(make()).document)
    except DefinitionError as error:
        return _told(error)
    return "was accepted"


def _told(error: DefinitionError) -> str | None:
    size = sum(len(str(problem)) for problem in error.problems)
    return f"is refused with {size:,} characters" if size > _LONGEST_REFUSAL else None


def _json(make: Callable[[], str | bytes]) -> str | None:
    try:
        payload.loads(make())
    except PayloadError as error:
        return f"is refused with {len(str(error)):,} characters" if len(str(error)) > 10_000 else None
    return None


def _refused_json(make: Callable[[], str | bytes]) -> str | None:
    try:
        found = payload.loads(make())
    except PayloadError:
        return None
    return f"was read as {str(found)[:100]}"


def _bomb(levels: int, width: int) -> str:
    """Aliases of aliases: `width` to the power of `levels` values."""
    lines = ["a0: &a0 [x]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]")
    return "\n".join(lines)


def _mapping_bomb(levels: int) -> str:
    lines = ["a0: &a0 {x: 1}"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} {{l: *a{level - 1}, r: *a{level - 1}, m: *a{level - 1}}}")
    return "\n".join(lines)


def _merge_bomb(count: int) -> str:
    keys = ", ".join(f"k{number}: 1" for number in range(100))
    return f"base: &b {{{keys}}}\n" + "\n".join(f"m{number}: {{<<: [*b, *b, *b]}}" for number in range(count))


_TAGS = (
    "!!python/object/apply:os.system [id]",
    "!!python/object/new:subprocess.Popen [[id]]",
    "!!python/name:os.system",
    "!!python/module:os",
    "!!python/tuple [1]",
    "!!binary aGVsbG8=",
    "!!timestamp 2001-01-01",
    "!!set {a, b}",
    "!!omap [a: 1]",
    "!<tag:yaml.org,2002:python/object:os.system> {}",
    "!custom x",
    "!!merge x",
)
_DOCUMENTS: dict[str, Callable[[], str | bytes]] = {
    **{f"{levels} levels of {width} aliases": partial(_bomb, levels, width) for levels, width in
       ((8, 10), (9, 9), (20, 4), (30, 2), (60, 2), (5, 200), (3, 5_000))},
    **{f"{levels} levels of mappings of aliases": partial(_mapping_bomb, levels) for levels in (8, 12, 16, 40)},
    **{f"{count} merges": partial(_merge_bomb, count) for count in (100, 5_000, 20_000)},
    **{f"{depth} brackets": partial(lambda depth: "[" * depth, depth) for depth in (65, 1_000, 100_000, 1_000_000)},
    **{f"{depth} braces": partial(lambda depth: "{a: " * depth, depth) for depth in (65, 1_000, 100_000)},
    **{f"{depth} dashes": partial(lambda depth: "- " * depth + "x", depth) for depth in (65, 1_000, 20_000)},
    **{f"{depth} indents": partial(lambda depth: "\n".join(" " * at + "a:" for at in range(depth)), depth)
       for depth in (65, 500, 2_000)},
    **{f"{depth} question marks": partial(lambda depth: "? " * depth + "x", depth)
        for depth in (10, 65, 1_000, 20_000)},
    **{f"a tag {tag[:30]}": partial(lambda tag: f"name: {tag}", tag) for tag in _TAGS},
    "an alias of itself": lambda: "a: &a [*a]",
    "an alias of itself in a mapping": lambda: "a: &a {b: *a}",
    "an unknown alias": lambda: "a: *b",
    "a merge of itself": lambda: "a: &a {<<: *a}",
    "a merge of a text": lambda: "a: {<<: text}",
    "a key of 500 kB": lambda: "? " + "k" * 500_000 + "\n: 1",
    "a list as a key": lambda: "? [a, b]\n: 1",
    "a key twice": lambda: "name: a\nname: b",
    "two documents": lambda: "name: a\n---\nname: b",
    "100,000 documents": lambda: "---\na\n" * 100_000,
    "an integer of 100,000 digits": lambda: "name: " + "9" * 100_000,
    "a float without end": lambda: "name: 1e999999999",
    "not a number": lambda: "name: .nan",
    "infinity": lambda: "name: -.inf",
    "a NUL": lambda: b"name: a\x00b",
    "an escaped NUL": lambda: 'name: "a\\0b"',
    "a lone surrogate": lambda: 'name: "a\\uD800"',
    "no UTF-8": lambda: b"name: \xff\xfe\xfa",
    "UTF-16": lambda: "name: a".encode("utf-16"),
    "UTF-32": lambda: "name: a".encode("utf-32"),
    "a byte order mark": lambda: "\ufeffname: a",
    "only a byte order mark": lambda: "\ufeff",
    "nothing": lambda: "",
    "one space": lambda: " ",
    "a tab": lambda: "name:\n\t- a",
    "10 MB of spaces": lambda: " " * 10_000_000,
    "10 MB of line ends": lambda: "\n" * 10_000_000,
    "11 MB": lambda: "name: " + "a" * 11_000_000,
    "a comment of 5 MB": lambda: "# " + "x" * 5_000_000,
    "50,000 comments": lambda: "# x\n" * 50_000,
    "a quote without end": lambda: 'name: "' + "a" * 1_000_000,
    "a block of 1 MB": lambda: "name: |\n" + "  a\n" * 250_000,
    "50,000 anchors": lambda: "\n".join(f"k{number}: &a{number} x" for number in range(50_000)),
    "50,000 aliases of one": lambda: "a: &a x\nb: [" + "*a, " * 50_000 + "]",
    "a directive": lambda: "%YAML 9.9\n---\nname: a",
    "100,000 percent signs": lambda: "%" * 100_000,
    "colons": lambda: "a" + ": b" * 100_000,
    "10,000 unknown keys": lambda: "name: a\n" + "\n".join(f"k{number}: 1" for number in range(10_000)),
}  # fmt: skip
_COSTLY = "a document of so many values is built whole before it can be refused"
_WIDE = {"20,000 merges", "10 MB of line ends", "100,000 documents", "11 MB", "10 MB of spaces"}
_BODIES: dict[str, Callable[[], str | bytes]] = {
    **{f"{depth} brackets": partial(lambda depth: "[" * depth + "]" * depth, depth)
        for depth in (67, 1_000, 1_000_000)},
    **{f"{depth} open brackets": partial(lambda depth: "[" * depth, depth) for depth in (65, 100_000, 5_000_000)},
    **{f"{depth} objects": partial(lambda depth: '{"a":' * depth + "1" + "}" * depth, depth)
        for depth in (65, 1_000, 500_000)},
    **{f"an integer of {digits} digits": partial(lambda digits: "9" * digits, digits)
        for digits in (20, 4_301, 1_000_000)},
    **{f"a negative integer of {digits} digits": partial(lambda digits: "-" + "9" * digits, digits)
       for digits in (20, 100_000)},
    "an exponent of 100,000 digits": lambda: "1e" + "9" * 100_000,
    "an exponent beyond double": lambda: "1e400",
    "NaN": lambda: "NaN",
    "Infinity": lambda: "[Infinity]",
    "-Infinity": lambda: '{"a": -Infinity}',
    "a NUL": lambda: '"a\\u0000"',
    "a NUL in a key": lambda: '{"a\\u0000": 1}',
    "a lone surrogate": lambda: '"\\ud800"',
    "a lone surrogate in a key": lambda: '{"\\udfff": 1}',
    "surrogates in the wrong order": lambda: '"\\udc00\\ud800"',
    "a key twice": lambda: '{"a": 1, "a": 2}',
    "a key twice, escaped": lambda: '{"a": 1, "\\u0061": 2}',
    "a key twice among 100,000": lambda: "{" + ",".join(f'"k{n}":1' for n in range(100_000)) + ',"k7":2}',
    "no UTF-8": lambda: b'"\xff"',
    "overlong UTF-8": lambda: b'"\xc0\xaf"',
    "UTF-16": lambda: '{"a": 1}'.encode("utf-16"),
    "a comment": lambda: "{} // x",
    "a comma too many": lambda: "[1,]",
    "single quotes": lambda: "{'a': 1}",
    "two values": lambda: "{} {}",
    "nothing": lambda: "",
    "a control character": lambda: '"a\x01"',
    "a line end in a text": lambda: '"a\n"',
    "hex": lambda: "0x10",
    "a leading zero": lambda: "01",
    "a plus": lambda: "+1",
    "a quote without end": lambda: '"' + "a" * 5_000_000,
    "a bad escape": lambda: '"\\x41"',
}  # fmt: skip
_COSTS: dict[str, Callable[[], str | bytes]] = {
    "a byte order mark": lambda: "\ufeff{}",
    "a float of 1 MB": lambda: "0." + "1" * 1_000_000,
    "1,000,000 numbers": lambda: "[" + "1," * 999_999 + "1]",
    "1,000,000 zeroes after a point": lambda: "[" + "0.0," * 500_000 + "1]",
    "200,000 empty objects": lambda: "[" + "{}," * 199_999 + "{}]",
    "100,000 keys": lambda: json.dumps({f"k{number}": number for number in range(100_000)}),
    "a key of 5 MB": lambda: json.dumps({"k" * 5_000_000: 1}),
    "a text of 9 MB": lambda: json.dumps("a" * 9_000_000),
    "a text of 500,000 escapes": lambda: '"' + "\\u0041" * 500_000 + '"',
    "2 MB of spaces": lambda: " " * 2_000_000 + "1",
    "2 MB of spaces in a list": lambda: "[" + " " * 2_000_000 + "]",
    "long keys in a list of objects": lambda: json.dumps([{"k" * 10_000: n} for n in range(100)]),
}


def _steps(count: int, **more: object) -> list[dict[str, object]]:
    return [{"id": f"s{number}", "action": "default", **more} for number in range(count)]


def _document(**parts: object) -> str:
    return json.dumps({"name": "hostile", **parts})


_FORMS: dict[str, Callable[[], str]] = {
    **{f"a cycle of {count} steps": partial(
        lambda count: _document(steps=[{"id": f"s{n}", "action": "default", "needs": [f"s{(n + 1) % count}"]}
                                       for n in range(count)]), count) for count in (1, 2, 1_000, 10_000)},
    **{f"{count} steps of one id": partial(
        lambda count: _document(steps=[{"id": "a", "action": "default"}] * count), count)
        for count in (2, 1_000, 10_000)},
    **{f"{count} steps too many": partial(lambda count: _document(steps=_steps(12_000 + count)), count)
       for count in (1, 30_000)},
    **{f"an id of {size} characters": partial(
        lambda size: _document(steps=[{"id": "a" * size, "action": "default"}]), size) for size in (65, 1_000_000)},
    **{f"an id {shown!r}": partial(lambda shown: _document(steps=[{"id": shown, "action": "default"}]), shown)
       for shown in ("", " ", "a b", "../x", "undo:a", "a\n", "a;b", "__class__.x", "{{ input }}", "0a", "ä")},
    **{f"{what} as steps": partial(lambda value: _document(steps=value), value)
       for what, value in (("null", None), ("a text", "x"), ("a number", 7), ("an empty list", []),
                           ("a list of null", [None]),
                           ("a list of lists", [[[]]]), ("true", True))},
    **{f"an action {shown[:20]!r}": partial(lambda shown: _document(steps=[{"id": "a", "action": shown}]), shown)
       for shown in ("", "os.system", "../fail", "__import__", "x" * 1_000_000, "default\x00"[:7] + " ", "DEFAULT")},
    "a need that is not there": lambda: _document(steps=[{"id": "a", "action": "default", "needs": ["b"]}]),
    "10,000 needs that are not there": lambda: _document(
        steps=[{"id": "a", "action": "default", "needs": [f"x{n}" for n in range(10_000)]}]),
    "a need of itself": lambda: _document(steps=[{"id": "a", "action": "default", "needs": ["a"]}]),
    "a goto to itself": lambda: _document(steps=[{"id": "a", "action": "fail", "on_error": "goto:a"}]),
    "a goto backwards": lambda: _document(
        steps=[{"id": "a", "action": "default"}, {"id": "b", "action": "fail", "on_error": "goto:a", "needs": ["a"]}]),
    "retries without end": lambda: _document(steps=[{"id": "a", "action": "fail", "retry": {"max_attempts": 10**9}}]),
    "a negative timeout": lambda: _document(steps=[{"id": "a", "action": "default", "timeout": -1}]),
    "a name with a NUL": lambda: _document(name="a\x00"),
    "a name of 1 MB": lambda: _document(name="n" * 1_000_000, steps=_steps(1)),
    "a priority beyond its bounds": lambda: _document(priority=10**12, steps=_steps(1)),
    "labels that are lists": lambda: _document(labels={"a": ["b"]}, steps=_steps(1)),
    "a limit of 0": lambda: _document(concurrency={"limit": 0}, steps=_steps(1)),
    "a statement in a config": lambda: _document(steps=_steps(1, **{"with": {"value": "{% for x in y %}"}})),
    "a for_each over a text": lambda: _document(steps=_steps(1, for_each={"items": "abc"})),
}  # fmt: skip


def _cases() -> Iterator[Case]:
    for name, text in _DOCUMENTS.items():
        wide = name in _WIDE
        megabytes, reason = (300, _COSTLY) if wide else (100, "")
        seconds = 20_000 if wide or "documents" in name else 8_000
        why = reason or "YAML is parsed by a parser in plain Python, at about 1 MB a second"
        yield Case(f"YAML: {name}", _YAML, partial(_refused_yaml, text), seconds, megabytes, why)
    for name, text in _BODIES.items():
        yield Case(f"JSON: {name}", _JSON, partial(_refused_json, text))
    for name, text in _COSTS.items():
        yield Case(f"JSON: {name}", _JSON, partial(_json, text))
        yield Case(f"JSON as a definition: {name}", _JSON, partial(_yaml, text))
    for name, text in _FORMS.items():
        yield Case(f"definition: {name}", _FORM, partial(_refused_yaml, text))


CASES = list(_cases())
