"""Celery's pool of children, mended where one that ends by itself keeps a message waiting.

When it ends (it was told to make room) its pipe closes a moment before its end can be seen. Celery then looks for it
again only after 5 s, and until then a message that was handed to it lies still (celery 9588).
"""

from __future__ import annotations

from typing import Any

from celery.concurrency.asynpool import AsynPool

_LOOK_SECONDS = 0.5


def mend() -> None:
    """Before the first pool of this process."""
    AsynPool.timers = property(_timers)  # type: ignore[assignment,method-assign]  # it is one; the stubs have a method


def _timers(pool: Any) -> dict[Any, float]:
    return {pool.maintain_pool: _LOOK_SECONDS}
