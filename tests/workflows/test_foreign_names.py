"""Names of other systems in expressions get a warning when a definition is published."""

from __future__ import annotations

import pytest

from actions.base import Json
from tests.workflows.definitions import document, step, warnings_of


@pytest.mark.parametrize(
    ("given", "path", "hint"),
    [
        (document(step("a", action="notify", with_={"channel": "{{ inputs.c }}"})), "steps[0].with", "`input`"),
        (document(step("a", if_="inputs.n > 3")), "steps[0].if", "`input`"),
        (document(step("a", if_="{{ env.N }} ")), "steps[0].if", "give the run what it needs as input"),
        (document(step("a", action="condition", with_={"expression": "env.x"})), "steps[0].with", "give the run"),
        (document(step("a"), output="{{ outputs.a }}"), "output", "`steps.<id>.output`"),
        (document(step("a", for_each={"items": "{{ tasks.rows }}"})), "steps[0].for_each.items", "`steps.<id>.output`"),
        (
            document(step("a"), finally_=[step("b", action="notify", with_={"channel": "{{ env.c }}"})]),
            "finally[0].with",
            "give the run",
        ),
    ],
)
def test_a_name_of_another_system_gets_a_warning(given: Json, path: str, hint: str) -> None:
    [warning] = warnings_of(given)
    assert warning.startswith(f"{path} reads `")
    assert hint in warning


@pytest.mark.parametrize(
    "given",
    [
        document(step("a", if_="input.inputs")),
        document(step("a", action="notify", with_={"channel": "inputs", "text": "our inputs: {{ input.x }}"})),
        document(step("a", if_="inputs.n"), inputs={"properties": {"inputs": {"type": "object"}}}),
    ],
)
def test_a_key_of_that_name_gets_none(given: Json) -> None:
    assert warnings_of(given) == ()
