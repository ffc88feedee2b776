from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db.models import F

from runs.dispatch import shares
from runs.engine import lease
from runs.models import DeadLetter
from runs.queries import invariants
from runs.queries.database import run
from tests.engine import messages


@pytest.fixture(autouse=True)
def _a_process_of_its_own() -> Iterator[None]:
    """What an earlier test left in the broker is not this test's business, nor are its lease and whom it worked for."""
    messages()
    shares.forget()
    yield
    lease.give_up()


@pytest.fixture(autouse=True)
def _no_run_is_lost(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test did to the engine, nothing may be left that no message and no sweep would ever move.

    Nor a dead letter, whichever way it came about, that says anything else of its run than the run does.
    """
    marker = request.node.get_closest_marker("django_db")
    if marker is not None:
        # Asked for first, so that the audit comes before the database is emptied.
        request.getfixturevalue("transactional_db" if marker.kwargs.get("transaction") else "db")
    yield
    if marker is not None:
        assert run(invariants.AUDIT, limit=10) == []
        assert not DeadLetter.objects.exclude(workflow=F("run__workflow"), labels=F("run__labels")).exists()
