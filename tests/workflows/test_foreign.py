"""Files of other systems are answered with one sentence; what only a drawing needs is left out."""

from __future__ import annotations

from typing import Any

import pytest

from actions.base import Json
from tests.workflows.definitions import faults, needs, warnings_of
from workflows.publishing.validate import validate

NODES: list[dict[str, Any]] = [
    {"id": "start", "type": "trigger"},
    {"id": "old", "type": "condition", "data": {"expression": "input.age >= 18"}},
    {"id": "tell", "type": "action", "data": {"action": "notify", "config": {"channel": "a"}}},
]
EDGES: list[dict[str, Any]] = [{"source": "start", "target": "old"}, {"source": "old", "target": "tell"}]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (
            {
                "name": "mine",
                "nodes": [{"id": "1", "name": "Get", "type": "n8n-nodes-base.httpRequest", "parameters": {}}],
                "connections": {"Get": {"main": [[]]}},
                "settings": {},
                "pinData": {},
            },
            "a workflow of n8n",
        ),
        ({"nodes": [{"type": "@n8n/n8n-nodes-langchain.agent", "typeVersion": 2}], "meta": {}}, "a workflow of n8n"),
        (
            {
                "nodes": [
                    {"id": "1", "type": "input", "position": {"x": 0, "y": 0}, "data": {"label": "a"}},
                    {"id": "2", "position": {"x": 0, "y": 9}, "data": {"label": "b"}},
                ],
                "edges": [{"id": "e", "source": "1", "target": "2", "type": "smoothstep"}],
                "viewport": {"x": 0, "y": 0, "zoom": 1},
            },
            "a drawing of React Flow",
        ),
        (
            {"name": "CI", "on": {"push": {}}, "jobs": {"build": {"runs-on": "ubuntu", "steps": [{"run": "make"}]}}},
            "a workflow of GitHub Actions",
        ),
        ({"jobs": {"call": {"uses": "./.github/workflows/a.yml"}}, "permissions": {}}, "a workflow of GitHub Actions"),
        (
            {"id": "a", "namespace": "x", "tasks": [{"id": "b", "type": "io.kestra.plugin.core.log.Log"}]},
            "a flow of Kestra",
        ),
        ({"summary": "", "value": {"modules": [{"id": "a", "value": {"type": "rawscript"}}]}}, "a flow of Windmill"),
        ({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}, "a state machine of AWS Step Functions"),
        ({"document": {"dsl": "1.0.0", "name": "a"}, "do": []}, "a Serverless Workflow"),
        ({"name": "a", "tasks": [{"taskReferenceName": "a", "type": "HTTP"}]}, "a workflow of Conductor"),
        ({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": {}}, "a resource of Kubernetes"),
        ({"services": {"web": {"image": "a"}}, "volumes": {}}, "a file of Docker Compose"),
        ({"openapi": "3.1.0", "paths": {}}, "an OpenAPI document"),
        ({"stages": ["a"], "build": {"stage": "a", "script": ["make"]}}, "a pipeline of GitLab CI"),
        ([{"id": "1", "type": "inject", "wires": [["2"]]}], "a flow of Node-RED"),
    ],
)
def test_a_file_of_another_system_is_answered_with_one_sentence(given: Json, what: str) -> None:
    [(path, message)] = faults(given).items()
    assert path == ""
    assert message.startswith(f"seems to be {what}")
    assert message.endswith(": see docs/definitions.md")


@pytest.mark.parametrize(
    "given",
    [
        {"name": "a", "stepz": [{"id": "a", "action": "default"}]},
        {"name": "a", "jobs": 3},
        {"name": "a", "tasks": []},
        {"name": "a", "nodes": 3, "edges": []},
        {"name": "a", "nodes": [{"id": "a", "type": "acton", "data": {}}], "edges": []},
    ],
)
def test_a_mistake_in_a_file_of_ours_is_answered_as_one(given: Json) -> None:
    assert not any("seems to be" in message for message in faults(given).values())


def test_what_only_a_drawing_needs_is_left_out() -> None:
    plain = validate({"name": "a", "nodes": [*NODES], "edges": [*EDGES]}).definition
    drawn: dict[str, Any] = {
        "name": "a",
        "viewport": {"x": 1, "y": 2, "zoom": 1},
        "nodes": [
            {
                **node,
                "position": {"x": 0, "y": 0},
                "measured": {"width": 1, "height": 2},
                "selected": True,
                "dragging": False,
                "style": {"color": "red"},
                "sourcePosition": "right",
                "width": 150,
                "data": {**node.get("data", {}), "label": "A label"},
            }
            for node in NODES
        ],
        "edges": [
            {
                **edge,
                "id": "e1",
                "type": "smoothstep",
                "animated": True,
                "sourceHandle": "a",
                "targetHandle": None,
                "style": {},
                "markerEnd": {"type": "arrow"},
                "data": {"label": "x"},
            }
            for edge in EDGES
        ],
    }
    checked = validate(drawn)
    assert checked.definition.hash() == plain.hash()
    assert checked.warnings == ()


def test_what_an_edge_carries_beside_its_drawing_is_still_refused() -> None:
    edges = [{**EDGES[0], "data": {"label": "x", "filter": "a"}}, {**EDGES[1], "weight": 3}]
    found = faults({"name": "a", "nodes": [*NODES], "edges": [*edges]})
    assert found.keys() == {"edges[0].data", "edges[1].weight"}


def test_viewport_belongs_to_a_drawing_only() -> None:
    assert "viewport" in faults({"name": "a", "viewport": {}, "steps": [{"action": "default"}]})


def test_an_unconnected_node_gets_a_warning() -> None:
    lone: dict[str, Any] = {"id": "lone one", "type": "action", "data": {"action": "noop"}}
    given: Json = {"name": "a", "nodes": [*NODES, lone], "edges": [*EDGES]}
    assert warnings_of(given) == ("nodes[3] ('lone one') has no edge, so it begins at once, beside the others",)
    assert needs(validate(given).definition)["lone_one"] == []
    assert warnings_of({"name": "a", "nodes": [lone], "edges": []}) == ()
    many: list[Json] = [{**lone, "id": f"n{n}"} for n in range(100)]
    assert len(warnings_of({"name": "a", "nodes": many, "edges": []})) == 20


@pytest.mark.parametrize("handle", ["true", "False", "yes"])
def test_a_handle_that_seems_to_be_the_side_of_a_condition_gets_a_warning(handle: str) -> None:
    given: Json = {"name": "a", "nodes": [*NODES], "edges": [EDGES[0], {**EDGES[1], "sourceHandle": handle}]}
    [warning] = warnings_of(given)
    assert warning.startswith(f"edges[1].sourceHandle ('{handle}') is left out")
    assert "write `condition: true` or `condition: false`" in warning
    sided: Json = {"name": "a", "nodes": [*NODES], "edges": [EDGES[0], {**EDGES[1], "condition": True}]}
    assert warnings_of(sided) == ()
