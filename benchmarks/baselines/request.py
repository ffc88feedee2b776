"""The bare Celery way to send a request: one task, one request over a client that its process keeps. No history."""

from __future__ import annotations

import os
from functools import lru_cache

import httpx2
import redis
from celery import Celery
from kombu import pools

from benchmarks.baselines import quiet

DONE = "bench-request:done"
# As many connections as the largest pool that is measured has threads or greenlets.
_CONNECTIONS = 100

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


@lru_cache(maxsize=1)
def _client() -> httpx2.Client:
    limits = httpx2.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
    return httpx2.Client(limits=limits, trust_env=False)


def send(url: str) -> None:
    """Send one request over the client of this process."""
    _client().get(url).raise_for_status().json()


@app.task
def ask(url: str) -> None:
    """Send one request; its end is recorded by one INCR, so that the benchmark can wait for it."""
    send(url)
    counter.incr(DONE)


def publish(count: int, url: str) -> None:
    """Publish one task per request."""
    with pools.producers[app.connection_for_write()].acquire(block=True) as producer:
        for _ in range(count):
            ask.apply_async((url,), producer=producer)


def reset() -> None:
    """Reset the count of ended requests."""
    counter.delete(DONE)


def done() -> int:
    """Return how many requests have ended since the reset."""
    return int(counter.get(DONE) or 0)
