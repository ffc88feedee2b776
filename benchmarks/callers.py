"""Callers that start runs one at a time: so many threads in this process, each its share. Waits for a line to begin."""

from __future__ import annotations

import json
import sys
import threading
import time

import django

django.setup()

from django.db import connection  # noqa: E402

from benchmarks import work  # noqa: E402
from runs import control  # noqa: E402
from workflows.models import Workflow  # noqa: E402


def main(*, workflow_id: str, numbers: range, threads: int) -> None:
    """Prints `ready`, waits for a line, starts a run of the workflow for each number, prints `done`, and waits again.

    Then it tells in JSON the processor seconds that it took, and of each run its id and when its call began.
    """
    workflow = Workflow.objects.select_related("current").get(pk=workflow_id)
    version = workflow.current
    if version is None:
        raise SystemExit(f"workflow {workflow_id} was never published")
    told: list[tuple[str, float]] = []
    connected, begin = threading.Barrier(threads + 1), threading.Event()

    def caller(share: range) -> None:
        connection.ensure_connection()
        connected.wait()
        begin.wait()
        for number in share:
            began = time.time()
            request = control.Request(input=work.given(number))
            [started] = control.start([request], version=version, workflow=workflow, source="bench")
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
    _say_and_wait("done")  # nothing of this process is to run beside what it has started
    json.dump({"cpu_seconds": spent, "runs": told}, sys.stdout)


def _say_and_wait(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()
    sys.stdin.readline()


if __name__ == "__main__":
    main(workflow_id=sys.argv[1], numbers=range(int(sys.argv[2]), int(sys.argv[3])), threads=int(sys.argv[4]))
