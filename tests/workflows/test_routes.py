"""The routes of a switch as a definition says them: where they may lead, and what publishing makes of them."""

from __future__ import annotations

from typing import Any

import pytest

from workflows.definitions.errors import DefinitionError
from workflows.formats import parse
from workflows.formats.export import export_yaml
from workflows.publishing.validate import validate

_ROUTES: dict[str, Any] = {"routes": [{"when": "input.a", "goto": "x"}], "default": "y"}


def _definition(*steps: dict[str, Any], **switch: Any) -> dict[str, Any]:
    first = {"id": "s", "action": "switch", "with": _ROUTES, **switch}
    return {"name": "n", "steps": [first, *steps]}


def _step(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "action": "default", **more}


def test_a_target_needs_its_switch_and_asks_whether_its_route_was_taken() -> None:
    found = validate(
        _definition(_step("x", **{"if": "{{ input.b }}"}), _step("y"), _step("z"), _step("end"))
    ).definition
    by_id = {step.id: step for step in found.steps}
    assert {step.id: step.needs for step in found.steps} == {
        "s": (),
        "x": ("s",),
        "y": ("s",),
        "z": ("s", "x", "y"),
        "end": ("z",),
    }
    assert by_id["x"].if_ == "steps.s.output.goto == 'x' and (input.b)"
    assert by_id["y"].if_ == "steps.s.output.goto == 'y'"
    assert by_id["z"].join == "none_failed"
    # What is exported loads back to the same version.
    assert validate(parse.load(export_yaml(found)).document).definition.hash() == found.hash()


def test_in_a_graph_a_target_may_need_other_steps_besides() -> None:
    steps = [_step("a", needs=[]), _step("x", needs=["s", "a"]), _step("y"), _step("z", needs=["x"])]
    by_id = {step.id: step for step in validate(_definition(*steps)).definition.steps}
    assert (by_id["x"].needs, by_id["y"].needs, by_id["z"].needs) == (("s", "a"), ("s",), ("x",))
    assert by_id["x"].if_ == "steps.s.output.goto == 'x'"


@pytest.mark.parametrize(
    ("definition", "place", "said"),
    [
        (_definition(_step("x")), "steps[0].with.default", "leads to 'y', but there is no such step"),
        (_definition(_step("y"), _step("xx")), "steps[0].with.routes[0].goto", "did you mean 'xx'?"),
        (_definition(_step("y"), id="x"), "steps[0].with.routes[0].goto", "leads to the switch itself"),
        (
            _definition(_step("x"), _step("y"), {"id": "t", "action": "switch", "with": _ROUTES, "needs": ["s"]}),
            "steps[3].with.default",
            "to which the switch 's' leads, too",
        ),
        (
            _definition(_step("a", needs=[]), _step("x", needs=["a"]), _step("y")),
            "steps[0].with.routes[0].goto",
            "leads to 'x', which needs other steps; let it need 's', or nothing",
        ),
        (_definition(_step("x"), _step("y"), for_each={"items": [1]}), "steps[0].for_each", "is beside a switch"),
        (
            {"name": "n", "steps": [_step("x"), _step("y"), {"id": "s", "action": "switch", "with": _ROUTES}]},
            "steps[2].with.routes[0].goto",
            "leads backwards",
        ),
        (
            _definition(_step("x", needs=["s"]), _step("y", needs=["s"]), needs=["x"]),
            "steps[0].needs",
            "need each other in a cycle",
        ),
        (
            _definition(_step("x"), _step("y"), **{"with": {"routes": "{{ input.r }}"}}),
            "steps[0].with.routes",
            "a list whose entries",
        ),
        (
            _definition(_step("x"), **{"with": {"routes": [{"when": "input.a >", "goto": "x"}]}}),
            "steps[0].with.routes[0].when",
            "expression `input.a >`",
        ),
        (
            _definition(_step("x"), **{"with": {"routes": [{"when": "steps.x.output", "goto": "x"}]}}),
            "steps[0].with",
            "not upstream",
        ),
        (_definition(_step("x"), **{"with": {"routes": [{"goto": "x"}]}}), "steps[0].with.routes[0]", "`when`"),
        (_definition(_step("x"), **{"with": {"routes": [{"is": 1, "goto": "x"}]}}), "steps[0].with", "no `value`"),
        (_definition(_step("x"), **{"with": {"routes": []}}), "steps[0].with.routes", "at least 1 entry"),
        (
            _definition(_step("x", on_error="goto:y"), _step("y")),
            "steps[1].on_error",
            "jumps to 'y', which needs other steps",
        ),
    ],
)
def test_a_route_that_leads_nowhere_is_refused_with_its_place(
    definition: dict[str, Any], place: str, said: str
) -> None:
    with pytest.raises(DefinitionError) as refused:
        validate(definition)
    told = {problem.path: problem.message for problem in refused.value.problems}
    assert said in told.get(place, ""), told
