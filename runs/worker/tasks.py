"""The Celery tasks: thin functions around runs.worker.delivery."""

from __future__ import annotations

import logging
import resource
import sys
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from billiard import current_process
from billiard.pool import EX_RECYCLE
from celery import Task, current_app, shared_task
from celery.signals import task_postrun, worker_process_init, worker_process_shutdown
from django.conf import settings
from django.db import Error, connection

from runs.dispatch.compiler import ADVANCE
from runs.engine import journal, memory_limit, thread_pool
from runs.engine import recorder as recorders
from runs.worker import delivery, pulse

log = logging.getLogger(__name__)


class _Watched(Task[Any, Any]):
    abstract = True
    Request = "runs.worker.child_watch:WatchedRequest"


@shared_task(
    bind=True,
    base=_Watched,
    name=ADVANCE,
    # Only for a database that cannot be reached, or refuses, before the claim: the ticket is still there then.
    autoretry_for=(Error,),
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
    rest: Any = request.chain or []
    chain = [str(task["kwargs"]["head"]) for task in reversed(rest)]
    goes_on, handed_on = delivery.deliver(runs, version_id=UUID(version), head=head, chain=chain, preloaded=fresh)
    if handed_on:
        # The links that this delivery has walked through itself are not sent.
        while rest[-1]["kwargs"]["head"] != goes_on:
            rest.pop()
    else:
        # No run is left for the next task, so the chain ends here. Not by Celery's Ignore, which makes a traceback, and
        # that would take longer than the delivery of a short run.
        rest.clear()
    return handed_on


@worker_process_init.connect
def begin_pulse(**_: Any) -> None:
    """Let the parent of a worker child see that its interpreter goes on, and the kernel limit its memory."""
    pulse.begin()
    memory_limit.begin()


@task_postrun.connect(sender=advance)
def make_room(**_: Any) -> None:
    """End a worker's child, after its message, if most of its threads are stuck or it uses too much memory.

    What is under way is recorded first. Meanwhile this message counts as unfinished, so that the child gets no other.
    The pool starts a new child.
    """
    if current_process().name != "MainProcess" and (thread_pool.worn_out() or _too_big()):
        drain()
        raise SystemExit(EX_RECYCLE)


@worker_process_shutdown.connect
def drain(**_: Any) -> None:
    """Claim nothing any more, and record what is under way, for as long as a shutdown may take."""
    recorder = recorders.existing()
    if recorder is None or recorder.draining:
        journal.flush()
        return  # a child that is replaced has drained before it ended
    left = recorder.drain(until=time.monotonic() + current_app.conf.worker_soft_shutdown_timeout)
    if left:
        log.warning("drain_cut_short", extra={"count": left})
    journal.flush()


def _too_big() -> bool:
    """Whether this process has ever been larger than WORKER_CHILD_MEMORY_MEGABYTES."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kilobytes = peak // 1024 if sys.platform == "darwin" else peak
    return kilobytes > settings.WORKER_CHILD_MEMORY_MEGABYTES * 1024
