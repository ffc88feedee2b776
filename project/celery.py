"""The Celery app. What differs from Celery's defaults differs because of a way to lose or double work."""

from __future__ import annotations

import gc
import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_init
from django.conf import settings

from project import broker, pool

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
# System checks load every address of the site, and with them the admin and the API, into each worker and beat. They
# are made by `migrate`, before either is started.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

broker.mend()
pool.mend()

# A publisher gives up as soon as the sweep would do it better.
_PUBLISHER_ACQUIRE_SECONDS = 2


def _configuration() -> dict[str, Any]:
    return {
        "broker_url": settings.REDIS_URL,
        "broker_transport_options": broker.transport(),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_limit": 10,
        # A state in the broker is a second truth: ours is PostgreSQL.
        "result_backend": None,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_track_started": False,
        "task_default_queue": "runs",
        "task_queues": [broker.queue()],
        "task_serializer": "json",
        "accept_content": ["json"],
        # Early acks and no prefetch: a kill costs at most what was running, and the sweep brings that back.
        "task_acks_late": settings.CELERY_ACKS_LATE,
        "task_reject_on_worker_lost": False,
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 1,
        # No soft limit: its exception can land inside a commit. Our messages name a hard limit, each its own step's
        # (runs/dispatch/compiler.py); this one is for a message that names none.
        "task_time_limit": settings.STEP_TIMEOUT_SECONDS + 30,
        # By memory and not by number: a child that ends takes seconds to be replaced (project/pool.py), and a message
        # that was handed to it meanwhile waits as long. Every thousand messages one run took 4.5 s instead of 5 ms.
        "worker_max_tasks_per_child": None,
        "worker_max_memory_per_child": settings.WORKER_CHILD_MEMORY_MEGABYTES * 1024,
        "worker_soft_shutdown_timeout": 20,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_hijack_root_logger": False,
        "worker_enable_remote_control": True,
        # Three messages for each of ours, which only Flower reads. It switches them on when it first asks and never off
        # again: they are sent from then on until the worker starts or connects anew.
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        # A failed publish is left to the next sweep, so it may fail fast.
        "task_publish_retry": True,
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0.1, "interval_max": 0.1},
        "broker_connection_timeout": _PUBLISHER_ACQUIRE_SECONDS,
        "timezone": "UTC",
        "enable_utc": True,
        "beat_scheduler": "django_celery_beat.schedulers:DatabaseScheduler",
        # Celery's Django fix-up otherwise closes the database connection around every single task.
        "CELERY_DB_REUSE_MAX": 10**12,
    }


@setup_logging.connect
def _leave_logging_to_django(**_: object) -> None:
    """A receiver here is how Celery is told that logging is configured already."""


@worker_init.connect
def _spare_the_collector(**_: object) -> None:
    """What is loaded before the pool forks stays shared: a collection in a child would write to all of it.

    And children collect less often: a delivery makes tens of thousands of objects, few of them in a circle.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


app = Celery("stepwise")
app.config_from_object(_configuration())
app.autodiscover_tasks(["runs.worker"])
# By name: its module needs Django set up, which the worker does before it builds its steps.
app.steps["worker"].add("runs.worker.sweep_thread:SweepStep")
app.steps["worker"].add("runs.worker.retention_thread:RetentionStep")
