"""The bare way: a Celery chain of three tasks, no history, early acks. What every durable engine is compared with."""

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

# Not the current app: in the driver that is Stepwise's own.
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
    """Step one."""
    return work.pick(data)


@app.task
def compute(data: dict[str, Any]) -> dict[str, Any]:
    """Step two."""
    return work.work(data)


@app.task
def merge(data: dict[str, Any]) -> None:
    """Step three; that it ended, and when, is one RPUSH, so that somebody can wait for it."""
    work.merge(data)
    _counter.rpush(DONE, time.time())


def publish(numbers: range) -> None:
    """One chain for each number, as an application would send them."""
    with pools.producers[app.connection_for_write()].acquire(block=True) as producer:
        for number in numbers:
            chain(pick.s(work.given(number)), compute.s(), merge.s()).apply_async(producer=producer)


def reset() -> None:
    """Count from nothing."""
    _counter.delete(DONE)


def done() -> int:
    """How many chains have come to their end since the reset."""
    return int(_counter.llen(DONE))


def ended() -> list[float]:
    """When they came to their end, in this order, by the machine's clock."""
    return [float(at) for at in _counter.lrange(DONE, 0, -1)]
