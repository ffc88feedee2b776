"""A Celery chain of three tasks; each saves its row when it begins and when it ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from celery import Celery, chain
from django.utils import timezone

from benchmarks import work

app = Celery("naive", broker=os.environ["REDIS_URL"])
app.conf.update(
    task_ignore_result=True,
    task_default_queue="naive",
    broker_transport_options={"global_keyprefix": "bench-naive:"},
    task_serializer="json",
    accept_content=["json"],
    broker_connection_retry_on_startup=True,
    # Keep the database connection: Celery's default closes it around every task, which would halve the rate.
    CELERY_DB_REUSE_MAX=10**12,
    worker_hijack_root_logger=False,
)


def _step(run: int, name: str, data: dict[str, Any], do: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    from benchmarks.baselines.naive.models import NaiveStep

    row = NaiveStep.objects.create(run_id=run, step=name, input=data)
    row.output = do(data)
    row.state = "succeeded"
    row.finished_at = timezone.now()
    row.save()
    answer: dict[str, Any] = row.output
    return answer


@app.task
def pick(data: dict[str, Any], run: int) -> dict[str, Any]:
    """The first step."""
    return _step(run, "pick", data, work.pick)


@app.task
def compute(data: dict[str, Any], run: int) -> dict[str, Any]:
    """The second step."""
    return _step(run, "work", data, work.work)


@app.task
def merge(data: dict[str, Any], run: int) -> None:
    """The third step, which also ends the run."""
    from benchmarks.baselines.naive.models import NaiveRun

    output = _step(run, "merge", data, work.merge)
    NaiveRun.objects.filter(pk=run).update(state="succeeded", output=output, finished_at=timezone.now())


def publish(numbers: range) -> None:
    """Create a run and publish its chain for each number."""
    from benchmarks.baselines.naive.models import NaiveRun

    for number in numbers:
        run = NaiveRun.objects.create(input=work.given(number))
        chain(pick.s(run.input, run.pk), compute.s(run.pk), merge.s(run.pk)).apply_async()
