"""Celery's tasks: thin shells around the executor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from billiard import current_process
from billiard.pool import EX_RECYCLE
from celery import Task, shared_task
from celery.exceptions import Ignore
from celery.signals import task_postrun
from django.db import InterfaceError, OperationalError, connection

from runs.dispatch.compiler import ADVANCE
from runs.engine import thread_pool
from runs.worker import delivery


class _Watched(Task[Any, Any]):
    abstract = True
    Request = "runs.worker.child_watch:WatchedRequest"


@shared_task(
    bind=True,
    base=_Watched,
    name=ADVANCE,
    # Only for the moment before the claim: the database cannot be reached. The ticket is still there.
    autoretry_for=(OperationalError, InterfaceError),
    retry_backoff=1,
    retry_backoff_max=30,
    max_retries=10,
)
def advance(self: Task[Any, Any], runs: list[str], version: str, head: str, fresh: Sequence[Any] = ()) -> list[str]:
    """Take runs through the link at `head`, and hand on to the chain's next link those that it won.

    `fresh` says what a load would find of them (runs.engine.preload.pack).
    """
    connection.close_if_unusable_or_obsolete()
    # For this delivery only: neither a repeated one nor a log line has it.
    request: Any = self.request
    request.kwargs = {name: value for name, value in (request.kwargs or {}).items() if name != "fresh"}
    if (request.delivery_info or {}).get("redelivered"):
        fresh = ()
    # Celery keeps the links still to come in reverse.
    rest: Any = request.chain
    carried = str(rest[-1]["kwargs"]["head"]) if rest else None
    handed_on = delivery.deliver(runs, version_id=UUID(version), head=head, carried=carried, preloaded=fresh)
    if rest and not handed_on:
        # Nobody to hand on to the next link: the chain ends here. Without one there is nothing to end, and Celery
        # would write a traceback all the same.
        raise Ignore
    return handed_on


@task_postrun.connect(sender=advance)
def make_room(**_: Any) -> None:
    """End a worker's child most of whose threads are stuck, now that its message is done; a new one takes its place."""
    if thread_pool.worn_out() and current_process().name != "MainProcess":
        raise SystemExit(EX_RECYCLE)
