"""What expressions read of a step: its output, its state and its error; and the results of a for_each step.

A for_each step's output has the results of its items only if they are few and small. Else it has LEFT_OUT in their
place, with their number and the reason, and an expression that reads them fails. The next for_each reads them as rows,
one after the other: `items: "{{ steps.each.results }}"`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

RESULTS = "results"
LEFT_OUT = "results_left_out"

_KEYS = ("output", "state", "error")
_STREAM = re.compile(r"""\s*\{\{\s*steps(?:\.(\w+)|\[(?:"(\w+)"|'(\w+)')\])\.results\s*\}\}\s*""")


def streamed(text: str) -> str | None:
    """Return the id of the step of which a text reads the results as rows; None if it is another text."""
    found = _STREAM.fullmatch(text)
    return None if found is None else next(step for step in found.groups() if step is not None)


def misread(paths: Iterable[tuple[str | int, ...]]) -> str | None:
    """Return what is wrong with the first path that reads of a step what no step has; None if there is none such."""
    for path in paths:
        if len(path) > 2 and path[0] == "steps" and path[2] not in _KEYS:
            if path[2] == RESULTS:
                return (
                    f"reads steps.{path[1]}.results, which only `for_each.items` may, as its whole value; here write "
                    f"steps.{path[1]}.output.results"
                )
            return f"reads steps.{path[1]}.{path[2]}; a step has output, state and error"
    return None


def left_out(owner: Mapping[Any, Any], key: str | int) -> str | None:
    """Return why an output does not have the results that an expression reads; None if that is not what it reads."""
    if key != RESULTS or not isinstance(told := owner.get(LEFT_OUT), dict):
        return None
    return (
        f"needs results that are not in the output: {told.get('why')}; a for_each with "
        "items: '{{ steps.<id>.results }}' reads them one by one, and `count`, `succeeded` and `failed` are there"
    )
