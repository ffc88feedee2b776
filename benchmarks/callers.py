"""A process of callers: each of its threads starts its share of the runs, one at a time."""

from __future__ import annotations

import json
import sys
import threading
import time

import django

django.setup()

from django.db import connection  # noqa: E402

from benchmarks import work  # noqa: E402
from runs.control import starts  # noqa: E402
from runs.domain import requests  # noqa: E402
from workflows.models import Version, Workflow  # noqa: E402


def main(*, workflow_id: str, warm_id: str, numbers: range, threads: int) -> None:
    """Print `ready`, wait for a line, start a run of the workflow for each number, print `done`, and wait for a line.

    Then print, as JSON, the CPU seconds of the starts, and each run's id with the time at which its call began. Before
    `ready`, each thread starts a run of the second workflow to warm up, so that a cold start does not lower the rate.
    """
    workflow, version = _found(workflow_id)
    warm, warm_version = _found(warm_id)
    told: list[tuple[str, float]] = []
    connected, begin = threading.Barrier(threads + 1), threading.Event()

    def caller(share: range) -> None:
        starts.start([requests.Request(input=work.given(0))], version=warm_version, workflow=warm, source="bench")
        connected.wait()
        begin.wait()
        for number in share:
            began = time.time()
            request = requests.Request(input=work.given(number))
            [started] = starts.start([request], version=version, workflow=workflow, source="bench")
            told.append((str(started.run_id), began))
        connection.close()

    callers = [threading.Thread(target=caller, args=(numbers[first::threads],)) for first in range(threads)]
    for thread in callers:
        thread.start()
    connected.wait()
    _say_and_wait("ready")
    before = time.process_time()
    begin.set()
    for thread in callers:
        thread.join()
    spent = time.process_time() - before
    _say_and_wait("done")  # so that this process uses no CPU while its runs are performed
    json.dump({"cpu_seconds": spent, "runs": told}, sys.stdout)


def _found(workflow_id: str) -> tuple[Workflow, Version]:
    workflow = Workflow.objects.select_related("current").get(pk=workflow_id)
    if workflow.current is None:
        raise SystemExit(f"workflow {workflow_id} was never published")
    return workflow, workflow.current


def _say_and_wait(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()
    sys.stdin.readline()


if __name__ == "__main__":
    first, last, count = (int(word) for word in sys.argv[3:6])
    main(workflow_id=sys.argv[1], warm_id=sys.argv[2], numbers=range(first, last), threads=count)
