"""Callers that start runs one at a time: so many threads in this process, each its share. Waits for a line to begin."""

from __future__ import annotations

import sys
import threading

import django

django.setup()

from django.db import connection  # noqa: E402

from benchmarks import work  # noqa: E402
from runs import control  # noqa: E402
from workflows.models import Workflow  # noqa: E402


def main(*, name: str, count: int, threads: int) -> None:
    """Prints `ready`, waits for a line, starts `count` runs of the workflow, and prints `done`."""
    workflow = Workflow.objects.select_related("current").get(name=name)
    version = workflow.current
    if version is None:
        raise SystemExit(f"workflow {name!r} was never published")

    def caller(share: int) -> None:
        for number in range(share):
            request = control.Request(input=work.given(number))
            control.start([request], version=version, workflow=workflow, source="bench")
        connection.close()

    callers = [threading.Thread(target=caller, args=(count // threads,)) for _ in range(threads)]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main(name=sys.argv[1], count=int(sys.argv[2]), threads=int(sys.argv[3]))
