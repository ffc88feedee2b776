"""The systems that are measured. Each takes a number of runs and answers seconds, or a latency for each."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.contrib.auth import get_user_model

from benchmarks import work
from benchmarks.baselines import chain
from benchmarks.servers import Worker, until
from project.env import BASE_DIR
from runs import control
from runs.models import Run
from workflows import parse
from workflows.models import Version, Workflow, Workspace
from workflows.publish import publish

NAIVE_SETTINGS = "benchmarks.baselines.naive.settings"
BULK = 1000
CALLERS = (4, 4)
END_SECONDS = 300.0
PREFORK = ("--pool", "prefork", "--concurrency", "2")


def prepare(text: str = work.DEFINITION) -> tuple[Workflow, Version]:
    """Publish a definition, W3 if none is given; the database is migrated."""
    workspace = Workspace.objects.get_or_create(name="default")[0]
    owner = get_user_model().objects.get_or_create(username="bench")[0]
    found = publish(parse.load(text).document, workspace=workspace, owner=owner)
    return found.workflow, found.version


@contextmanager
def stepwise_worker(log: Path) -> Iterator[Worker]:
    """The worker as `make up` starts it."""
    with Worker("project", *PREFORK, log=log) as worker:
        yield worker


@contextmanager
def chain_worker(log: Path) -> Iterator[None]:
    """One prefork worker with two children."""
    with Worker("benchmarks.baselines.chain", *PREFORK, log=log):
        yield


@contextmanager
def chain_solo_workers(log: Path) -> Iterator[None]:
    """Two workers of one process each: the bare chain's best pool on two cores."""
    words = ("--pool", "solo", "-n")
    with (
        Worker("benchmarks.baselines.chain", *words, "one@%h", log=log.with_suffix(".1.log")),
        Worker("benchmarks.baselines.chain", *words, "two@%h", log=log.with_suffix(".2.log")),
    ):
        yield


@contextmanager
def naive_worker(log: Path) -> Iterator[None]:
    """One prefork worker with two children."""
    before = os.environ["DJANGO_SETTINGS_MODULE"]
    os.environ["DJANGO_SETTINGS_MODULE"] = NAIVE_SETTINGS
    try:
        with Worker("benchmarks.baselines.naive.app", *PREFORK, log=log):
            yield
    finally:
        os.environ["DJANGO_SETTINGS_MODULE"] = before


def chain_runs(count: int) -> float:
    """Publish chains one by one and wait for the last end."""
    chain.reset()
    began = time.perf_counter()
    chain.publish(range(count))
    until(lambda: chain.done() >= count, what="the chains", seconds=END_SECONDS)
    return time.perf_counter() - began


def chain_latency(count: int) -> list[float]:
    """Seconds from publish to end, one at a time."""
    chain.reset()
    found = []
    for number in range(count):
        began = time.perf_counter()
        chain.publish(range(number, number + 1))
        while chain.done() <= number:
            time.sleep(0.0002)
        found.append(time.perf_counter() - began)
    return found


def naive_runs(count: int) -> float:
    """The same by ORM rows, driven by a process that has its models."""
    words = [sys.executable, "-W", "ignore", "-m", "benchmarks.baselines.naive", str(count)]
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": NAIVE_SETTINGS}
    answer = subprocess.run(words, cwd=BASE_DIR, env=env, stdout=subprocess.PIPE, check=True)  # noqa: S603
    return float(answer.stdout)


def stepwise_bulk(version: Version, workflow: Workflow) -> Callable[[int], float]:
    """Start many runs in calls of a thousand, and wait for the last end."""

    def runs(count: int) -> float:
        began = time.perf_counter()
        for first in range(0, count, BULK):
            requests = [control.Request(input=work.given(n)) for n in range(first, min(first + BULK, count))]
            control.start(requests, version=version, workflow=workflow, source="bench")
        _wait_for_all(workflow)
        return time.perf_counter() - began

    return runs


def stepwise_singles(workflow: Workflow) -> Callable[[int], float]:
    """Start runs one call each, from 16 callers in 4 processes, and wait for the last end."""

    def runs(count: int) -> float:
        processes, threads = CALLERS
        words = [sys.executable, "-W", "ignore", "-m", "benchmarks.callers"]
        words += [workflow.name, str(count // processes), str(threads)]
        callers = [
            subprocess.Popen(words, cwd=BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
            for _ in range(processes)
        ]
        for one in callers:
            if one.stdout is None or one.stdout.readline() != "ready\n":
                raise SystemExit("a caller did not come up")
        began = time.perf_counter()
        for one in callers:
            _go(one)
        for one in callers:
            one.wait(END_SECONDS)
        _wait_for_all(workflow)
        return time.perf_counter() - began

    return runs


def stepwise_latency(version: Version, workflow: Workflow) -> Callable[[int], list[float]]:
    """Seconds from the call to the recorded end by the database's clock, one at a time, when idle."""

    def latency(count: int) -> list[float]:
        found = []
        for number in range(count):
            began = time.time()
            [started] = control.start(
                [control.Request(input=work.given(number))], version=version, workflow=workflow, source="bench"
            )
            mine = Run.objects.filter(pk=started.run_id, finished_at__isnull=False)
            until(mine.exists, what="the run", seconds=END_SECONDS)
            found.append(max(run.finished_at.timestamp() for run in mine if run.finished_at) - began)
        return found

    return latency


def summed_up(values: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _go(one: subprocess.Popen[str]) -> None:
    if one.stdin is not None:
        one.stdin.write("go\n")
        one.stdin.flush()


def _wait_for_all(workflow: Workflow) -> None:
    left = Run.objects.filter(workflow=workflow, finished_at__isnull=True)
    until(lambda: not left.exists(), what="the runs", seconds=END_SECONDS)
