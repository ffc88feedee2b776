"""The rate limit of a credential: never more than a window's uses, whoever asks, and few statements."""

from __future__ import annotations

import threading
from contextlib import nullcontext

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.waiting import wait_for
from tests.workflows.credentials.test_store import made
from workflows.credentials import rates
from workflows.credentials.rates import Rate
from workflows.models import Credential


def uses(row: Credential, rate: Rate, tries: int) -> int:
    """How many of so many tries got a use."""
    return sum(rates.wait_seconds(row.pk, rate, connected=nullcontext) == 0 for _ in range(tries))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("text", "count"), [("1/h", 1), ("7/h", 7), ("10/m", 10), ("25/h", 25), ("999/m", 999)])
def test_processes_together_have_the_uses_of_a_window_and_no_more(text: str, count: int) -> None:
    row, rate = made(), rates.parse(text)
    assert rate is not None
    got = 0
    with CaptureQueriesContext(connection) as asked:
        for _ in range(30):
            # As another process begins: with no slice.
            rates.forget()
            got += uses(row, rate, max(1, rate.uses // 10))
        rates.forget()
        got += uses(row, rate, count)
    assert got == count
    assert len(asked) <= 3 * (30 + 12)


@pytest.mark.django_db(transaction=True)
def test_threads_share_a_slice_and_wait_for_the_next_window() -> None:
    row, rate = made(), Rate(20, 3600.0)
    rates.forget()
    got: list[int] = []

    def take() -> None:
        got.append(uses(row, rate, 10))
        connection.close()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(got) == 20
    with CaptureQueriesContext(connection) as asked:
        wait = rates.wait_seconds(row.pk, rate, connected=nullcontext)
    assert (3500 < wait <= 3600, len(asked)) == (True, 0)
    short = Rate(20, 0.2)
    rates.forget()
    wait_for(lambda: uses(row, short, 1) == 1, what="the next window", timeout_seconds=10)


@pytest.mark.parametrize("text", ["10", "0/s", "-1/s", "1/d", "10 /s", "1e3/s", "10/s ", "1000000/s", "\u0661/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    assert "must be a count and a unit" in (rates.fault(text) or "")
