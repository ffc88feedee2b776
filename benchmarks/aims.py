"""The performance aims on two cores, and whether the results reach them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.tables import NOT_YET, Report, number, spread, table


class Aim(NamedTuple):
    """A figure, its path in the results, and the aim for it; some have a looser bound too, which must be kept.

    `at_most`: the figure should be at most the value, otherwise at least.
    """

    what: str
    value: float
    place: tuple[str, ...]
    at_most: bool = False
    bound: float | None = None


def _w4(answer: str) -> tuple[Aim, ...]:
    """The aims of W4 for answers after so many milliseconds."""
    after = "answers at once" if answer == "0" else f"answers after {answer} ms"
    place = ("w4", "by_answer_milliseconds", answer, "ratios")
    best = "best bare pool"
    return (
        Aim(
            f"W4, {after}: rate of many / {best}",
            4,
            (*place, "runs_per_second_of_best_bare_pool"),
            bound=3,
        ),
        *(
            Aim(
                f"W4, {after}: latency {p} of one alone / {best}",
                1,
                (*place, f"alone_{p}_ms_of_best_bare_pool"),
                at_most=True,
                bound=1.2,
            )
            for p in ("p50", "p95")
        ),
    )


def _beside(kind: str, hung: int) -> Aim:
    runs = "quick http_request runs" if kind == "quick" else "pure runs"
    what = f"p95 of {runs} beside {hung} hung ones / alone"
    return Aim(what, 1.5, ("neighbours", "ratios", f"{kind}_{hung}"), at_most=True, bound=3)


def _shape(what: str, name: str, *, aim: float, bound: float) -> Aim:
    place = ("http_shapes", "cases", name, "ways", "stepwise", "milliseconds_per_step")
    return Aim(f"{what}, ms each", aim, place, at_most=True, bound=bound)


_W3 = ("w3", "ratios")
AIMS = (
    Aim("W3: rate of bulk starts / bare chain, prefork 2", 50, (*_W3, "stepwise_bulk/chain_prefork")),
    Aim("W3: rate of single starts, 16 callers / bare chain, prefork 2", 10, (*_W3, "stepwise_single/chain_prefork")),
    Aim("W3: latency p50 / bare chain, prefork 2", 0.6, (*_W3, "latency_p50/chain_prefork"), at_most=True),
    Aim("W3: latency p95 / bare chain, prefork 2", 1, (*_W3, "latency_p95/chain_prefork"), at_most=True),
    *_w4("0"),
    *_w4("20"),
    *(_beside(kind, hung) for kind in ("pure", "quick") for hung in (8, 80)),
    _shape("fan-out of 10,000 http_request branches", "fan_out_10000", aim=0.5, bound=0.8),
    _shape("chain of 2,000 http_request steps", "chain_2000", aim=1.5, bound=2.0),
    _shape("graph of 10,000 steps, every second layer http_request", "graph_10000", aim=1.0, bound=1.2),
    Aim(
        "http_request to a server that takes 100 ms, per second",
        900,
        ("effects", "systems", "stepwise_runs", "requests_per_second"),
        bound=750,
    ),
    Aim("bulk starts over HTTP, runs accepted per second", 18_000, ("ingest", "figures", "bulk_lines", "all")),
    Aim("single starts over HTTP, accepted per second", 2300, ("ingest", "figures", "single", "all")),
    Aim("statements per second when idle", 5, ("idle", "statements_per_second"), at_most=True),
)
_HEAD = ("on two cores", "bound", "aim", "measured", "reached")


def section(reports: Mapping[str, Report]) -> str:
    """Return the section with a table of all aims."""
    return (
        "## Aims\n\n"
        "W3 is three pure steps, W4 three requests in turn. Some figures have a bound that must be kept, and an aim"
        " beyond it; `bound` in the last column says that the bound is kept, and the aim not reached yet.\n\n"
        f"{table(_HEAD, [_row(aim, reports) for aim in AIMS])}"
    )


def of_suite(name: str, reports: Mapping[str, Report]) -> str:
    """Return a table of one suite's aims."""
    return table(_HEAD, [_row(aim, reports) for aim in AIMS if aim.place[0] == name])


def reached(aim: Aim, value: float) -> str:
    """Return `yes` if the value reaches the aim, `bound` if it keeps the bound only, else `no`."""
    if _keeps(value, aim.value, aim):
        return "yes"
    return "bound" if aim.bound is not None and _keeps(value, aim.bound, aim) else "no"


def _keeps(value: float, limit: float, aim: Aim) -> bool:
    return value <= limit if aim.at_most else value >= limit


def _row(aim: Aim, reports: Mapping[str, Report]) -> Sequence[str]:
    found = _found(reports, aim.place)
    sign = "at most" if aim.at_most else "at least"
    limits = ["" if one is None else f"{sign} {number(one)}" for one in (aim.bound, aim.value)]
    if found is None:
        return aim.what, *limits, NOT_YET, ""
    if isinstance(found, list):
        found = {"median": statistics.median(found), "min": min(found), "max": max(found)}
    value = found["median"] if isinstance(found, Mapping) else found
    figure = spread(found) if isinstance(found, Mapping) else number(found)
    return aim.what, *limits, figure, reached(aim, value)


def _found(reports: Any, place: tuple[str, ...]) -> Any:
    for key in place:
        reports = reports.get(key) if isinstance(reports, Mapping) else None
    return reports
