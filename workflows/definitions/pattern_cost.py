"""Estimate the size of a regular expression: its length when all repeats are written out."""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = re.compile(r"\\[pP]\{[^}]*\}|\\.|\[(?:\\.|[^\]\\])*\]?|\{(?P<least>\d*),?(?P<most>\d*)\}|[()]|.", re.DOTALL)
# A class of Unicode, such as \p{L}, compiles into some hundred times as much as a letter.
_CLASS = 100
_MOST = 10**9


class PatternCost(NamedTuple):
    """`scans` is about the steps for each character of a text; `size` what the compiled pattern takes, in letters."""

    scans: int
    size: int


def pattern_cost(pattern: str) -> PatternCost:
    """Return the cost of a pattern, which need not be valid: `(ab{10}){5}` counts 55 letters."""
    # For each open group, the scans and size before it, and those of what is in it; and of the last atom.
    groups: list[tuple[int, int]] = [(0, 0)]
    last = (0, 0)
    for token in _TOKEN.finditer(pattern):
        text = token.group()
        if text == "(":
            groups.append((0, 0))
            last = (0, 0)
        elif text == ")" and len(groups) > 1:
            last = groups.pop()
            groups[-1] = _add(groups[-1], last)
        elif text.startswith("{") and len(text) > 1:
            times = _times(token["least"], token["most"])
            groups[-1] = _add(groups[-1], (last[0] * (times - 1), last[1] * (times - 1)))
            last = (last[0] * times, last[1] * times)
        else:
            last = (1, _CLASS if text[:2] in ("\\p", "\\P") else 1 + len(text) // 8)
            groups[-1] = _add(groups[-1], last)
    scans = sum(group[0] for group in groups)
    return PatternCost(min(_MOST, scans), min(_MOST, sum(group[1] for group in groups)))


def _add(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return min(_MOST, one[0] + other[0]), min(_MOST, one[1] + other[1])


def _times(least: str | None, most: str | None) -> int:
    return max(1, *(int(digits[:9]) for digits in (least, most) if digits), 1)
