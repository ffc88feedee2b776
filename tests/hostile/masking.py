"""Configs that are hard to mask: long texts, deep and wide values, and secrets where nobody looks for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from actions.base import Json
from tests.hostile.case import Case
from workflows.definitions.errors import Problem
from workflows.definitions.secrets import MARKER, marker_problems, masked

_KIND = "secrets in configs"
_SECRET = "hunter2"
_TEXTS = {
    "schemes": "://" * 300_000,
    "userinfo without end": "https://" + "a" * 1_000_000,
    "parameters without value": "?key" * 250_000,
    "parameters": "&token=a" * 125_000,
    "parameters in a scheme": "://?token=" * 100_000,
    "at signs": "@" * 1_000_000,
    "spaces": " " * 1_000_000,
    "braces": "{" * 1_000_000,
    "markers": MARKER * 15_000,
}
_HIDDEN: dict[str, Json] = {
    "mixed case": {"headers": {"aUTHORIZATION": _SECRET}},
    "in a list": {"headers": {"X-Key": [_SECRET, [_SECRET]]}},
    "in an object": {"headers": {"Cookie": {"a": {"b": _SECRET}}}},
    "headers in a list": {"calls": [[{"headers": {"authorization": _SECRET}}]]},
    "beside an expression": {"headers": {"Authorization": f"{{{{ input.a }}}} {_SECRET}"}},
    "in a literal of an expression": {"headers": {"Authorization": f"{_SECRET}{{{{ '' }}}}"}},
    "in a body": {"body": {"auth": {"password": _SECRET}}},
    "passwd": {"passwd": _SECRET},
    "query": {"query": {"Signature": _SECRET}},
    "userinfo": {"url": f"https://:{_SECRET}@h/"},
    "userinfo alone": {"url": f"https://{_SECRET}@h/"},
    "userinfo of a text": {"text": f"postgres://u:{_SECRET}@db/x and more"},
    "parameter": {"url": f"https://h/?x=1&Access_Token={_SECRET}"},
    "number": {"headers": {"X-Secret": [1234567, _SECRET]}},
    "long name": {"headers": {"x" * 150 + "-token": _SECRET}},
}


def _long(value: Json) -> str | None:
    masked(value)
    return None


def _hidden(value: Json) -> str | None:
    return f"{masked(value)} is shown" if _SECRET in str(masked(value)) else None


def _deep(depth: int) -> str | None:
    value: Json = _SECRET
    for number in range(depth):
        value = {"a": value} if number % 2 else [value]
    return None if masked({"headers": {"key": value}}) == {"headers": {"key": MARKER}} else "a deep secret is shown"


def _wide(make: Callable[[int], Json], count: int) -> str | None:
    masked(make(count))
    problems: list[Problem] = list(marker_problems(make(count)))
    return f"{len(problems)} problems in a document without masked values" if problems else None


CASES = [
    *(Case(f"masking: {name}", _KIND, partial(_long, {"url": text})) for name, text in _TEXTS.items()),
    *(Case(f"masking: {name}, as a name", _KIND, partial(_long, {text: "a"})) for name, text in _TEXTS.items()),
    *(
        Case(f"masking: {name}, as a header", _KIND, partial(_long, {"headers": {text: "a"}}))
        for name, text in _TEXTS.items()
    ),
    *(Case(f"masking: hidden, {name}", _KIND, partial(_hidden, value)) for name, value in _HIDDEN.items()),
    *(Case(f"masking: {depth} levels", _KIND, partial(_deep, depth)) for depth in (10, 100, 199, 250, 900)),
    Case("masking: 200,000 items", _KIND, partial(_wide, lambda count: ["a"] * count, 200_000)),
    Case("masking: 100,000 fields", _KIND, partial(_wide, lambda count: {f"k{n}": "a" for n in range(count)}, 100_000)),
]
