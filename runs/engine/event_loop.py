"""The event loop of this process, in a thread of its own, on which actions with an `async def perform` are performed.

An attempt keeps its place and its thread of the pool, which waits here for the end: so places, timeouts, stops and
records are the same as for every other action. At the attempt's timeout its task is cancelled.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

from actions.base import Retryable
from runs.engine import thread_pool

# Threads for `asyncio.to_thread`, such as of `context.once`: few, as each may hold a database connection meanwhile.
_HELPERS = 4


class _Process:
    """The loop of this process. A forked child starts without one, because threads do not survive a fork."""

    loop: asyncio.AbstractEventLoop | None = None
    lock = threading.Lock()


def _forget() -> None:
    _Process.loop = None
    _Process.lock = threading.Lock()


os.register_at_fork(after_in_child=_forget)


def current() -> asyncio.AbstractEventLoop:
    """Return the loop of this process; it is begun at the first call."""
    with _Process.lock:
        if _Process.loop is None:
            loop = asyncio.new_event_loop()
            loop.set_default_executor(
                ThreadPoolExecutor(_HELPERS, thread_name_prefix="step-helper", initializer=thread_pool.join_pool)
            )
            threading.Thread(target=loop.run_forever, name="event-loop", daemon=True).start()
            _Process.loop = loop
        return _Process.loop


def perform(coroutine: Coroutine[Any, Any, Any], *, step: str, timeout_seconds: float) -> Any:
    """Perform a coroutine on the loop, and return its result; its exceptions are raised here.

    Raises Retryable of kind `timeout` if it did not end in time, after its task was cancelled; and of kind `error` if
    the task was cancelled by something else. Call it in any thread but the loop's.
    """
    future = asyncio.run_coroutine_threadsafe(_within(coroutine, step, timeout_seconds), current())
    try:
        return future.result()
    except CancelledError:
        raise Retryable(f"the task of step {step!r} was cancelled by its own action") from None


async def _within(coroutine: Coroutine[Any, Any, Any], step: str, seconds: float) -> Any:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await coroutine
    except TimeoutError:
        if not limit.expired():
            raise  # the action's own
        message = f"step {step!r} did not end within its timeout of {seconds:g} s"
        raise Retryable(message, kind="timeout") from None
