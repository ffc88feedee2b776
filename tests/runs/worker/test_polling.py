"""Working without a broker: whatever is due in PostgreSQL is performed here."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from django.db import connection
from pytest_django import Settings

from runs.dispatch import window
from runs.maintenance.sweep import sweep
from runs.models import Run, Ticket
from runs.worker import polling
from tests.flows import begun, published, states, the_run
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

FLOW = """
name: polled
steps:
  - {id: a, action: default}
  - {id: nap, action: wait, with: {seconds: 0}}
  - {id: left, needs: [nap], action: sleep, with: {seconds: 0}}
  - {id: right, needs: [nap], action: default}
  - {id: end, needs: [left, right], action: default}
"""


@pytest.fixture
def no_broker(settings: Settings) -> Iterator[None]:
    """An address where nobody listens."""
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    window.forget()
    yield
    window.forget()


@pytest.mark.usefixtures("no_broker")
def test_runs_are_accepted_and_end_without_a_broker() -> None:
    ids = begun(published(FLOW), *[{"n": n} for n in range(30)])
    assert {the_run(run_id).state for run_id in ids} == {"queued"}

    def round_of_work() -> bool:
        sweep(send=polling.poll)
        return not Run.objects.filter(id__in=ids, finished_at=None).exists()

    wait_for(round_of_work, what="the end of all runs", timeout_seconds=60)
    assert set(states(ids[0]).values()) == {"succeeded"}
    assert not Ticket.objects.exists()


@pytest.mark.usefixtures("no_broker")
def test_a_polling_process_works_until_it_is_told_to_stop() -> None:
    stopping = threading.Event()

    def run() -> None:
        polling.work(stopping)
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    ids = begun(published(FLOW), {})
    wait_for(lambda: the_run(ids[0]).state == "succeeded", what="the run's end")
    stopping.set()
    thread.join(30)
    assert not thread.is_alive()


def test_a_process_that_only_polls_has_the_memory_limit_of_a_worker_s_child(settings: Settings) -> None:
    settings.WORKER_CHILD_ADDRESS_SPACE_MEGABYTES = 7000
    before = resource.getrlimit(resource.RLIMIT_AS)
    over = threading.Event()
    over.set()
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            polling.serve(over)
            os._exit(resource.getrlimit(resource.RLIMIT_AS)[0] >> 20 == 7000)
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert resource.getrlimit(resource.RLIMIT_AS) == before
