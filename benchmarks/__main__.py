"""`make bench`: measure the systems in turn (A B A B), and write the results to benchmarks/results/ and the page."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import neighbours, w4
from benchmarks.telling import RESULTS, keep

if TYPE_CHECKING:
    from benchmarks import concurrency, schema_costs, w3


@dataclass(frozen=True)
class Sizes:
    """How much of each suite is measured, and the ending of the results' file names; None leaves a suite out."""

    w3: w3.Size
    w4: w4.Size
    neighbours: neighbours.Size
    concurrency: concurrency.Size | None
    schema_costs: schema_costs.Size | None
    parts: tuple[int, int]
    ending: str = "-quick.json"


def main() -> None:
    """Measure everything. Exit status 0 whatever the figures are, 1 (and no page) if a run was lost or is wrong."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--quick", action="store_true", help="about five minutes: fewer runs, fewer rounds, no page")
    form.add_argument("--tiny", action="store_true", help="seconds: a few runs, to see that it works at all; no page")
    parser.add_argument("--rounds", type=int, help="how often each system is measured (default: 5, quick: 2)")
    parser.add_argument("--only", action="append", help="a system to measure (default: all)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the directory that the JSON goes to")
    options = parser.parse_args()

    from benchmarks import servers

    os.environ["OUTBOUND_ALLOW"] = w4.ALLOWED
    home = servers.up()

    from benchmarks import concurrency, page, parts, schema_costs, w3

    sizes = _tiny() if options.tiny else _quick() if options.quick else _full()
    only = tuple(options.only or ())
    options.output.mkdir(parents=True, exist_ok=True)
    size = replace(sizes.w3, rounds=options.rounds or sizes.w3.rounds, only=only or sizes.w3.only)
    keep(w3.measured(home, size=size), options.output / f"w3{sizes.ending}")
    size_4 = replace(sizes.w4, rounds=options.rounds or sizes.w4.rounds, only=only or sizes.w4.only)
    keep(requests := w4.measured(home, size=size_4), options.output / f"w4{sizes.ending}")
    if sizes.concurrency is not None:
        keep(concurrency.measured(home, size=sizes.concurrency), options.output / f"concurrency{sizes.ending}")
    if sizes.schema_costs is not None:
        keep(schema_costs.measured(size=sizes.schema_costs), options.output / f"schema_costs{sizes.ending}")
    # After the costs of the schema, which take a run that did not succeed for one that needs what was dropped.
    keep(beside := neighbours.measured(home, size=sizes.neighbours), options.output / f"neighbours{sizes.ending}")
    # The last one, because it wraps functions of the code with its meter and does not unwrap them.
    alone, bulk = sizes.parts
    keep(parts.measured(alone=alone, bulk=bulk), options.output / f"parts{sizes.ending}")
    if faults := [fault for fault in (w4.wrong(requests), neighbours.wrong(beside)) if fault]:
        sys.exit("\n".join(faults))
    if sizes.ending == ".json" and options.output == RESULTS:
        page.main()


def _full() -> Sizes:
    from benchmarks import concurrency, schema_costs, w3

    return Sizes(
        w3.Size(), w4.Size(), neighbours.Size(), concurrency.Size(), schema_costs.Size(), (1000, 20000), ending=".json"
    )


def _quick() -> Sizes:
    from benchmarks import concurrency, w3

    few = w3.Size(rounds=2, scale=0.15, latencies=50, counted=False)
    return Sizes(few, w4.QUICK, neighbours.QUICK, concurrency.QUICK, None, (200, 4000))


def _tiny() -> Sizes:
    from benchmarks import schema_costs, w3

    few = w3.Size(rounds=1, scale=0.05, latencies=2, only=("stepwise_bulk",), counted=False)
    asking = w4.Size(rounds=1, runs=20, latencies=2, delays=(0.0,), only=("stepwise",))
    beside = neighbours.Size(rounds=1, seconds=1.0, hung=(1,), kinds=("quick",))
    return Sizes(few, asking, beside, None, schema_costs.Size(rounds=1, runs=20, warm=10, only=("run_live",)), (2, 20))


if __name__ == "__main__":
    main()
