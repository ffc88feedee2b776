"""`make bench`: measure the systems in turn (A B A B), and write the results to benchmarks/results/ and the page."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.telling import RESULTS, keep

if TYPE_CHECKING:
    from benchmarks import concurrency, schema_costs, w3


@dataclass(frozen=True)
class Sizes:
    """How much of each suite is measured, and the ending of the results' file names; None leaves a suite out."""

    w3: w3.Size
    concurrency: concurrency.Size | None
    schema_costs: schema_costs.Size | None
    parts: tuple[int, int]
    ending: str = "-quick.json"


def main() -> None:
    """Measure everything. Exit status 0 whatever the figures are, 1 if a run was lost or is wrong."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--quick", action="store_true", help="about two minutes: fewer runs, fewer rounds, no page")
    form.add_argument("--tiny", action="store_true", help="seconds: a few runs, to see that it works at all; no page")
    parser.add_argument("--rounds", type=int, help="how often each system is measured (default: 5, quick: 2)")
    parser.add_argument("--only", action="append", help="a system to measure (default: all)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the directory that the JSON goes to")
    options = parser.parse_args()

    from benchmarks import servers

    home = servers.up()

    from benchmarks import concurrency, page, parts, schema_costs, w3

    sizes = _tiny() if options.tiny else _quick() if options.quick else _full()
    size = replace(sizes.w3, rounds=options.rounds or sizes.w3.rounds, only=tuple(options.only or sizes.w3.only))
    options.output.mkdir(parents=True, exist_ok=True)
    keep(w3.measured(home, size=size), options.output / f"w3{sizes.ending}")
    if sizes.concurrency is not None:
        keep(concurrency.measured(home, size=sizes.concurrency), options.output / f"concurrency{sizes.ending}")
    if sizes.schema_costs is not None:
        keep(schema_costs.measured(size=sizes.schema_costs), options.output / f"schema_costs{sizes.ending}")
    # The last one, because it wraps functions of the code with its meter and does not unwrap them.
    alone, bulk = sizes.parts
    keep(parts.measured(alone=alone, bulk=bulk), options.output / f"parts{sizes.ending}")
    if sizes.ending == ".json" and options.output == RESULTS:
        page.main()


def _full() -> Sizes:
    from benchmarks import concurrency, schema_costs, w3

    return Sizes(w3.Size(), concurrency.Size(), schema_costs.Size(), (1000, 20000), ending=".json")


def _quick() -> Sizes:
    from benchmarks import concurrency, w3

    few = w3.Size(rounds=2, scale=0.15, latencies=50, counted=False)
    return Sizes(few, concurrency.QUICK, None, (200, 4000))


def _tiny() -> Sizes:
    from benchmarks import schema_costs, w3

    few = w3.Size(rounds=1, scale=0.05, latencies=2, only=("stepwise_bulk",), counted=False)
    return Sizes(few, None, schema_costs.Size(rounds=1, runs=20, warm=10, only=("run_live",)), (2, 20))


if __name__ == "__main__":
    main()
