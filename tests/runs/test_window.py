"""When a start sends by itself, and when it leaves that to the deliveries that are still to come."""

from __future__ import annotations

import os

import pytest
from django.conf import LazySettings

from runs import window
from tests.engine import deliver, messages, state
from tests.flows import begun, published

pytestmark = pytest.mark.django_db(transaction=True)

PURE = "name: pure\nsteps: [{id: a, action: default}]"


def test_a_start_behind_a_quarter_of_a_window_waits_for_the_deliveries_before_it(settings: LazySettings) -> None:
    settings.DISPATCH_WINDOW_MESSAGES = 8
    messages()
    window.forget()
    flow = published(PURE)
    runs = [begun(flow, {"n": n})[0] for n in range(6)]
    assert [state(run_id) for run_id in runs] == ["running"] * 3 + ["queued"] * 3
    # No sweep and no other dispatch: what is delivered sends them, all in one message.
    assert deliver() == 3
    assert deliver() == 1
    assert {state(run_id) for run_id in runs} == {"succeeded"}


def test_a_fork_has_a_connection_to_the_broker_of_its_own() -> None:
    client = window._client()
    assert client.ping()
    child = os.fork()
    if not child:
        os._exit(0 if window._client() is not client and window._client().ping() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert window._client() is client
    assert client.ping()
