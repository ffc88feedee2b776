"""Schemas that are dear to check by, inputs that make them so, keys that make paths long, and very many mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import uuid4

from actions import expressions, payload
from actions.base import Permanent
from actions.payload import PayloadError
from project.charsets import fault_of
from tests.hostile.case import Case
from workflows.definitions.errors import DefinitionError, InvalidInput
from workflows.definitions.schema import schema_problems
from workflows.formats import parse
from workflows.models import Version
from workflows.publishing.inputs import check_input
from workflows.publishing.validate import validate

Schema = dict[str, Any]
_SCHEMAS, _INPUTS = "JSON Schemas that are dear to check by", "inputs that are dear to check"
_PATHS, _MISTAKES, _HEADERS = "long keys above many values", "definitions with many mistakes", "charsets in headers"
_YAML_REASON = "YAML of 500,000 values takes 3 s to parse, and 12,000 steps with all their fields have 360,000"


def _levels(count: int, part: Callable[[Schema], Schema]) -> Schema:
    """A schema whose levels each refer to the next one in the way of `part`."""
    defs: Schema = {f"d{n}": part({"$ref": f"#/$defs/d{n + 1}"}) for n in range(count)}
    return {"$defs": {**defs, f"d{count}": {"type": "string"}}, "$ref": "#/$defs/d0"}


# Ways to refer to the next level two or three times.
_TWICE: dict[str, Callable[[Schema], Schema]] = {
    "allOf": lambda ref: {"allOf": [ref, ref]},
    "anyOf": lambda ref: {"anyOf": [ref, ref]},
    "oneOf": lambda ref: {"oneOf": [ref, ref]},
    "not and allOf": lambda ref: {"not": ref, "allOf": [ref]},
    "if, then and else": lambda ref: {"if": ref, "then": ref, "else": ref},
    "dependentSchemas": lambda ref: {"dependentSchemas": {"a": ref, "b": ref}},
    "dependencies": lambda ref: {"dependencies": {"a": ref, "b": ref}},
    "$ref and $dynamicRef": lambda ref: {**ref, "$dynamicRef": ref["$ref"]},
    "members": lambda ref: {"allOf": [{"properties": {"a": ref}}] * 2},
    "items": lambda ref: {"anyOf": [{"items": ref}, {"prefixItems": [ref]}]},
    "patterns of members": lambda ref: {"patternProperties": {"a": ref, "b": ref}},
    "items and contains": lambda ref: {"items": ref, "contains": ref},
    "other members": lambda ref: {"allOf": [{"additionalProperties": ref}] * 2},
    "unevaluated members": lambda ref: {"unevaluatedProperties": ref, "anyOf": [{"properties": {"a": ref}}]},
}
_REFUSED: dict[str, Callable[[], Schema]] = {
    **{
        f"{levels} levels of {name}": partial(_levels, levels, part)
        for name, part in _TWICE.items()
        for levels in (20, 29, 60)
    },
    **{
        f"{count} words": partial(lambda count: {"enum": [f"w{n}" for n in range(count)]}, count)
        for count in (100_001, 200_000)
    },
    "an enum for each of a hundred": lambda: {"allOf": [{"enum": [*range(n, n + 2000)]} for n in range(100)]},
    "an enum that a hundred refer to": lambda: {
        "$defs": {"e": {"enum": [*range(2000)]}},
        "anyOf": [{"$ref": "#/$defs/e"}] * 100,
    },
    "100,001 members": lambda: {"required": [f"k{n}" for n in range(100_001)]},
    "6,000 subschemas": lambda: {"properties": {f"k{n}": {} for n in range(6000)}},
    "200,000 subschemas": lambda: {"anyOf": [{}] * 200_000},
    "a const of 5 MB": lambda: {"const": "x" * 5_000_000},
    "a description of 9 MB": lambda: {"description": "x" * 9_000_000},
    **{
        f"the pattern {shown}": partial(lambda pattern: {"pattern": pattern}, pattern)
        for shown, pattern in (
            ("(a{1000}){1000}", "(a{1000}){1000}"),
            ("((((a{99}){99}){99}){99})", "((((a{99}){99}){99}){99})"),
            ("a{999999999}", "a{999999999}"),
            ("\\p{L}{2000}", r"\p{L}{2000}"),
            ("of 100,001", "a" * 100_001),
            ("(?:x{500}){500}", "(?:x{500}){500}"),
            ("with an open group", "(" * 20_000),
            ("[", "["),
        )
    },
    "1,000 patterns of 200": lambda: {"patternProperties": {f"a{{200}}{n}": {} for n in range(1000)}},
    "a foreign reference": lambda: {"$ref": "http://169.254.169.254/latest"},
    "a file": lambda: {"$ref": "file:///etc/passwd"},
    "a foreign schema of schemas": lambda: {"$schema": "https://evil.example/x"},
}


def _refused(make: Callable[[], Schema]) -> str | None:
    found = schema_problems(make(), path="inputs")
    if not found:
        return "was accepted"
    return None if len(str(found[0])) < 1000 else "was refused with a message that is too long"


def _double() -> Schema:
    """Each level of the input is checked twice as often as the one above."""
    step = {"properties": {"a": {"$ref": "#"}}, "items": {"$ref": "#"}}
    return {"allOf": [step, step, {"type": ["object", "array"]}]}


def _nested(depth: int, *, last: Any) -> Any:
    value = last
    for _ in range(depth):
        value = {"a": value}
    return value


_EACH: dict[str, tuple[Schema, Callable[[], Any]]] = {
    "5,000 that are none of 50,000": ({"items": {"enum": [*range(50_000)]}}, lambda: ["x"] * 5000),
    "5,000 that are the last of 50,000": ({"items": {"enum": [*range(50_000)]}}, lambda: [49_999] * 5000),
    "objects that are none of 5,000": (
        {"items": {"enum": [{"k": n} for n in range(5000)]}},
        lambda: [{"k": -1}] * 5000,
    ),
    "300,000 of the wrong type": ({"items": {"type": "string"}}, lambda: [1] * 300_000),
    "a text of 5 MB of 4,000 wrong types": ({"allOf": [{"type": "integer"}] * 4000}, lambda: "x" * 5_000_000),
    "14 levels of anyOf": (_levels(14, _TWICE["anyOf"]), lambda: 1),
    "15 levels of oneOf": (_levels(14, _TWICE["oneOf"]), lambda: "x"),
    "60 levels deep, each checked twice": (_double(), lambda: _nested(60, last=1)),
    "60 levels deep, each checked twice, and good": (_double(), lambda: _nested(60, last={})),
    "a schema of itself": ({"allOf": [{"$ref": "#"}]}, lambda: _nested(60, last=1)),
    "a schema of two that are each other": (
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        lambda: 1,
    ),
    "4,000 references in a row": (_levels(4000, lambda ref: ref), lambda: 1),
    "the schema of schemas": (
        {"$ref": "https://json-schema.org/draft/2020-12/schema"},
        lambda: {"allOf": [{}] * 50_000},
    ),
    "a long pattern over 5 MB": ({"pattern": r"\p{L}{150}$"}, lambda: "x" * 5_000_000),
    "a pattern of steps over 5 MB": ({"pattern": "[01]*1[01]{3000}$"}, lambda: "01" * 2_500_000),
    "a pattern that backtracks elsewhere": ({"pattern": "(x+x+)+y"}, lambda: "x" * 5_000_000),
    "200 patterns over 20,000 keys": (
        {"patternProperties": {f"^a{n}b*$": {} for n in range(200)}},
        lambda: {f"x{n}": 1 for n in range(20_000)},
    ),
    "a pattern over 100,000 keys": (
        {"propertyNames": {"pattern": "^(a|aa)*b$"}},
        lambda: {f"a{n}": 1 for n in range(100_000)},
    ),
    "200,000 unique objects": ({"uniqueItems": True}, lambda: [{"k": n} for n in range(200_000)]),
    "200,000 unique numbers": ({"uniqueItems": True}, lambda: [n + 0.5 for n in range(200_000)]),
    "unevaluated members": (
        {
            "unevaluatedProperties": False,
            "anyOf": [
                {"properties": {f"k{n}": {} for n in range(2000)}},
                {"patternProperties": {"^k": {"type": "string"}}},
            ],
        },
        lambda: {f"k{n}": 1 for n in range(20_000)},
    ),
    "unevaluated items": (
        {"unevaluatedItems": False, "anyOf": [{"contains": {"type": "integer"}}]},
        lambda: [1] * 200_000,
    ),
    "500 members in none of 200,000": (
        {"items": {"properties": {f"k{n}": {} for n in range(500)}}},
        lambda: [{}] * 200_000,
    ),
    "an exact multiple": ({"items": {"multipleOf": 1e-300}}, lambda: [1e300] * 50_000),
    "formats of 5 MB": ({"items": {"format": "email"}}, lambda: ["a" * 1_000_000 + "@b"] * 5),
    "a date of 5 MB": ({"format": "date-time"}, lambda: "1" * 5_000_000),
    "an address of 5 MB": ({"format": "uri"}, lambda: "http://" + "a." * 2_500_000),
    "a host name of 5 MB": ({"format": "idn-hostname"}, lambda: "\u00e4." * 1_000_000),
    "a regular expression of 1 MB": ({"format": "regex"}, lambda: "(" * 1_000_000),
    "an unknown key of 1 MB": ({"additionalProperties": False}, lambda: {"k" * 1_000_000: 1}),
    "100,000 unknown keys": ({"additionalProperties": False}, lambda: {f"k{n}": 1 for n in range(100_000)}),
    "1,000 missing keys": ({"required": [f"k{n}" for n in range(1000)]}, dict),
    **{
        f"an old version of {name}": (schema, lambda: "x")
        for name, schema in (
            ("29 levels of allOf", _levels(29, _TWICE["allOf"])),
            ("a huge pattern", {"pattern": "(a{1000}){1000}"}),
            ("a huge enum", {"enum": [*range(100_001)]}),
        )
    },
}


def _checked(schema: Schema, make: Callable[[], Any]) -> str | None:
    """Whatever the answer is, it costs this process little, and is short."""
    try:
        check_input(Version(id=uuid4(), definition={"inputs": schema}), make())
    except InvalidInput as error:
        size = sum(len(str(problem)) for problem in error.problems)
        return f"was refused with {size:,} characters" if size > 20_000 else None
    return None


def _pathed(key: int, items: int, way: str) -> str | None:
    """A long key above many items of which the last is wrong."""
    value: Any = {"A" * key: {"b c" * (key // 3): [*[0] * items, "\x00"]}}
    try:
        if way == "a body":
            payload.loads(json.dumps(value))
        elif way == "an output":
            payload.clean({**value, "x": float("nan")})
        elif way == "a parsed value":
            payload.check(value)
        elif way == "a definition":
            validate({"name": "x", "steps": [{"id": "a", "action": "default", "with": value}]})
        elif way == "expressions":
            wrong: Any = {"A" * key: ["{{ 1 + }}"] * items}
            return None if len(expressions.check(wrong, path="with")) <= 101 else "every fault was told"
        elif way == "a template":
            expressions.render({"A" * key: ["{{ input.x }}"] * items}, {"input": {"x": 1}})
            return None
        else:
            parse.load(f"? {'A' * key}\n: [{'[0], ' * items}!!binary x]")
    except (PayloadError, Permanent, DefinitionError) as error:
        return None if len(str(error)) < 2000 else "was refused with a message that is too long"
    return "was accepted"


_LONG = "{{ " + "1 + " * 250 + "}}"
_MANY: dict[str, Callable[[], Any]] = {
    "long expressions": lambda: [{"with": {"v": f"{n} {_LONG}"}} for n in range(10_000)],
    "long expressions in one step": lambda: [{"with": {f"k{n}": f"{n} {_LONG}" for n in range(9000)}}],
    "bare expressions": lambda: [
        {"action": "transform", "with": {"map": {f"k{n}": f"{n} + " for n in range(100_000)}}}
    ],
    "conditions": lambda: [{"if": f"{n} +"} for n in range(10_000)],
    "unknown keys": lambda: [{"wiht": {}, "actoin": 1, "ned": 2} for _ in range(10_000)],
    "wrong types": lambda: [{"timeout": "long", "retry": 7, "needs": 3, "for_each": 1} for _ in range(10_000)],
    "unknown needs": lambda: [{"needs": [f"t{n}", f"u{n}"]} for n in range(10_000)],
    "unknown needs in one step": lambda: [{"needs": [f"t{n}" for n in range(300_000)]}],
    "wrong needs in one step": lambda: [{"needs": [1] * 400_000}],
    "wrong delays": lambda: [{"retry": {"delays": ["x"] * 400_000}}],
    "unknown steps": lambda: [{"with": {"v": f"{{{{ steps.t{n}.output }}}}"}} for n in range(10_000)],
    "unknown actions": lambda: [{"action": f"wiat{n}"} for n in range(10_000)],
    "unknown configs": lambda: [{"action": "wait", "with": {f"k{n}": 1 for n in range(20)}} for _ in range(2000)],
    "unknown keys of one config": lambda: [{"action": "wait", "with": {f"k{n}": 1 for n in range(100_000)}}],
    "long ids": lambda: [{"id": "x" * 900} for _ in range(9000)],
    "equal ids": lambda: [{"id": "a"} for _ in range(12_000)],
    "jumps": lambda: [{"on_error": f"goto:t{n}"} for n in range(10_000)],
}


def _mistaken(make: Callable[[], list[dict[str, Any]]]) -> str | None:
    steps = [{"id": f"s{n}", "action": "default", **step} for n, step in enumerate(make())]
    return _few({"name": "x", "steps": steps})


def _few(document: Any) -> str | None:
    try:
        validate(document)
    except DefinitionError as error:
        return None if len(error.problems) <= 102 else f"{len(error.problems):,} problems were told"
    return "was accepted"


def _few_of(make: Callable[[], Any]) -> str | None:
    return _few(make())


_WHOLE: dict[str, Callable[[], Any]] = {
    "300,000 unknown keys": lambda: {"name": "x", "steps": [], **{f"k{n}": 1 for n in range(300_000)}},
    "300,000 labels": lambda: {
        "name": "x",
        "steps": [{"action": "default"}],
        "labels": {f"k{n}": 1 for n in range(300_000)},
    },
    "300,000 triggers": lambda: {"name": "x", "steps": [{"action": "default"}], "triggers": [1] * 300_000},
    "300,000 steps": lambda: {"name": "x", "steps": [{}] * 300_000},
    "300,000 steps after a failure": lambda: {
        "name": "x",
        "steps": [{"action": "default"}],
        "on_failure": [{}] * 300_000,
    },
    "100,000 nodes": lambda: {"name": "x", "nodes": [{"id": n} for n in range(100_000)], "edges": []},
    "12,000 wrong nodes": lambda: {
        "name": "x",
        "nodes": [{"id": f"{n}", "type": n} for n in range(12_000)],
        "edges": [],
    },
    "200,000 wrong edges": lambda: {
        "name": "x",
        "nodes": [{"id": "a", "type": "wait"}],
        "edges": [{"source": n, "target": n} for n in range(200_000)],
    },
    "edges of one id of 1 MB": lambda: {
        "name": "x",
        "nodes": [{"id": "x" * 1_000_000, "type": "wait"}],
        "edges": [{"source": "x" * 1_000_000, "target": "x" * 1_000_000}] * 200,
    },
    "10,000 wrong payloads": lambda: {
        "name": "x",
        "steps": [{"name": f"s{n}", "type": "compute", "payload": {"iterations": f"many {n}"}} for n in range(10_000)],
    },
}

_CODECS = (
    "hex",
    "punycode",
    "idna",
    "zlib",
    "bz2",
    "rot13",
    "base64",
    "quopri",
    "uu",
    "undefined",
    "unicode_escape",
    "raw_unicode_escape",
    "utf-7",
    "mbcs",
    "no",
    "utf-8\x00",
    "x" * 5000,
)


def _charset(header: str, value: str) -> str | None:
    return None if fault_of({header: value}) else "was accepted"


def _cases() -> Iterator[Case]:
    for name, schema in _REFUSED.items():
        yield Case(f"schema: {name}", _SCHEMAS, partial(_refused, schema))
    for name, (given, value) in _EACH.items():
        yield Case(f"input: {name}", _INPUTS, partial(_checked, given, value))
    for way in ("a body", "an output", "a parsed value", "a definition", "expressions", "a template", "YAML"):
        for key, items in ((100_000, 20_000), (1_000_000, 10_000), (2_000_000, 100)):
            slow = (8000, _YAML_REASON) if way == "YAML" else (2000, "")
            attack = partial(_pathed, key, items, way)
            yield Case(f"path: {way}, {items:,} below a key of {key:,}", _PATHS, attack, slow[0], reason=slow[1])
    wide = "10,000 steps with all their fields take longer, and the search for mistakes ends a second after the first"
    for name, steps in _MANY.items():
        yield Case(f"mistakes: {name}", _MISTAKES, partial(_mistaken, steps), 4000, reason=wide)
    for name, make in _WHOLE.items():
        yield Case(f"mistakes: {name}", _MISTAKES, partial(_few_of, make), 4000, 200, reason=wide)
    for codec in _CODECS:
        for kind in ("multipart/form-data; boundary=x", "text/plain"):
            yield Case(
                f"charset {codec[:20]!r} of {kind[:9]}",
                _HEADERS,
                partial(_charset, "CONTENT_TYPE", f"{kind}; charset={codec}"),
            )
    for text in (
        "a/b; x*=no''y",
        "a/b; x*0*=hex''y",
        "a/b; x*" + " " * 50_000 + "=",
        "a/b;" + "charset" * 9000 + "=hex",
    ):
        for header in ("CONTENT_TYPE", "HTTP_ACCEPT", "HTTP_CONTENT_DISPOSITION"):
            yield Case(f"{header} {text[:20]!r}, {len(text):,} characters", _HEADERS, partial(_charset, header, text))


CASES: list[Case] = list(_cases())
