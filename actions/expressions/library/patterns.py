"""Filters for regular expressions, and slugs.

The expressions are RE2's, whose time grows with the length of the text and never exponentially. So they have no
backreferences and no lookaround.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import re2

from actions.expressions.values import Refused, charge, hold, text_of, work

MOST_TEXT = 1_000_000
MOST_PATTERN = 500
# Steps of RE2's program: what `\w{1000}` would have is too many.
_MOST_STEPS = 2_000
_MOST_MEMORY = 1024 * 1024
_TEXT_BYTES = 72
_GROUP = re.compile(r"\\(\d)")


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.max_mem = _MOST_MEMORY
    options.log_errors = False
    try:
        found = re2.compile(pattern, options)
    except re2.error as error:
        detail = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise Refused(f"{pattern[:60]!r} is no regular expression that may be used: {detail[:100]}") from None
    if found.programsize > _MOST_STEPS:
        raise Refused(f"the regular expression {pattern[:60]!r} is too large; write smaller repetitions")
    return found


def _matches(value: Any, pattern: Any, *, what: str) -> tuple[str, Iterator[Any]]:
    """Return the text, and its matches one after the other; each is charged the whole text that it may look at."""
    text, source = text_of(value, what=what), text_of(pattern, what=what)
    if len(text) > MOST_TEXT:
        raise Refused(f"{what} looks at texts of at most {MOST_TEXT:,} characters; this one has {len(text):,}")
    if len(source) > MOST_PATTERN:
        raise Refused(f"{what} needs a regular expression of at most {MOST_PATTERN} characters")
    compiled = _compiled(source)
    # Positions in a text that is not ASCII are counted anew by RE2's wrapper.
    charge(len(text))

    def found() -> Iterator[Any]:
        for match in compiled.finditer(text):
            work(len(text))
            yield match

    return text, found()


def _value(match: Any) -> Any:
    """Return what a match stands for: its text, its only group, or the list of its groups."""
    groups = match.groups()
    charge(match.end() - match.start() + 1)
    hold(_TEXT_BYTES * (1 + len(groups)))
    if not groups:
        return match.group()
    return groups[0] if len(groups) == 1 else list(groups)


def regex_search(value: Any, pattern: Any) -> Any:
    """Return the first match: its text, or its group, or the list of its groups; null if there is none."""
    _, matches = _matches(value, pattern, what="regex_search")
    return next((_value(match) for match in matches), None)


def regex_findall(value: Any, pattern: Any) -> list[Any]:
    """Return all matches, each as in `regex_search`."""
    _, matches = _matches(value, pattern, what="regex_findall")
    return [_value(match) for match in matches]


def regex_replace(value: Any, pattern: Any, new: Any) -> str:
    r"""Replace all matches; `\1` to `\9` in the new text are the groups, `\0` is the match."""
    replacement = text_of(new, what="regex_replace")
    text, matches = _matches(value, pattern, what="regex_replace")
    pieces: list[str] = []
    at = 0
    for match in matches:
        piece = _GROUP.sub(_groups_of(match), replacement)
        charge(len(piece) + match.start() - at)
        hold(2 * _TEXT_BYTES)
        pieces += (text[at : match.start()], piece)
        at = match.end()
    charge(len(text) - at)
    return "".join([*pieces, text[at:]])


def _groups_of(match: Any) -> Callable[[re.Match[str]], str]:
    def group(reference: re.Match[str]) -> str:
        number = int(reference[1])
        if number > len(match.groups()):
            raise Refused(f"regex_replace: the regular expression has no group {number}")
        return match.group(number) or ""

    return group


def slug(value: Any, separator: Any = "-") -> str:
    """Return a text as a part of a URL: ASCII letters without accents, digits, and a separator between words."""
    text, between = text_of(value, what="slug"), text_of(separator, what="slug")
    charge(2 * len(text))
    hold(_TEXT_BYTES * (len(text) // 2))
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    charge(len(between) * len(words))
    return between.join(words)


FILTERS: dict[str, Callable[..., Any]] = {
    "regex_findall": regex_findall,
    "regex_replace": regex_replace,
    "regex_search": regex_search,
    "slug": slug,
}
