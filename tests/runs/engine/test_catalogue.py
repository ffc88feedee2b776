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


_SWITCH = """
name: shop
steps:
  - id: by_land
    action: switch
    with:
      value: "{{ input.land }}"
      routes:
        - {is: [DE, AT], goto: german}
        - {when: "input.total > 100", goto: Big order, name: big}
      default: english
  - {id: german, action: transform, with: {set: {told: de}}}
  - {name: Big order, action: transform, if: "{{ input.total < 1000 }}", with: {set: {told: big}}}
  - {id: english, action: transform, with: {set: {told: en}}}
  - {id: done, action: transform, with: {set: {route: "{{ steps.by_land.output.route }}"}}}
"""


def test_a_switch_takes_the_first_route_that_fits_and_skips_the_others() -> None:
    found = flows.published(_SWITCH)
    inputs = [{"land": land, "total": total} for land, total in (("DE", 500), ("FR", 101), ("FR", 5000), ("FR", 1))]
    runs = flows.begun(found, *inputs)
    drain()
    told = [flows.states(run) for run in runs]
    ran = [{step for step, state in states.items() if state == "succeeded"} for states in told]
    assert ran == [
        {"by_land", "german", "done"},
        {"by_land", "Big_order", "done"},
        {"by_land", "done"},  # its own `if` is asked, too
        {"by_land", "english", "done"},
    ]
    assert [flows.the_run(run).output for run in runs] == [{"route": r} for r in ("german", "big", "big", "default")]
    assert {flows.the_run(run).state for run in runs} == {"succeeded"}


def test_a_switch_without_a_default_skips_every_route_and_fails_with_the_name_of_a_route() -> None:
    found = flows.published(
        """
        name: routes
        steps:
          - {id: pick, action: switch, with: {routes: [{when: input.age > 17, goto: adult}]}}
          - {id: adult, action: default, needs: [pick]}
          - {id: after, action: default, needs: [adult]}
        """
    )
    [young, odd] = flows.begun(found, {"age": 1}, {"age": "x"})
    drain()
    assert flows.states(young) == {"pick": "succeeded", "adult": "skipped", "after": "skipped"}
    error = flows.the_run(odd).error
    assert error is not None
    assert "switch: routes[0], 'adult': expression `input.age > 17`" in error["message"]


def test_labels_are_set_with_the_record_of_their_step() -> None:
    found = flows.published(
        """
        name: labelled
        labels: {team: shop, old: "1"}
        steps:
          - {id: mark, action: set_labels, with: {labels: {customer: "{{ input.who }}", team: 7}, remove: [old, none]}}
          - {id: after, action: default}
        """
    )
    long, many = "x" * 256, {f"l{n}": "" for n in range(999)}
    [good, refused] = flows.begun(found, {"who": "ada"}, {"who": long})
    [full] = flows.begun(found, {"who": "bob"}, labels=many)
    drain()
    wanted = {"team": "7", "customer": "ada"}
    assert flows.the_run(good).labels == wanted
    assert flows.steps(good)["mark"].output == {"labels": wanted}
    error = flows.the_run(refused).error
    assert error is not None
    assert "with.labels.customer: must have at most 255 characters, not 256" in error["message"]
    assert flows.the_run(refused).labels == {"team": "shop", "old": "1"}
    # What a failed attempt wrote is rolled back.
    error = flows.the_run(full).error
    assert error is not None
    assert "the run would have 1,001 labels; 1,000 are the limit" in error["message"]
    assert flows.the_run(full).labels == {"team": "shop", "old": "1", **many}
