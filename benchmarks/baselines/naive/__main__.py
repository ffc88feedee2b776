"""Publish `count` runs, wait for their ends, and print how long that took, and the CPU time of publishing."""

from __future__ import annotations

import sys
import time

import django

django.setup()

from benchmarks.baselines.naive import app as naive  # noqa: E402
from benchmarks.baselines.naive import tables  # noqa: E402
from benchmarks.baselines.naive.models import NaiveRun  # noqa: E402
from benchmarks.servers import until  # noqa: E402


def main(count: int) -> None:
    """Print the seconds from the first publish to the last end, and the CPU seconds of publishing."""
    tables.make()
    last = NaiveRun.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    began, before = time.perf_counter(), time.process_time()
    naive.publish(range(count))
    spent = time.process_time() - before
    mine = NaiveRun.objects.filter(pk__gt=last, state="running")
    until(lambda: not mine.exists(), what="the naive runs", seconds=300)
    sys.stdout.write(f"{time.perf_counter() - began} {spent}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
