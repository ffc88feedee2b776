"""The short window of knocks that the broker holds: how much room it has."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import redis
from celery import current_app
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

# A broker that hangs costs each question its whole time limit: after one failure this process asks no more for so
# long, and what it starts meanwhile is left to the sweep. A flood of starts then waits once, not each time.
_PAUSE_SECONDS = 1.0
_pause = SimpleNamespace(until=0.0)
# For so long an answer is good enough to decide whether a run begins with its start; longer where the window was open:
# a start on a quiet system then does not ask at all.
_FRESH_SECONDS = 0.02
_FREE_SECONDS = 0.5
# Deliveries that lay in the broker so short a time ago are not all over: some child has two of them to do.
_MOMENT_SECONDS = 0.002
_last = SimpleNamespace(room=0, size=0, asked=0.0, until=0.0)
# Of the one connection that all threads share.
_line = SimpleNamespace(lock=threading.Lock())


def forget() -> None:
    """Ask anew, and over a new connection: the broker is another one."""
    _client.cache_clear()
    _queue.cache_clear()
    _last.until = _pause.until = 0.0


def open_from() -> int:
    """With so much room or more a start sends by itself.

    With less some deliveries are still to come, which take what has been started meanwhile in fewer and larger ones.
    """
    return max(1, 3 * settings.DISPATCH_WINDOW_MESSAGES // 4)


def reserve(messages: int) -> bool:
    """Whether a start may send so many messages, as far as this process knows, which then counts them as sent."""
    now, wanted = time.monotonic(), max(messages, open_from())
    # What was free may have been used up by this process alone, and be free again.
    if now >= _last.until or (_last.room < wanted and now >= _last.asked + _FRESH_SECONDS):
        room()
    if min(_last.room, settings.DISPATCH_WINDOW_MESSAGES) < wanted:
        return False
    _last.room -= messages
    return True


def crowded() -> bool:
    """Whether a moment ago less than `open_from` was free, so that a start need not even ask."""
    known = _last.size == settings.DISPATCH_WINDOW_MESSAGES and time.monotonic() < _last.asked + _MOMENT_SECONDS
    return bool(known and _last.room < open_from())


def room() -> int:
    """Messages that may be sent now. 0 when the window is full or the broker does not answer."""
    found, now = _room(), time.monotonic()
    _last.room, _last.size, _last.asked = found, settings.DISPATCH_WINDOW_MESSAGES, now
    _last.until = now + (_FREE_SECONDS if found >= open_from() else _FRESH_SECONDS)
    return found


def push(messages: Sequence[str]) -> None:
    """Put messages, as Celery writes them, into its queue: one command for all, or none. Raises redis.RedisError."""
    if not messages:
        return
    try:
        _asked(lambda client: client.lpush(_queue(), *messages))
    except redis.RedisError:
        _last.room = 0
        raise


def _room() -> int:
    if time.monotonic() < _pause.until:
        return 0
    try:
        length: int = _asked(lambda client: client.llen(_queue()))
    except redis.RedisError as error:
        log.warning("broker_away", extra={"error": str(error)})
        return 0
    return max(0, settings.DISPATCH_WINDOW_MESSAGES - length)


def _asked(command: Callable[[redis.Redis], Any]) -> Any:
    """One at a time: where the broker hangs, one thread waits for it and those behind it do not any more."""
    with _line.lock:
        if time.monotonic() < _pause.until:
            raise redis.ConnectionError("the broker did not answer a moment ago; the sweep sends what is left")
        try:
            return command(_client())
        except redis.RedisError:
            _pause.until = time.monotonic() + _PAUSE_SECONDS
            raise


@lru_cache(maxsize=1)
def _queue() -> str:
    """The list in which Celery keeps the knocks."""
    return f"{current_app.conf.broker_transport_options['global_keyprefix']}{current_app.conf.task_default_queue}"


@lru_cache(maxsize=1)
def _client() -> redis.Redis:
    # Short timeouts: a door never waits long for a broker that does not answer. One connection, for to take one from a
    # pool and give it back costs as much again as to use it; one that was closed while idle is opened anew.
    return redis.Redis.from_url(
        settings.REDIS_URL,
        single_connection_client=True,
        socket_timeout=1.0,
        socket_connect_timeout=1.0,
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )


def _after_fork() -> None:
    """A child of this process must not write into its connection, nor wait for a thread that it does not have."""
    _client.cache_clear()
    _line.lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
