"""A start that concurrency skipped answers its idempotency key like any other."""

from __future__ import annotations

import pytest

from runs.models import Run
from tests.engine import drain
from tests.flows import published
from tests.runs.doors import api

pytestmark = pytest.mark.django_db(transaction=True)

SKIPPING = """
name: one
concurrency: {limit: 1, policy: skip}
steps: [{id: a, action: default}]
"""


def test_a_skipped_start_answers_its_key_also_when_a_slot_is_free_again() -> None:
    published(SKIPPING)
    start = "workflows/one/runs"
    assert api().post(start, {})[0] == 201
    status, skipped = api().post(start, {"idempotency_key": "k"})
    assert (status, skipped["state"]) == (201, "cancelled")
    drain()
    assert api().post(start, {"idempotency_key": "k"}) == (200, skipped)
    status, other = api().post(start, {"idempotency_key": "another"})
    assert (status, other["state"]) == (201, "queued")
    assert "'kind': 'skipped'" in str(Run.objects.get(pk=skipped["id"]).error)
