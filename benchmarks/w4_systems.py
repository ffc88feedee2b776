"""The systems that perform W4, a run of three HTTP requests in turn: bare chains, the naive app, and Stepwise."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import systems
from benchmarks.accounts import Stopwatch
from benchmarks.baselines import requests_chain
from benchmarks.servers import Worker, until
from benchmarks.systems import PREFORK, Took
from project.env import BASE_DIR
from runs.control import starts
from runs.domain.requests import Request
from runs.models import Run
from workflows.models import Version, Workflow

STEPS = 3
NAME = "w4"
DEFINITION = f"""
name: {NAME}
steps:
  - {{id: first, action: http_request, with: {{url: "{{{{ input.url }}}}"}}}}
  - {{id: second, action: http_request, with: {{url: "{{{{ input.url }}}}"}}}}
  - {{id: third, action: http_request, with: {{url: "{{{{ input.url }}}}"}}}}
"""
OURS = "stepwise"
# The pools whose best one is what Stepwise is compared with.
BARE_POOLS = ("chain_prefork_2", "chain_threads_32")
# A system that cannot perform all runs within this time is given fewer; its rate does not depend on their number.
LONGEST_SECONDS = 15.0


class System(NamedTuple):
    """One way: how its worker is started, what performs runs together, and what measures them one after the other."""

    name: str
    worker: Callable[[Path], AbstractContextManager[Any]]
    many: Callable[[int], Took]
    alone: Callable[[int], list[float]]
    # How many requests it can have under way at the same time.
    width: int

    def runs(self, most: int, *, delay: float) -> int:
        """Return how many runs to measure, `most` unless the answers' delay makes that too long."""
        possible = LONGEST_SECONDS * self.width / (STEPS * delay) if delay else most
        return min(most, int(possible))


def all_of(url: str, *, delay: float, only: tuple[str, ...] = ()) -> list[System]:
    """Return the systems in the order in which they are measured; gevent's pool only if that is installed."""
    unseen = systems.UNSEEN_SECONDS + STEPS * delay
    workflow, version = systems.prepare(DEFINITION)
    chains = (_chains(url), _chains_alone(url, unseen))
    ours = (_runs(version, workflow, url), _runs_alone(version, workflow, url, unseen))
    threads, gevent = (("--pool", pool, "--concurrency", size) for pool, size in (("threads", "32"), ("gevent", "100")))
    found = [
        System("chain_prefork_2", _chain_worker(*PREFORK), *chains, width=2),
        System("chain_threads_32", _chain_worker(*threads), *chains, width=32),
        System("chain_gevent_100", _chain_worker(*gevent), *chains, width=100),
        System("naive_orm", _naive_worker, _naive(url), _naive_alone(url, unseen), width=2),
        System(OURS, systems.stepwise_worker, *ours, width=100),
    ]
    absent = set() if importlib.util.find_spec("gevent") else {"chain_gevent_100"}
    return [one for one in found if one.name not in absent and (not only or one.name in only)]


def _chain_worker(*options: str) -> Callable[[Path], AbstractContextManager[Any]]:
    return lambda log: Worker("benchmarks.baselines.requests_chain", *options, log=log)


def _naive_worker(log: Path) -> AbstractContextManager[Any]:
    return systems.naive_worker(log, app="benchmarks.baselines.naive.requests")


def _chains(url: str) -> Callable[[int], Took]:
    def many(count: int) -> Took:
        requests_chain.reset()
        watch = Stopwatch()
        requests_chain.publish(count, url)
        spent = watch.cpu_seconds()
        until(lambda: requests_chain.done() >= count, what="the chains", seconds=systems.END_SECONDS)
        return Took(watch.seconds(), spent)

    return many


def _chains_alone(url: str, unseen: float) -> Callable[[int], list[float]]:
    def alone(count: int) -> list[float]:
        requests_chain.reset()
        began = []
        for number in range(1, count + 1):
            began.append(time.time())
            requests_chain.publish(1, url)
            time.sleep(unseen)
            until(lambda n=number: requests_chain.done() >= n, what="the chain", seconds=systems.END_SECONDS)  # type: ignore[misc]
        return [end - begin for begin, end in zip(began, requests_chain.ended(), strict=True)]

    return alone


def _naive(url: str) -> Callable[[int], Took]:
    return lambda count: Took(**_naive_runs("many", str(count), url))


def _naive_alone(url: str, unseen: float) -> Callable[[int], list[float]]:
    def alone(count: int) -> list[float]:
        found: list[float] = _naive_runs("alone", str(count), url, str(unseen))
        return found

    return alone


def _naive_runs(*words: str) -> Any:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.baselines.naive.request_runs", *words]
    with systems.environment(DJANGO_SETTINGS_MODULE=systems.NAIVE_SETTINGS):
        done = subprocess.run(command, cwd=BASE_DIR, stdout=subprocess.PIPE, check=True)  # noqa: S603 - our own words
    return json.loads(done.stdout)


def _runs(version: Version, workflow: Workflow, url: str) -> Callable[[int], Took]:
    def many(count: int) -> Took:
        watch = Stopwatch()
        for first in range(0, count, systems.BULK):
            requests = [Request(input={"url": url}) for _ in range(min(systems.BULK, count - first))]
            starts.start(requests, version=version, workflow=workflow, source="bench")
        spent = watch.cpu_seconds()
        systems.wait_for_all(workflow)
        return Took(watch.seconds(), spent)

    return many


def _runs_alone(version: Version, workflow: Workflow, url: str, unseen: float) -> Callable[[int], list[float]]:
    def alone(count: int) -> list[float]:
        found = []
        for _ in range(count):
            began = time.time()
            [one] = starts.start([Request(input={"url": url})], version=version, workflow=workflow, source="bench")
            time.sleep(unseen)
            mine = Run.objects.filter(pk=one.run_id, finished_at__isnull=False)
            until(mine.exists, what="the run", seconds=systems.END_SECONDS)
            found.append(max(run.finished_at.timestamp() for run in mine if run.finished_at) - began)
        return found

    return alone
