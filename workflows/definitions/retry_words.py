"""The words of `retry.on`: the kinds of failures that another attempt may cure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from actions.base import Action, Config
from workflows.definitions.errors import Problem, nearest

# Failures that any action may have. `error` is an exception that the action did not expect.
_KINDS = frozenset({"connection", "database", "error", "rate_limited", "sub_workflow", "timeout"})
_STATUS = re.compile(r"http:[45](?:xx|\d\d)")
_BARE_STATUS = re.compile(r"(?:http|status)?[ _-]?([45](?:xx|\d\d))")


def problems(words: Sequence[str], *, action: Action[Config], path: str) -> Iterator[Problem]:
    """Yield a problem for each word that no failure of the action has as its kind; letter case does not matter."""
    known = _KINDS | action.error_kinds
    for index, word in enumerate(words):
        lower = word.lower()
        if lower not in known and _STATUS.fullmatch(lower) is None:
            message = f"{word[:40]!r} is no kind of failure that is tried again{_hint(lower, known)}"
            yield Problem(f"{path}[{index}]", message)


def _hint(word: str, known: frozenset[str]) -> str:
    if (status := _BARE_STATUS.fullmatch(word)) is not None:
        return f"; did you mean 'http:{status[1]}'?"
    if word.startswith("http"):
        return "; write http:5xx, http:4xx, or one status such as http:503"
    return nearest(word, sorted(known | {"http:5xx", "http:503"}))
