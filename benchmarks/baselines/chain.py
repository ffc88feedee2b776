"""The bare Celery chain: three tasks, no history, early acks. It is the baseline of all comparisons."""

from __future__ import annotations

import os
import time
from typing import Any

import redis
from celery import Celery, chain
from kombu import pools

from benchmarks import work
from benchmarks.baselines import quiet

DONE = "bench-chain:done"

# Not set as the current app, because in the benchmark's main process that is Stepwise's own.
app = Celery("chain", broker=os.environ["REDIS_URL"], set_as_current=False)
app.conf.update(
    task_ignore_result=True,
    task_default_queue="chain",
    broker_transport_options={"global_keyprefix": "bench-chain:"},
    task_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=4,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)
quiet.workers()
_counter = redis.Redis.from_url(os.environ["REDIS_URL"])


@app.task
def pick(data: dict[str, Any]) -> dict[str, Any]:
    """The first step."""
    return work.pick(data)


@app.task
def compute(data: dict[str, Any]) -> dict[str, Any]:
    """The second step."""
    return work.work(data)


@app.task
def merge(data: dict[str, Any]) -> None:
    """The third step; it records the time of its end by one RPUSH, so that the benchmark can wait for it."""
    work.merge(data)
    _counter.rpush(DONE, time.time())


def publish(numbers: range) -> None:
    """Publish one chain for each number, as an application would."""
    with pools.producers[app.connection_for_write()].acquire(block=True) as producer:
        for number in numbers:
            chain(pick.s(work.given(number)), compute.s(), merge.s()).apply_async(producer=producer)


def reset() -> None:
    """Reset the count of ended chains."""
    _counter.delete(DONE)


def done() -> int:
    """Return how many chains have ended since the reset."""
    return int(_counter.llen(DONE))


def ended() -> list[float]:
    """Return the times at which chains ended, in order, by the machine's clock."""
    return [float(at) for at in _counter.lrange(DONE, 0, -1)]
