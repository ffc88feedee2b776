"""Perform the naive app's runs of three requests in a process of its own, which has the app's models, and print JSON.

`many COUNT URL` prints the seconds from the first publish to the last end, and the CPU seconds of publishing.
`alone COUNT URL SECONDS` performs one run after the other, and prints the seconds of each; it first looks for a run's
end after SECONDS.
"""

from __future__ import annotations

import json
import sys
import time

import django

django.setup()

from benchmarks.accounts import Stopwatch  # noqa: E402
from benchmarks.baselines.naive import requests, tables  # noqa: E402
from benchmarks.baselines.naive.models import NaiveRun, NaiveStep  # noqa: E402
from benchmarks.servers import until  # noqa: E402

END_SECONDS = 300.0
# Runs before those that are measured alone: the first one opens the connections of this process.
WARM = 2


def many(count: int, url: str) -> dict[str, float]:
    """Perform runs together. Raises SystemExit if a step is missing afterwards."""
    last = _last()
    watch = Stopwatch()
    requests.publish(count, url)
    spent = watch.cpu_seconds()
    left = NaiveRun.objects.filter(pk__gt=last, state="running")
    until(lambda: not left.exists(), what="the naive runs", seconds=END_SECONDS)
    seconds = watch.seconds()
    rows = NaiveStep.objects.filter(run__gt=last, state="succeeded").count()
    if rows != count * len(requests.STEPS):
        raise SystemExit(f"{count} naive runs have {rows} steps that succeeded")
    return {"seconds": seconds, "callers_cpu": spent}


def alone(count: int, url: str, unseen: float) -> list[float]:
    """Perform runs one after the other, and return the seconds from each one's publishing to its recorded end."""
    found = []
    for _ in range(WARM + count):
        last, began = _last(), time.time()
        requests.publish(1, url)
        time.sleep(unseen)
        mine = NaiveRun.objects.filter(pk__gt=last, state="succeeded")
        until(mine.exists, what="the naive run", seconds=END_SECONDS)
        found.append(max(run.finished_at.timestamp() for run in mine if run.finished_at) - began)
    return found[WARM:]


def _last() -> int:
    return NaiveRun.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


if __name__ == "__main__":
    tables.make()
    way, number, address, *rest = sys.argv[1:]
    json.dump(many(int(number), address) if way == "many" else alone(int(number), address, float(rest[0])), sys.stdout)
