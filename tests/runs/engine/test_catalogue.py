"""Actions of the catalogue inside runs: what the engine does with them, step after step."""

from __future__ import annotations

import pytest

from tests import flows
from tests.engine import drain

pytestmark = pytest.mark.django_db(transaction=True)


def test_lists_are_worked_on_step_after_step() -> None:
    found = flows.published(
        """
        name: turnover
        steps:
          - {id: paid, action: filter, with: {items: "{{ input.orders }}", where: "item.paid and item.id != 9"}}
          - {id: once, action: dedupe, with: {by: id}}
          - {id: sums, action: aggregate, with: {group_by: land, fields: {sum: {op: sum, path: total}}}}
          - {id: best, action: sort, with: {by: sum, as: number, order: desc}}
        """
    )
    orders = [
        {"id": 1, "land": "FR", "total": "5.00", "paid": True},
        {"id": 2, "land": "DE", "total": "19.99", "paid": True},
        {"id": 2, "land": "DE", "total": "19.99", "paid": True},
        {"id": 3, "land": "DE", "total": "0.01", "paid": True},
        {"id": 4, "land": "DE", "total": "7.00", "paid": False},
    ]
    [good, bad] = flows.begun(found, {"orders": orders}, {"orders": [{"id": 1}]})
    drain()
    assert flows.the_run(good).output == [{"land": "DE", "sum": "20.00"}, {"land": "FR", "sum": "5.00"}]
    # The list itself stands once, in the run's input, and not in the step's config again.
    assert flows.steps(good)["paid"].config == {"items": "{{ input.orders }}", "where": "item.paid and item.id != 9"}
    error = flows.the_run(bad).error
    assert error is not None
    assert error["kind"] == "missing"
    assert (
        "filter: items[0]: expression `item.paid and item.id != 9` at position 0: needs item.paid" in error["message"]
    )
