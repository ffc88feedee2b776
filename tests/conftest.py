"""Servers of our own, and Django set up on them, before any other conftest or test module is imported."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Iterator

import django
import pytest
from pytest_django.plugin import DjangoDbBlocker

from tests.servers import start_once

pytest_plugins = ["tests.parts"]

# Here and not in a hook: conftest files further down import models, and pytest reads those before any hook runs.
start_once()
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
django.setup()

from django.conf import settings  # noqa: E402  # not before there are settings
from django.db import connection  # noqa: E402

from tests import emptying, template  # noqa: E402  # imports models

emptying.install()
# The engine's limits in seconds are for processes that hang. A test may hold one transaction from its begin to its
# end, and on a busy machine be idle in it, or wait for a lock, for longer. In this process only, not in its workers.
connection.settings_dict["OPTIONS"]["options"] += "".join(
    f" -c {name}=60s" for name in ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout")
)
# A delivery in this process does not leave a step behind because the machine is busy: a test may look at once at what
# became of it. Tests of slow steps set their own limit; workers, and whoever names one in the environment, have theirs.
if "QUICK_STEP_MILLISECONDS" not in os.environ:
    settings.QUICK_STEP_MILLISECONDS = 5000
# To make or check a password takes half a second of processor time, on purpose, and many tests make a user.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Processes of pytest-xdist inherit the environment, and pytest-django would read the settings there before this
# file has given the process a queue prefix of its own.
del os.environ["DJANGO_SETTINGS_MODULE"]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, django_db_blocker: DjangoDbBlocker
) -> None:
    """What pytest-django asks for before it makes this process's database."""
    with django_db_blocker.unblock():
        template.use()


@pytest.fixture
def fresh_tables(transactional_db: None) -> None:
    """For what depends on pages: no table has deleted rows of earlier tests."""
    emptying.empty(small_bytes=0)


@pytest.fixture
def peak() -> Iterator[Callable[[], int]]:
    """Tells the most bytes that Python's objects took since the test began. Slows the test down tenfold."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
