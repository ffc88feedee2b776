"""Recognise files of other systems, so that they are answered with one sentence in place of one for each key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice

from actions.base import Json

_NODE_TYPES = frozenset(["trigger", "action", "condition", "wait"])
# So many entries of a list are looked at.
_LOOKS = 50
_STEPS = "write its parts as `steps`, each with an `action`"


def seems_to_be(document: Json) -> str | None:
    """Return one sentence for a file of another system: what it seems to be, and what to do. None for any other."""
    if isinstance(document, list):
        if any("wires" in entry for entry in _mappings(document)):
            return _sentence("a flow of Node-RED", "write each node as a step with an `action`, its wires as `needs`")
        return None
    if not isinstance(document, dict) or isinstance(document.get("steps"), list):
        return None
    return next((_sentence(what, do) for fits, what, do in _SYSTEMS if fits(document)), None)


def _sentence(what: str, do: str) -> str:
    return f"seems to be {what}, which cannot be loaded as it is; {do}: see docs/definitions.md"


def _mappings(value: Json) -> list[dict[str, Json]]:
    """Return the first mappings of a list, or of a mapping's values."""
    entries = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    return [entry for entry in islice(entries, _LOOKS) if isinstance(entry, dict)]


def _text(entry: Mapping[str, Json], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def _is_n8n(document: dict[str, Json]) -> bool:
    nodes = _mappings(document.get("nodes"))
    return (bool(nodes) and isinstance(document.get("connections"), dict)) or any(
        "n8n-nodes" in _text(node, "type") or _text(node, "type").startswith("@n8n/") for node in nodes
    )


def _is_drawing(document: dict[str, Json]) -> bool:
    """Whether it has nodes as React Flow draws them, and none of them says what it does."""
    nodes = _mappings(document.get("nodes"))
    return (
        bool(nodes)
        and any("position" in node for node in nodes)
        and not any(_text(node, "type") in _NODE_TYPES or "config" in node for node in nodes)
    )


def _is_github(document: dict[str, Json]) -> bool:
    jobs = _mappings(document.get("jobs"))
    steps = [step for job in jobs for step in _mappings(job.get("steps"))]
    return any("runs-on" in job or "uses" in job for job in jobs) or any("uses" in step for step in steps)


def _is_kestra(document: dict[str, Json]) -> bool:
    tasks = _mappings(document.get("tasks"))
    return bool(tasks) and ("namespace" in document or any("io.kestra." in _text(task, "type") for task in tasks))


def _is_windmill(document: dict[str, Json]) -> bool:
    value = document.get("value")
    return isinstance(value, dict) and isinstance(value.get("modules"), list)


def _is_serverless(document: dict[str, Json]) -> bool:
    head = document.get("document")
    return isinstance(head, dict) and "dsl" in head


def _is_gitlab(document: dict[str, Json]) -> bool:
    return any("script" in job for job in _mappings(document))


_SYSTEMS: tuple[tuple[Callable[[dict[str, Json]], bool], str, str], ...] = (
    (
        _is_n8n,
        "a workflow of n8n",
        "write each node as a step with an `action` (`httpRequest` is `http_request`), its connections as `needs`",
    ),
    (
        _is_drawing,
        "a drawing of React Flow, which says where nodes stand and not what they do",
        "give each node a `type` (trigger, action, condition or wait), and an action in `data.action`",
    ),
    (
        _is_github,
        "a workflow of GitHub Actions",
        "write each job's steps as `steps` with an `action` (`run` and `uses` have none here), its `needs` as `needs`",
    ),
    (_is_kestra, "a flow of Kestra", "write each task as a step with an `action` in place of its `type`"),
    (_is_windmill, "a flow of Windmill", "write each module as a step with an `action`; scripts become actions"),
    (
        lambda document: "StartAt" in document and isinstance(document.get("States"), dict),
        "a state machine of AWS Step Functions",
        "write each state as a step with an `action`, and `Next` as `needs` of the step that follows",
    ),
    (_is_serverless, "a Serverless Workflow", "write the tasks of `do` as `steps`, each with an `action`"),
    (
        lambda document: any("taskReferenceName" in task for task in _mappings(document.get("tasks"))),
        "a workflow of Conductor",
        "write each task as a step with an `action`",
    ),
    (
        lambda document: isinstance(document.get("apiVersion"), str) and isinstance(document.get("kind"), str),
        "a resource of Kubernetes",
        _STEPS,
    ),
    (
        lambda document: isinstance(document.get("services"), dict) and not document.keys() & {"nodes", "jobs"},
        "a file of Docker Compose",
        _STEPS,
    ),
    (lambda document: isinstance(document.get("openapi", document.get("swagger")), str), "an OpenAPI document", _STEPS),
    (
        lambda document: isinstance(document.get("jobs"), dict) and isinstance(document.get("workflows"), dict),
        "a configuration of CircleCI",
        _STEPS,
    ),
    (_is_gitlab, "a pipeline of GitLab CI", "write each job as a step with an `action`, its `needs` as `needs`"),
)
