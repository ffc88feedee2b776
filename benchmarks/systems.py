"""The measured systems: functions that perform a number of runs and return the seconds, or the latency of each run."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth import get_user_model

from benchmarks import work
from benchmarks.accounts import Stopwatch
from benchmarks.baselines import chain
from benchmarks.servers import Worker, until
from project.env import BASE_DIR
from runs.control import starts
from runs.domain.requests import Request
from runs.models import Run
from runs.queries.database import Statement, run
from runs.queries.lanes import free
from workflows.formats import parse
from workflows.models import Version, Workflow, Workspace
from workflows.publishing.publish import publish

NAIVE_SETTINGS = "benchmarks.baselines.naive.settings"
BULK = 1000
CHILDREN = 2
END_SECONDS = 300.0
# When a latency is measured, the first check whether the run has ended comes after this time: checking would take CPU
# time from the run.
UNSEEN_SECONDS = 0.01
PREFORK = ("--pool", "prefork", "--concurrency", str(CHILDREN))
# Whether any run is left. It reads the indexes of queued and of live runs, newest first. A query by finished_at would
# read all runs ever done; oldest first, it would read the dead entries of all runs that ended since the last vacuum.
LEFT = Statement(
    "bench_left",
    f"""
    SELECT coalesce(
        (SELECT true FROM runs_run r WHERE {free("r")} ORDER BY workspace_id DESC LIMIT 1),
        (SELECT true FROM runs_run WHERE workspace_id = %(workspace)s AND state = 'running' ORDER BY id DESC LIMIT 1),
        EXISTS (SELECT 1 FROM runs_run WHERE workspace_id = %(workspace)s AND state IN ('waiting', 'compensating')),
        false)
    """,  # noqa: S608 - constant text only
)


def prepare(text: str = work.DEFINITION) -> tuple[Workflow, Version]:
    """Publish a definition, by default W3, in a migrated database."""
    workspace = Workspace.objects.get_or_create(name="default")[0]
    owner = get_user_model().objects.get_or_create(username="bench")[0]
    found = publish(parse.load(text).document, workspace=workspace, owner=owner)
    return found.workflow, found.version


class Took(NamedTuple):
    """Wall seconds until the last run ended, and the callers' CPU seconds until the last run was started."""

    seconds: float
    callers_cpu: float


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set environment variables for the processes that are started in the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def stepwise_worker(log: Path, *, children: int = CHILDREN) -> Iterator[Worker]:
    """Start Stepwise's worker as `make up` does."""
    before = settings.DISPATCH_WINDOW_MESSAGES
    # The dispatch window depends on the number of children. It is set for every process that dispatches, this one too.
    with environment(WORKERS=str(children)):
        settings.DISPATCH_WINDOW_MESSAGES = before * children // CHILDREN
        try:
            with Worker("project", *prefork(children), log=log) as worker:
                yield worker
        finally:
            settings.DISPATCH_WINDOW_MESSAGES = before


@contextmanager
def chain_worker(log: Path) -> Iterator[Worker]:
    """Start one prefork worker with two children for the bare chain."""
    with Worker("benchmarks.baselines.chain", *PREFORK, log=log) as worker:
        yield worker


@contextmanager
def chain_solo_workers(log: Path) -> Iterator[tuple[Worker, ...]]:
    """Start two solo workers, of one process each: the fastest pool for the bare chain on two cores."""
    words = ("--pool", "solo", "-n")
    with (
        Worker("benchmarks.baselines.chain", *words, "one@%h", log=log.with_suffix(".1.log")) as one,
        Worker("benchmarks.baselines.chain", *words, "two@%h", log=log.with_suffix(".2.log")) as two,
    ):
        yield one, two


@contextmanager
def naive_worker(log: Path, *, app: str = "benchmarks.baselines.naive.app") -> Iterator[Worker]:
    """Start one prefork worker with two children for the naive app."""
    with (
        environment(DJANGO_SETTINGS_MODULE=NAIVE_SETTINGS),
        Worker(app, *PREFORK, log=log) as worker,
    ):
        yield worker


def chain_runs(count: int) -> Took:
    """Publish chains one by one, and wait until the last has ended."""
    chain.reset()
    watch = Stopwatch()
    chain.publish(range(count))
    spent = watch.cpu_seconds()
    until(lambda: chain.done() >= count, what="the chains", seconds=END_SECONDS)
    return Took(watch.seconds(), spent)


def chain_latency(count: int) -> list[float]:
    """Return the seconds from publishing a chain to the end that its last task records, one chain at a time."""
    chain.reset()
    began = []
    for number in range(count):
        began.append(time.time())
        chain.publish(range(number, number + 1))
        time.sleep(UNSEEN_SECONDS)
        until(lambda number=number: chain.done() > number, what="the chain", seconds=END_SECONDS)  # type: ignore[misc]
    return [end - begin for begin, end in zip(began, chain.ended(), strict=True)]


