"""The window: the number of knocks that may be in the broker at once, and how much room is left in it."""

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

# After a failure this process does not ask the broker for this time, and leaves what it starts meanwhile to the sweep.
# A broker that hangs costs each command its whole timeout; this way many starts wait for one timeout, not for one each.
_PAUSE_SECONDS = 1.0
_pause = SimpleNamespace(until=0.0)
# How long a known room may be used to decide whether a run begins with its start. Longer (0.5 s) if the window was
# open, so that a start on a quiet system need not ask the broker.
_FRESH_SECONDS = 0.02
_FREE_SECONDS = 0.5
# Messages that were in the broker this short a time ago are not all delivered and done: some child has two of them.
_MOMENT_SECONDS = 0.002
_last = SimpleNamespace(room=0, size=0, asked=0.0, until=0.0)
# Guards the one connection that all threads share.
_line = SimpleNamespace(lock=threading.Lock())


def forget() -> None:
    """Forget the connection and the known room, because another broker is used from now on."""
    _client.cache_clear()
    _queue.cache_clear()
    _last.until = _pause.until = 0.0


def open_from() -> int:
    """Return the room, in messages, from which on the window is open: a start then sends a message itself.

    With less room, deliveries are still to come, and each of them dispatches what was started meanwhile, in fewer and
    larger messages.
    """
    return max(1, 3 * settings.DISPATCH_WINDOW_MESSAGES // 4)


def reserve(messages: int) -> bool:
    """Whether a start may send this many messages, as far as this process knows; if so, they count as sent."""
    now, wanted = time.monotonic(), max(messages, open_from())
    # The known room may be used up by this process's own reservations, while the broker has room again.
    if now >= _last.until or (_last.room < wanted and now >= _last.asked + _FRESH_SECONDS):
        room()
    if min(_last.room, settings.DISPATCH_WINDOW_MESSAGES) < wanted:
        return False
    _last.room -= messages
    return True


def crowded() -> bool:
    """Whether less than `open_from` was free a moment ago (_MOMENT_SECONDS), so that a start need not ask."""
    known = _last.size == settings.DISPATCH_WINDOW_MESSAGES and time.monotonic() < _last.asked + _MOMENT_SECONDS
    return bool(known and _last.room < open_from())


def room() -> int:
    """Return how many messages may be sent now: 0 if the window is full or the broker does not respond."""
    found, now = _room(), time.monotonic()
    _last.room, _last.size, _last.asked = found, settings.DISPATCH_WINDOW_MESSAGES, now
    _last.until = now + (_FREE_SECONDS if found >= open_from() else _FRESH_SECONDS)
    return found


def anything_waits() -> bool:
    """Whether messages wait in the broker for a worker, or the broker does not respond."""
    return room() < settings.DISPATCH_WINDOW_MESSAGES


def push(messages: Sequence[str], *, first: bool = False) -> None:
    """Put messages in Celery's format into its queue: all or none, by one command. Raises redis.RedisError.

    With `first` they come before those that are in it: workers take from its right end.
    """
    if not messages:
        return
    try:
        _asked(lambda client: (client.rpush if first else client.lpush)(_queue(), *messages))
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
    """Execute a command, one thread at a time: if the broker hangs, one thread waits and the next ones fail at once."""
    with _line.lock:
        if time.monotonic() < _pause.until:
            raise redis.ConnectionError("the broker did not answer a moment ago; the sweep sends what is left")
        try:
            return command(_client())
        except redis.RedisError:
            _pause.until = time.monotonic() + _PAUSE_SECONDS
            # A server that was demoted keeps its connections open, and refuses every message that comes over them. The
            # next command connects anew, to the server to which the name leads by then.
            _client().connection_pool.disconnect()
            raise


@lru_cache(maxsize=1)
def _queue() -> str:
    """Return the name of the list in which Celery keeps the knocks."""
    return f"{current_app.conf.broker_transport_options['global_keyprefix']}{current_app.conf.task_default_queue}"


@lru_cache(maxsize=1)
def _client() -> redis.Redis:
    # Short timeouts: a caller never waits long for a broker that does not respond. A single connection, because a pool
    # would double the cost of a command. The retry opens it again if it was closed while idle.
    return redis.Redis.from_url(
        settings.REDIS_URL,
        single_connection_client=True,
        socket_timeout=1.0,
        socket_connect_timeout=1.0,
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )


def _after_fork() -> None:
    """Give a forked child a connection and a lock of its own: the lock may be held by a thread of the parent."""
    _client.cache_clear()
    _line.lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
