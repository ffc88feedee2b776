"""Labels at starts take numbers and booleans as texts, and those of sub-workflows have the bounds of a start."""

from __future__ import annotations

from typing import Any

import pytest

from runs.models import Run
from tests.engine import drain
from tests.flows import begun, of_earlier_release, published, the_run
from tests.runs.doors import api
from workflows.definitions.errors import DefinitionError

pytestmark = pytest.mark.django_db(transaction=True)

QUICK = 'name: quick\nlabels: {order: "4711", vip: "true", rate: "0.5", team: shop}\nsteps: [{id: a, action: default}]'
GIVEN = {"customer": 12, "paid": False, "share": 2.5, "team": "home"}
TEXTS = {
    "order": "4711",
    "vip": "true",
    "rate": "0.5",
    "customer": "12",
    "paid": "false",
    "share": "2.5",
    "team": "home",
}
CALL = "name: calls\nsteps: [{{id: a, action: sub_workflow, with: {{workflow: quick, labels: {labels}}}}}]"


def test_numbers_and_booleans_become_texts_as_json_writes_them() -> None:
    assert published(QUICK).version.definition["labels"] == {
        **{key: TEXTS[key] for key in ("order", "vip", "rate")},
        "team": "shop",
    }
    door = api()
    ids = [door.post("workflows/quick/runs", {"labels": GIVEN})[1]["id"]]
    ids.append(door.post("workflows/quick/runs/bulk?ids=true", [{"labels": GIVEN}])[1]["ids"][0]["id"])
    assert [the_run(one).labels for one in ids] == [TEXTS, TEXTS]
    assert [
        one["id"] for one in door.get("runs", **{"label.order": "4711", "label.paid": "false"})[1]["results"]
    ] == ids[::-1]


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, "x" * 256])
def test_null_lists_objects_and_long_texts_are_no_labels(value: Any) -> None:
    published("name: plain\nsteps: [{id: a, action: default}]")
    status, told = api().post("workflows/plain/runs", {"labels": {"a": value}})
    assert (status, told["errors"][0]["path"]) == (400, "labels.a")


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ("{" + ", ".join(f"l{n}: x" for n in range(65)) + "}", "65 labels; 64 are the limit"),
        ("{" + "n" * 64 + ": x}", "a name has 1 to 63 characters"),
        ('{"a\\tb": x}', "no control characters"),
        ("{team: " + "x" * 256 + "}", "256 characters in label 'team'; 255 are the limit"),
    ],
)
def test_labels_of_sub_workflows_are_bounded_when_published_and_when_computed(labels: str, says: str) -> None:
    published("name: quick\nsteps: [{id: a, action: default}]")
    with pytest.raises(DefinitionError, match=says):
        published(CALL.format(labels=labels))
    # What was published before goes on as it was.
    [run_id] = begun(of_earlier_release(CALL.format(labels=labels)))
    drain()
    assert the_run(run_id).state == "succeeded"
    assert Run.objects.get(parent_id=run_id).labels


def test_a_computed_label_of_a_sub_workflow_that_is_too_long_fails_the_step() -> None:
    published("name: quick\nsteps: [{id: a, action: default}]")
    [good, bad] = begun(
        published(CALL.format(labels='{team: "{{ input.team }}", number: 5}')), {"team": 7}, {"team": "x" * 256}
    )
    drain()
    assert Run.objects.get(parent_id=good).labels == {"team": "7", "number": "5"}
    error: Any = the_run(bad).error
    assert (the_run(bad).state, "255 are the limit" in error["message"]) == ("failed", True)
