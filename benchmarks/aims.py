"""The performance aims on two cores, and whether the results reach them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.tables import Report, number, spread, table


class Aim(NamedTuple):
    """A bound for one figure: at least `value`, or at most; `place` is the figure's path in the results."""

    what: str
    value: float
    place: tuple[str, ...]
    at_most: bool = False


_RATIOS = ("w3", "ratios")
AIMS = (
    Aim("rate of bulk starts / bare chain, prefork 2", 50, (*_RATIOS, "stepwise_bulk/chain_prefork")),
    Aim("rate of single starts, 16 callers / bare chain, prefork 2", 10, (*_RATIOS, "stepwise_single/chain_prefork")),
    Aim("latency p50 / bare chain, prefork 2", 0.6, (*_RATIOS, "latency_p50/chain_prefork"), at_most=True),
    Aim("latency p95 / bare chain, prefork 2", 1, (*_RATIOS, "latency_p95/chain_prefork"), at_most=True),
    Aim("bulk starts over HTTP, runs accepted per second", 18_000, ("ingest", "figures", "bulk_lines", "all")),
    Aim("single starts over HTTP, accepted per second", 2300, ("ingest", "figures", "single", "all")),
    Aim(
        "http_request to a server that takes 100 ms, per second",
        500,
        ("effects", "systems", "stepwise_runs", "requests_per_second"),
    ),
    Aim("statements per second when idle", 5, ("idle", "statements_per_second"), at_most=True),
)


def section(reports: Mapping[str, Report]) -> str:
    """Return the section with a table of the aims that were measured; an empty string if none was."""
    rows = [row for aim in AIMS if (row := _row(aim, _found(reports, aim.place)))]
    head = ("on two cores", "aim", "measured", "reached")
    return f"## Aims\n\n{table(head, rows)}" if rows else ""


def _found(reports: Any, place: tuple[str, ...]) -> Any:
    for key in place:
        reports = reports.get(key) if isinstance(reports, Mapping) else None
    return reports


def _row(aim: Aim, found: Any) -> list[str] | None:
    if found is None:
        return None
    if isinstance(found, list):
        found = {"median": statistics.median(found), "min": min(found), "max": max(found)}
    value = found["median"] if isinstance(found, Mapping) else found
    reached = value <= aim.value if aim.at_most else value >= aim.value
    figure = spread(found) if isinstance(found, Mapping) else number(found)
    return [
        aim.what,
        f"{'at most' if aim.at_most else 'at least'} {number(aim.value)}",
        figure,
        "yes" if reached else "no",
    ]
