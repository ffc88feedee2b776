"""The bare Celery way to send three requests in turn: a chain of three tasks over one kept client. No history."""

from __future__ import annotations

import time

from celery import chain
from kombu import pools

from benchmarks.baselines import client, request
from benchmarks.baselines.request import app

ENDED = "bench-request:ended"
LINKS = 3


@app.task
def hop(url: str) -> None:
    """Send one request."""
    client.get(url)


@app.task
def end(url: str) -> None:
    """Send the last request, and record the time at which the chain ended."""
    client.get(url)
    request.counter.rpush(ENDED, time.time())


def publish(count: int, url: str) -> None:
    """Publish chains one by one."""
    with pools.producers[app.connection_for_write()].acquire(block=True) as producer:
        for _ in range(count):
            chain(*[hop.si(url) for _ in range(LINKS - 1)], end.si(url)).apply_async(producer=producer)


def reset() -> None:
    """Forget the chains that have ended."""
    request.counter.delete(ENDED)


def done() -> int:
    """Return how many chains have ended since the reset."""
    return int(request.counter.llen(ENDED))


def ended() -> list[float]:
    """Return when they ended, in seconds since 1970, in their order."""
    return [float(one) for one in request.counter.lrange(ENDED, 0, -1)]
