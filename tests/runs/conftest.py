from __future__ import annotations

from collections.abc import Iterator

import pytest

from runs import lease
from tests.engine import messages


@pytest.fixture(autouse=True)
def _a_process_of_its_own() -> Iterator[None]:
    """What an earlier test left in the broker is not this test's business, and neither is its lease."""
    messages()
    yield
    lease.give_up()
