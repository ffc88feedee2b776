from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tests.chaos import faulty, ledger, results
from tests.chaos.fleet import Fleet
from tests.chaos.row import NEVER, Row
from tests.chaos.size import SIZE
from tests.chaos.stack import Stack, standing
from tests.chaos.witness import Witness, watching

Table = Callable[..., AbstractContextManager[Row]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("chaos")


@pytest.fixture(scope="package")
def _stack(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Iterator[Stack]:
    with django_db_blocker.unblock(), standing(tmp_path_factory.mktemp("chaos") / "stack") as stack:
        ledger.install()
        yield stack


@pytest.fixture(scope="package")
def witness() -> Iterator[Witness]:
    with watching() as found:
        yield found


@pytest.fixture(scope="package", params=SIZE.acks)
def fleet(
    request: pytest.FixtureRequest, _stack: Stack, witness: Witness, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Workers with the acknowledgement (early, late or mixed) of the parameter."""
    found = Fleet(tmp_path_factory.mktemp("fleet"), acks=request.param, allow=f"127.0.0.1:{witness.port}")
    with faulty.installed(found.home, repeat_seconds=SIZE.repeat_seconds):
        yield found
    found.stop()


@pytest.fixture(scope="package")
def _results(_stack: Stack) -> Iterator[results.Results]:
    """The reports of all rows; in the full form they are written at the end."""
    found = results.Results()
    yield found
    found.write()


@pytest.fixture
def table(_stack: Stack, fleet: Fleet, witness: Witness, _results: results.Results) -> Table:
    """`with table("F1", title) as row:` runs one row of the fault table.

    At the end of the block it waits for the row's runs to end, and asserts the promises.
    """

    @contextmanager
    def row(name: str, title: str, *, within: float | None = None) -> Iterator[Row]:
        found = Row(name, title, stack=_stack, fleet=fleet, witness=witness, home=fleet.home)
        yield found
        found.all_end(within=within)
        report = found.report()
        found.reports.append(report)
        _results.add(report)
        print(f"\n{report}")
        assert {name: getattr(report, name) for name in NEVER} == dict.fromkeys(NEVER, 0), report
        assert report.notes["early"] == 0, report

    return row
