"""The last bound on memory: a limit of the kernel for processes that perform steps, and the end of one that meets it.

What expressions take is charged long before (actions/expressions/values.py). Where something gets past the charge, the
process cannot go on for sure: the step that wanted too much is one of many in it, and any of them may be the one that
is refused the memory. So the process ends; its steps are found by their lease and performed alone, and only the one
that does the same again is blamed.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
from contextlib import suppress

from django.conf import settings

log = logging.getLogger(__name__)

# Whether this process is limited; a process that is forked from it sets its own limit.
_limited_pid = 0


def begin() -> None:
    """Limit this process's address space to WORKER_CHILD_ADDRESS_SPACE_MEGABYTES; 0 means no limit.

    Only the soft limit: a process that is started from this one may raise it again.
    """
    global _limited_pid  # noqa: PLW0603 - one limit per process, as the kernel has it
    megabytes = settings.WORKER_CHILD_ADDRESS_SPACE_MEGABYTES
    if not megabytes:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = megabytes * 1024 * 1024
    try:
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    except (ValueError, OSError) as error:  # some systems know no such limit
        log.warning("memory_not_limited", extra={"error": str(error)})
        return
    _limited_pid = os.getpid()


def end_if_met(error: BaseException) -> None:
    """End this process if the error is that it met its limit. Returns for every other error, and without a limit."""
    if not isinstance(error, MemoryError) or _limited_pid != os.getpid():
        return
    # As little as possible from here on: there is no memory left.
    with suppress(Exception):
        log.critical("memory_limit_met", extra={"megabytes": settings.WORKER_CHILD_ADDRESS_SPACE_MEGABYTES})
    os.kill(os.getpid(), signal.SIGKILL)
