"""The naive way to send three requests in turn: a Celery chain of three tasks, each of which saves its row twice.

A task saves its row before the request and after it, with the response.
"""

from __future__ import annotations

from celery import chain
from django.utils import timezone
from kombu import pools

from benchmarks.baselines import client
from benchmarks.baselines.naive.app import app

STEPS = ("first", "second", "third")


@app.task
def hop(run: int, step: str, url: str) -> None:
    """Send one request as a step."""
    _step(run, step, url)


@app.task
def end(run: int, step: str, url: str) -> None:
    """Send the last request, and end the run."""
    from benchmarks.baselines.naive.models import NaiveRun

    output = _step(run, step, url)
    NaiveRun.objects.filter(pk=run).update(state="succeeded", output=output, finished_at=timezone.now())


def publish(count: int, url: str) -> None:
    """Create a run and publish its chain, one by one."""
    from benchmarks.baselines.naive.models import NaiveRun

    *hops, last = STEPS
    with pools.producers[app.connection_for_write()].acquire(block=True) as producer:
        for _ in range(count):
            run = NaiveRun.objects.create(input={"url": url})
            tasks = [hop.si(run.pk, step, url) for step in hops]
            chain(*tasks, end.si(run.pk, last, url)).apply_async(producer=producer)


def _step(run: int, step: str, url: str) -> object:
    from benchmarks.baselines.naive.models import NaiveStep

    row = NaiveStep.objects.create(run_id=run, step=step, input={"url": url})
    row.output = client.get(url)
    row.state = "succeeded"
    row.finished_at = timezone.now()
    row.save()
    return row.output
