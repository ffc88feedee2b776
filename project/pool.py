"""Celery's pool of children, mended where it keeps a message waiting.

When a child ends by itself (it was told to make room) its pipe closes a moment before its end can be seen. Celery then
looks for it again only after 5 s, and until then a message that was handed to it lies still (celery 9588).

And a message for a child that has nothing to do is written to it at once, instead of in the event loop's next round,
which first asks the broker for more.
"""

from __future__ import annotations

from typing import Any

from celery.concurrency.asynpool import AsynPool

_LOOK_SECONDS = 0.5


def mend() -> None:
    """Before the first pool of this process."""
    AsynPool.timers = property(_timers)  # type: ignore[assignment,method-assign]  # it is one; the stubs have a method
    pool: Any = AsynPool
    pool._create_write_handlers = _prompt(pool._create_write_handlers)


def _timers(pool: Any) -> dict[Any, float]:
    return {pool.maintain_pool: _LOOK_SECONDS}


def _prompt(create: Any) -> Any:
    def create_write_handlers(pool: Any, hub: Any, *args: Any, **kwargs: Any) -> None:
        create(pool, hub, *args, **kwargs)
        put, write = pool._quick_put, hub.consolidate_callback

        def put_at_once(job: tuple[Any, ...]) -> None:
            put(job)
            idle = pool._all_inqueues - pool._busy_workers - pool._active_writes
            if idle:
                write([idle.pop()])

        pool._quick_put = put_at_once

    return create_write_handlers
