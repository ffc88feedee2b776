"""The Celery tasks: thin functions around runs.worker.delivery."""

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
    # Only for a database that cannot be reached before the claim: the ticket is still there then.
    autoretry_for=(OperationalError, InterfaceError),
    retry_backoff=1,
    retry_backoff_max=30,
    max_retries=10,
)
def advance(self: Task[Any, Any], runs: list[str], version: str, head: str, fresh: Sequence[Any] = ()) -> list[str]:
    """Advance runs through the link at `head`, and return those that were won, for the chain's next task.

    `runs` may name candidates at other heads too (runs.dispatch.compiler.encode). `fresh` is the preloaded data of new
    runs (runs.engine.preload.pack). Its name is part of the message format.
    """
    connection.close_if_unusable_or_obsolete()
    # Removed from the request, because it holds for this delivery only; so neither a retry nor a log line has it.
    request: Any = self.request
    request.kwargs = {name: value for name, value in (request.kwargs or {}).items() if name != "fresh"}
    if (request.delivery_info or {}).get("redelivered"):
        fresh = ()
    # Celery keeps the chain's remaining tasks in reverse order.
    rest: Any = request.chain
    carried = str(rest[-1]["kwargs"]["head"]) if rest else None
    handed_on = delivery.deliver(runs, version_id=UUID(version), head=head, carried=carried, preloaded=fresh)
    if rest and not handed_on:
        # No run is left for the next task, so the chain ends here. Not without a next task: there is nothing to end
        # then, and Celery would log a traceback for nothing.
        raise Ignore
    return handed_on


@task_postrun.connect(sender=advance)
def make_room(**_: Any) -> None:
    """End a worker's child, after its message, if most of its threads are stuck; the pool starts a new child."""
    if thread_pool.worn_out() and current_process().name != "MainProcess":
        raise SystemExit(EX_RECYCLE)
