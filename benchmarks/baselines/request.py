"""The bare Celery way to send a request: one task, one request over a client that its thread keeps. No history.

The client is libcurl, as in `http_request`, used as cheaply as it can be: no guard, no limits, no headers read.
"""

from __future__ import annotations

import os

import redis
from celery import Celery, group
from kombu import pools

from benchmarks.baselines import client, quiet

DONE = "bench-request:done"

# Not set as the current app, because in the benchmark's main process that is Stepwise's own.
app = Celery("request", broker=os.environ["REDIS_URL"], set_as_current=False)
app.conf.update(
    task_ignore_result=True,
    task_default_queue="request",
    broker_transport_options={"global_keyprefix": "bench-request:"},
    task_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=4,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)
quiet.workers()
counter = redis.Redis.from_url(os.environ["REDIS_URL"])


@app.task
def ask(url: str) -> None:
    """Send one request; its end is recorded by one INCR, so that the benchmark can wait for it."""
    client.get(url)
    counter.incr(DONE)


def publish(count: int, url: str) -> None:
    """Publish one task per request."""
    with pools.producers[app.connection_for_write()].acquire(block=True) as producer:
        for _ in range(count):
            ask.apply_async((url,), producer=producer)


def publish_group(count: int, url: str) -> None:
    """Publish one group, with one task per request."""
    with pools.producers[app.connection_for_write()].acquire(block=True) as producer:
        group(ask.si(url) for _ in range(count)).apply_async(producer=producer)


def reset() -> None:
    """Reset the count of ended requests."""
    counter.delete(DONE)


def done() -> int:
    """Return how many requests have ended since the reset."""
    return int(counter.get(DONE) or 0)
