"""The concurrency key of a start is evaluated while its caller waits: within little processor time, or not at all."""

from __future__ import annotations

import time

import pytest

from tests.runs.control.test_limits import flow
from tests.runs.doors import api, first_error

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_concurrency_key_that_takes_too_much_processor_time_is_refused() -> None:
    flow('{limit: 1, key: "{{ input.rows|sort|reverse|sort|reverse|sort|length }}"}')
    given = {"rows": [f"row {number:06}" for number in range(20_000, 0, -1)]}
    began = time.thread_time()
    status, told = api().post("workflows/limited/runs", {"input": given})
    assert time.thread_time() - began < 1
    assert (status, first_error(told)[0]) == (400, "concurrency.key")
    assert "may take 50 ms of processor time" in first_error(told)[1]
    assert api().post("workflows/limited/runs", {"input": {"rows": []}})[0] == 201
    body = [{"input": {"rows": []}}, {"input": given}, {"input": {"rows": []}}]
    status, told = api().post("workflows/limited/runs/bulk", body)
    assert (status, told["created"], [one["line"] for one in told["refusals"]]) == (201, 2, [2])
