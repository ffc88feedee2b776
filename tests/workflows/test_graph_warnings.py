"""One `needs` makes a graph; steps that thereby begin together get a warning."""

from __future__ import annotations

import pytest

from actions.base import Json
from tests.workflows.definitions import document, step, warnings_of


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            document(step("a"), step("b"), step("c", needs=["b"])),
            "steps[2].needs makes steps a graph, so steps[1] (b) begins together with steps[0] (a); write `needs`",
        ),
        (
            document(step("a"), step("b"), step("c"), step("d", needs=["b", "c"])),
            "so steps[1] (b), steps[2] (c) begin together with steps[0] (a)",
        ),
        (document(step("a"), step("b", needs=["a"]), step("c")), "so steps[2] (c) begins together with steps[0] (a)"),
        (document(step("a", needs=[]), step("b")), "steps[0].needs makes steps a graph, so steps[1] (b) begins"),
        (
            document(step("x"), finally_=[step("a"), step("b"), step("c", needs=["b"])]),
            "finally[2].needs makes finally a graph, so finally[1] (b) begins together with finally[0] (a)",
        ),
        (document(*[step(f"s{n}") for n in range(20)], step("z", needs=["s3"])), "steps[5] (s5) and 14 more begin"),
    ],
)
def test_steps_that_begin_together_without_saying_so_get_a_warning(given: Json, said: str) -> None:
    [warning] = warnings_of(given)
    assert said in warning


@pytest.mark.parametrize(
    "given",
    [
        document(step("a"), step("b"), step("c")),
        document(step("a"), step("b", needs=["a"]), step("c", needs=["a"])),
        document(step("a", needs=[]), step("b", needs=[]), step("c", needs=["a", "b"])),
        document(step("a"), step("b", needs=[]), step("c", needs=["a", "b"])),
        document(step("a", on_error="goto:mend"), step("b", needs=["a"]), step("mend")),
        document(step("mend"), step("a", on_error="goto:mend"), step("b", needs=["a"])),
        {"name": "a", "nodes": [{"id": "a", "type": "trigger"}, {"id": "b", "type": "trigger"}], "edges": []},
    ],
)
def test_a_graph_that_says_how_it_begins_gets_none(given: Json) -> None:
    assert not any("makes" in warning for warning in warnings_of(given))
