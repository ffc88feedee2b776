"""What is aimed at on two cores, and what was reached."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.tables import Report, number, spread, table


class Aim(NamedTuple):
    """What is to be at least so much, or at most; and where its figure lies in the results."""

    what: str
    value: float
    place: tuple[str, ...]
    at_most: bool = False


_RATIOS = ("w3", "ratios")
AIMS = (
    Aim("bulk starts, times the bare chain with prefork 2", 50, (*_RATIOS, "stepwise_bulk/chain_prefork")),
    Aim("single starts of 16 callers, times the same", 10, (*_RATIOS, "stepwise_single/chain_prefork")),
    Aim("latency p50, of the bare chain's", 0.6, (*_RATIOS, "latency_p50/chain_prefork"), at_most=True),
    Aim("latency p95, of the bare chain's", 1, (*_RATIOS, "latency_p95/chain_prefork"), at_most=True),
    Aim("bulk over HTTP, runs accepted a second", 18_000, ("ingest", "figures", "bulk_lines", "all")),
    Aim("single starts over HTTP, accepted a second", 2300, ("ingest", "figures", "single", "all")),
    Aim("http_request of 100 ms, a second", 500, ("effects", "systems", "stepwise_runs", "requests_per_second")),
    Aim("statements a second with nothing to do", 5, ("idle", "statements_per_second"), at_most=True),
)


def section(reports: Mapping[str, Report]) -> str:
    """A table of those that were measured; nothing where none was."""
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
    told = spread(found) if isinstance(found, Mapping) else number(found)
    return [
        aim.what,
        f"{'at most' if aim.at_most else 'at least'} {number(aim.value)}",
        told,
        "yes" if reached else "no",
    ]
