"""Working without a broker: whatever is due in PostgreSQL is performed here."""

from __future__ import annotations

import threading
from collections.abc import Iterator

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