def naive_runs(count: int) -> Took:
    """Perform runs of the naive app, driven by a process of its own, which has the app's models."""
    words = [sys.executable, "-W", "ignore", "-m", "benchmarks.baselines.naive", str(count)]
    with environment(DJANGO_SETTINGS_MODULE=NAIVE_SETTINGS):
        answer = subprocess.run(words, cwd=BASE_DIR, stdout=subprocess.PIPE, check=True)  # noqa: S603
    seconds, spent = answer.stdout.split()
    return Took(float(seconds), float(spent))


def stepwise_bulk(version: Version, workflow: Workflow) -> Callable[[int], Took]:
    """Return a function that starts runs in calls of a thousand, and waits until the last has ended."""

    def runs(count: int) -> Took:
        watch = Stopwatch()
        for first in range(0, count, BULK):
            requests = [Request(input=work.given(n)) for n in range(first, min(first + BULK, count))]
            starts.start(requests, version=version, workflow=workflow, source="bench")
        spent = watch.cpu_seconds()
        wait_for_all(workflow)
        return Took(watch.seconds(), spent)

    return runs


def stepwise_singles(workflow: Workflow, *, processes: int = 4, threads: int = 4) -> Callable[[int], Took]:
    """Return a function that starts runs with one call each, from `threads` threads in each of `processes` processes.

    It waits until the last run has ended.
    """

    def runs(count: int) -> Took:
        return called(workflow, count, processes=processes, threads=threads)[0]

    return runs


def called(workflow: Workflow, count: int, *, processes: int, threads: int) -> tuple[Took, list[tuple[str, float]]]:
    """As stepwise_singles; also return each run's id with the time at which its call began, by the machine's clock."""
    warm, _ = prepare(work.DEFINITION.replace("name: w3", "name: warm"))
    words = [sys.executable, "-W", "ignore", "-m", "benchmarks.callers", str(workflow.pk), str(warm.pk)]
    shares = [str(count * share // processes) for share in range(processes + 1)]
    callers = [
        subprocess.Popen(  # noqa: S603
            [*words, first, last, str(threads)],
            cwd=BASE_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first, last in pairwise(shares)
    ]
    _hear(callers, "ready")
    wait_for_all(workflow)
    watch = Stopwatch()
    _go(callers)
    _hear(callers, "done")
    wait_for_all(workflow)
    seconds = watch.seconds()
    _go(callers)
    told = [json.loads(one.communicate(timeout=END_SECONDS)[0]) for one in callers]
    return Took(seconds, sum(one["cpu_seconds"] for one in told)), [tuple(run) for one in told for run in one["runs"]]


def stepwise_latency(version: Version, workflow: Workflow) -> Callable[[int], list[float]]:
    """Return a function that measures the seconds from each call to the run's recorded end (by the database's clock).

    It starts one run at a time, on an idle system.
    """

    def latency(count: int) -> list[float]:
        found = []
        for number in range(count):
            began = time.time()
            [started] = starts.start(
                [Request(input=work.given(number))], version=version, workflow=workflow, source="bench"
            )
            time.sleep(UNSEEN_SECONDS)
            mine = Run.objects.filter(pk=started.run_id, finished_at__isnull=False)
            until(mine.exists, what="the run", seconds=END_SECONDS)
            found.append(max(run.finished_at.timestamp() for run in mine if run.finished_at) - began)
        return found

    return latency


def summed_up(values: list[float]) -> dict[str, float]:
    """Return median, smallest and largest value."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def main_processes(started: Worker | tuple[Worker, ...]) -> list[int]:
    """Return the pids of the main processes of the workers that one of the contexts above yields."""
    return [one.process.pid for one in (started if isinstance(started, tuple) else (started,))]


def prefork(children: int) -> tuple[str, ...]:
    """Return a worker's options for a prefork pool."""
    return ("--pool", "prefork", "--concurrency", str(children))


def wait_for_all(workflow: Workflow) -> None:
    """Wait until no run of the workspace is live or queued."""
    until(lambda: not run(LEFT, workspace=workflow.workspace_id)[0][0], what="the runs", seconds=END_SECONDS)


def _hear(callers: Sequence[subprocess.Popen[str]], word: str) -> None:
    for one in callers:
        if one.stdout is None or one.stdout.readline() != f"{word}\n":
            raise SystemExit(f"a caller ended before it was {word}")


def _go(callers: Sequence[subprocess.Popen[str]]) -> None:
    for one in callers:
        if one.stdin is not None:
            one.stdin.write("go\n")
            one.stdin.flush()
