"""The Celery app. Most settings that differ from Celery's defaults prevent that work is lost, doubled or delayed."""

from __future__ import annotations

import gc
import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_init
from django.conf import settings

from project import broker, logs, pool

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
# System checks would load all URLs of the site, and so the admin and the API, into the memory of each worker and of
# beat. `migrate` runs the checks before either is started.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

broker.mend()
pool.mend()

# A publisher gives up after this time, because the sweep will send the message anyway.
_PUBLISHER_ACQUIRE_SECONDS = 2


def _configuration() -> dict[str, Any]:
    return {
        "broker_url": settings.REDIS_URL,
        "broker_transport_options": broker.transport(),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_limit": 10,
        # No results in the broker: the state of runs is in PostgreSQL only.
        "result_backend": None,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_track_started": False,
        "task_default_queue": "runs",
        "task_queues": [broker.queue()],
        "task_serializer": "json",
        "accept_content": ["json"],
        # Early acks and no prefetch: a killed worker loses only the messages that it was working on, and the sweep
        # sends those again.
        "task_acks_late": settings.CELERY_ACKS_LATE,
        "task_reject_on_worker_lost": False,
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 1,
        # No soft limit: its exception could be raised in the middle of a commit. Our messages have a hard limit made
        # from their step's timeout (runs/dispatch/compiler.py); this one is for messages without.
        "task_time_limit": settings.STEP_TIMEOUT_SECONDS + 30,
        # Children are replaced when they use too much memory, not after a number of messages: replacing one takes
        # seconds (project/pool.py), and a message that was given to it meanwhile waits as long. With a limit of 1,000
        # messages, one run in every thousand messages took 4.5 s instead of 5 ms. A child looks at its memory itself
        # (runs/worker/tasks.py), because it must first record what it has under way; Celery's check would end it.
        "worker_max_tasks_per_child": None,
        "worker_max_memory_per_child": None,
        # Also how long a child records what is under way before it ends.
        "worker_soft_shutdown_timeout": 20,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_hijack_root_logger": False,
        "worker_enable_remote_control": True,
        # Makes the worker create its dispatcher of events, without which nothing can switch them on, whatever flags it
        # is started with. project/task_events.py decides when events are sent.
        "worker_send_task_events": True,
        "task_send_sent_event": False,
        # The next sweep repeats a failed publish, so it may fail fast.
        "task_publish_retry": True,
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0.1, "interval_max": 0.1},
        "broker_connection_timeout": _PUBLISHER_ACQUIRE_SECONDS,
        "timezone": "UTC",
        "enable_utc": True,
        "beat_scheduler": "django_celery_beat.schedulers:DatabaseScheduler",
        # Without this, Celery's Django fixup closes the database connection before and after every task.
        "CELERY_DB_REUSE_MAX": 10**12,
    }


@setup_logging.connect
def _leave_logging_to_django(**_: object) -> None:
    """If this signal has a receiver, Celery leaves logging as Django has configured it."""
    logs.log_uncaught()


@worker_init.connect
def _spare_the_collector(**_: object) -> None:
    """Freeze the objects that exist before the pool forks, so that their memory stays shared with the children.

    The garbage collector writes to every object that it looks at, which would copy the shared pages. Children also
    collect less often: a delivery creates tens of thousands of objects, few of them in reference cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


app = Celery("stepwise")
app.config_from_object(_configuration())
app.autodiscover_tasks(["runs.worker"])
# By name, because the modules need Django to be set up, which the worker does before it builds its boot steps.
app.steps["worker"].add("runs.worker.other_actions:OtherActions")
app.steps["worker"].add("runs.worker.sweep_thread:SweepStep")
app.steps["worker"].add("runs.worker.retention_thread:RetentionStep")
app.steps["consumer"].add("project.task_events:TaskEvents")
