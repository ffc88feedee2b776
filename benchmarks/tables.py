"""Format figures as Markdown: numbers with three significant digits, medians with their spread, tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Report = Mapping[str, Any]
# Stands where the results have no figure.
NOT_YET = "not measured yet"


def number(value: float) -> str:
    """Return a number with three significant digits; integers in full."""
    if value == int(value):
        return f"{int(value):,}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def spread(found: Mapping[str, float], *, times: float = 1.0) -> str:
    """Return the median, with the smallest and the largest value in brackets."""
    low, high = (number(found[name] * times) for name in ("min", "max"))
    return f"{number(found['median'] * times)} ({low} to {high})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; its first column is aligned as text, the others as figures."""
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join(['---', *['---:'] * (len(head) - 1)])}|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def quiet(report: Report) -> str:
    """Return a sentence if the machine had other load before the measurement, else an empty string."""
    load = report.get("load_average_before")
    if load is None or load < 0.25 * report["machine"]["cores"]:
        return ""
    return f"Measured on a machine that had other load: the load average before was {load}.\n"
