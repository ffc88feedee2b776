"""`make bench`: measure in turn, A B A B, and write figures, ratios and spread to benchmarks/results/."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from benchmarks.telling import RESULTS, keep


def main() -> None:
    """The exit status is 0 whatever the figures are: what they must be is for the reader. Lost work ends it with 1."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about two minutes: fewer runs, fewer rounds")
    parser.add_argument("--rounds", type=int, help="how often each system is measured (default: 5, quick: 2)")
    parser.add_argument("--only", action="append", default=[], help="a system to measure (default: all)")
    parser.add_argument("--scale", type=float, help="share of the runs that are measured (default: 1, quick: 0.2)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the directory that the JSON goes to")
    options = parser.parse_args()

    from benchmarks import servers

    home = servers.up()

    from benchmarks import concurrency, w3

    options.output.mkdir(parents=True, exist_ok=True)
    size = w3.Size(rounds=2, scale=0.2, latencies=50) if options.quick else w3.Size()
    size = replace(
        size, rounds=options.rounds or size.rounds, scale=options.scale or size.scale, only=tuple(options.only)
    )
    ending = "-quick.json" if options.quick else ".json"
    keep(w3.measured(home, size=size), options.output / f"w3{ending}")
    more = concurrency.QUICK if options.quick else concurrency.Size()
    keep(concurrency.measured(home, size=more), options.output / f"concurrency{ending}")


if __name__ == "__main__":
    main()
