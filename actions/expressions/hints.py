"""What to write in place of what other languages write. For messages only: nothing here decides what is accepted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
# Where several match, the first three are told.
_OPERATORS = (
    (re.compile(r"&&?"), "`a and b` in place of &&"),
    (re.compile(r"\|\|"), "`a or b` in place of ||"),
    (re.compile(r"!=="), "`a != b` in place of !=="),
    (re.compile(r"(?<!!)==="), "`a == b` in place of ==="),
    (re.compile(r"(?<![=!<>])=(?![=>])"), "`a == b` to compare"),
    (re.compile(r"!(?!=)"), "`not a` in place of !"),
    (re.compile(r"\?\?"), "`a|default(b)` in place of ??"),
    (re.compile(r"\?\."), "`a.b|default(none)` in place of ?."),
    (re.compile(r"\?(?![?.])[^:?]*:"), "`a if test else b` in place of ? :"),
    (re.compile(r"=>"), "a filter such as `rows|map(attribute='name')` in place of =>"),
    (re.compile(r"`"), "`'text ' ~ a` in place of a text with ${}"),
    (re.compile(r"\$(?:json|input|item)\b"), "`input.x` or `steps.<id>.output.x` in place of $json.x"),
    (re.compile(r"\$\(|\$node\b|\$items\b"), "`steps.<id>.output.x` to read another step"),
    (re.compile(r"\$\.|\$\["), "`input.x` in place of $.x"),
)
# Names of other systems, and what they are here.
NAMES = {
    **dict.fromkeys(("inputs", "params", "parameters", "args", "trigger", "event", "payload", "body"), "input"),
    **dict.fromkeys(("step", "outputs", "nodes", "tasks", "jobs", "needs"), "steps.<id>.output"),
    **dict.fromkeys(("workflow", "execution", "flow"), "run.id"),
    **dict.fromkeys(("null", "undefined", "nil", "NULL", "Null"), "none"),
}
# No such name has a value here; a step's config that needs one gets it from the run's input.
NOT_HERE = frozenset(["env"])
# These words are no names in any language.
_NO_VALUE = frozenset(["null", "undefined", "nil", "NULL", "Null"])
_METHODS = {
    "toUpperCase": "upper",
    "upper": "upper",
    "toLowerCase": "lower",
    "lower": "lower",
    "trim": "trim",
    "strip": "trim",
    "length": "length",
    "size": "length",
    "count": "length",
    "len": "length",
    "join": "join",
    "replace": "replace",
    "split": "split",
    "round": "round",
    "sort": "sort",
    "map": "map",
    "filter": "select",
    "first": "first",
    "last": "last",
    "toString": "string",
    "reverse": "reverse",
    "keys": "keys",
}
LENGTHS = frozenset(["length", "size", "count", "len"])


def of_source(source: str) -> str:
    """Return `; write ...` for a source that does not parse, or an empty text."""
    plain = _QUOTED.sub("''", source[:2000])
    found = [hint for pattern, hint in _OPERATORS if pattern.search(plain)]
    return f"; write {', '.join(found[:3])}" if found else ""


def of_call(method: str, *, known: Iterable[str]) -> str:
    """Return how to write the call of a method as a filter."""
    name = _METHODS.get(method, "")
    return f"write `x|{name}` in place of x.{method}()" if name in {*known} else "use a filter: `x|upper`, `x|length`"


def of_names(names: Iterable[str]) -> str | None:
    """Return what is wrong with a word such as `null`, which is no name; None if none of the names is one."""
    word = next((name for name in sorted(names) if name in _NO_VALUE), None)
    return None if word is None else f"uses the word {word!r}; write none"


def of_key(key: str | int, keys: Iterable[str], *, owner: str) -> str:
    """Return `; did you mean ...?` for a key that an object does not have; `owner` is empty for a name."""
    word = str(key)[:60]
    # Few and short: a comparison takes about 20 us, and a list may have thousands of items that all fail.
    choices = [each for each, _ in zip(keys, range(100), strict=False) if len(each) <= 60]
    if dashed := next((each for each in choices if each.startswith(f"{word}-")), None):
        return f"; did you mean {owner or 'input'}['{dashed}']?"
    if not owner and word in NAMES and (word in _NO_VALUE or NAMES[word].partition(".")[0] in choices):
        return f"; did you mean {NAMES[word]!r}?"
    if not owner and word == "vars":
        return "; no variable is set for this workspace: manage.py set_variable NAME VALUE sets one"
    if not owner and word in NOT_HERE:
        return f"; there is no {word!r} here, so give the run what it needs as input"
    close = get_close_matches(word, choices, n=2)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
