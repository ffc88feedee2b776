"""Translate a workflow that is given as nodes and edges into a list of steps."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from actions.base import Json
from workflows.definitions.complaints import shown
from workflows.definitions.definition import STEP_ID, Definition
from workflows.definitions.errors import join_path, nearest
from workflows.formats.steps import Draft, slug

# Keys that only a drawing of the graph needs; they are accepted and dropped.
_NODE_DRAWING = {"position", "label"}
_EDGE_DRAWING = {"id", "label"}
_NODE_KEYS = {"id", "type", "name", "data", "config"}
_EDGE_KEYS = {"source", "target", "condition"}
_ACTION_KEYS = {"action", "config", "retry", "max_retries", "timeout", "on_error", "compensate"}
_WAIT_KEYS = {"seconds", "for", "until", "timezone"}
_TYPES = ("trigger", "action", "condition", "wait")
_CONDITIONS = {"true": True, "false": False}


@dataclass(frozen=True)
class _Edge:
    source: str
    target: str
    condition: bool | None
    path: str


def read_graph(nodes: Json, edges: Json, *, draft: Draft) -> list[Json]:
    """Translate nodes and edges into steps with explicit `needs`, for read_steps. Adds faults to the draft."""
    ids, kinds = _read_ids(nodes, draft=draft)
    read = _read_edges(edges, ids=ids, kinds=kinds, draft=draft)
    if draft.problems or not isinstance(nodes, list):
        return []
    incoming: dict[str, list[_Edge]] = defaultdict(list)
    for edge in read:
        incoming[edge.target].append(edge)
    taken = set(ids.values())
    steps: list[Json] = []
    for index, node in enumerate(nodes):
        if isinstance(node, dict):
            key = str(node["id"])
            passes = _connect(incoming[key], ids=ids, taken=taken)
            position = len(steps) + len(passes)
            step = _step(node, identity=ids[key], path=f"nodes[{index}]", position=position, draft=draft)
            conditional = [edge for edge in incoming[key] if edge.condition is not None]
            for offset, edge in enumerate(conditional):
                carrier = len(steps) + offset if passes else position
                draft.origins[f"steps[{carrier}].if"] = f"{edge.path}.condition"
            steps += [*passes, {**step, **_joined(incoming[key], passes, ids=ids)}]
    return steps


def _read_ids(nodes: Json, *, draft: Draft) -> tuple[dict[str, str], dict[str, Json]]:
    """Return, by the node's own id, the step id and the type of each node."""
    ids: dict[str, str] = {}
    kinds: dict[str, Json] = {}
    if not isinstance(nodes, list) or not nodes:
        draft.refuse("nodes", f"must be a list of at least one node, not {shown(nodes)}")
        return ids, kinds
    if len(nodes) > Definition.MAX_STEPS:
        draft.refuse(
            "nodes", f"has {len(nodes):,} nodes; {Definition.MAX_STEPS:,} are the limit, so split the workflow"
        )
        return ids, kinds
    taken: set[str] = set()
    for index, node in enumerate(nodes):
        path = f"nodes[{index}]"
        if not isinstance(node, dict):
            draft.refuse(path, f"must be a mapping with id, type and data, not {shown(node)}")
            continue
        key = _identity(node.get("id"))
        if key is None:
            draft.refuse(f"{path}.id", f"must be a text, not {shown(node.get('id'))}")
        elif key in ids:
            draft.refuse(f"{path}.id", f"{shown(key)} is given to two nodes; name one otherwise")
        else:
            identity = key if STEP_ID.fullmatch(key) else slug(key, position=index)
            if identity in taken and identity != key:
                draft.refuse(f"{path}.id", f"gives the step id {identity!r}, which another node has; rename one")
            ids[key], kinds[key] = identity, node.get("type")
            taken.add(identity)
    return ids, kinds


def _read_edges(edges: Json, *, ids: dict[str, str], kinds: dict[str, Json], draft: Draft) -> list[_Edge]:
    if not isinstance(edges, list):
        draft.refuse("edges", f"must be a list of edges, not {shown(edges)}")
        return []
    unique: dict[tuple[str, str, bool | None], _Edge] = {}
    for index, given in enumerate(edges):
        edge = _read_edge(given, ids=ids, path=f"edges[{index}]", draft=draft)
        if edge is None:
            continue
        _check_kinds(edge, kinds=kinds, draft=draft)
        twin = unique.setdefault((edge.source, edge.target, edge.condition), edge)
        if twin is not edge:
            draft.refuse(edge.path, f"is the same as {twin.path}; keep one of them")
    return list(unique.values())


def _read_edge(given: Json, *, ids: dict[str, str], path: str, draft: Draft) -> _Edge | None:
    if not isinstance(given, dict):
        draft.refuse(path, f"must be a mapping with source and target, not {shown(given)}")
        return None
    _known_keys(given, _EDGE_KEYS, drawing=_EDGE_DRAWING, path=path, draft=draft)
    source = _end(given, "source", ids=ids, path=path, draft=draft)
    target = _end(given, "target", ids=ids, path=path, draft=draft)
    condition = _condition(given.get("condition"), path=path, draft=draft)
    return None if source is None or target is None else _Edge(source, target, condition, path)


def _check_kinds(edge: _Edge, *, kinds: dict[str, Json], draft: Draft) -> None:
    """Refuse an edge that the types of its two nodes do not permit."""
    if edge.source == edge.target:
        draft.refuse(f"{edge.path}.target", f"leads from {shown(edge.source)} to itself; a graph has no loops")
    elif kinds[edge.target] == "trigger":
        draft.refuse(f"{edge.path}.target", f"{shown(edge.target)} is a trigger, and nothing comes before a trigger")
    elif edge.condition is not None and kinds[edge.source] != "condition":
        message = f"{shown(edge.source)} is no condition node; only those have a true and a false side"
        draft.refuse(f"{edge.path}.condition", message)


def _end(edge: dict[str, Json], key: str, *, ids: dict[str, str], path: str, draft: Draft) -> str | None:
    end = _identity(edge.get(key))
    if end in ids:
        return end
    word = "is required" if end is None else f"there is no node {shown(end)}{nearest(end, ids)}"
    draft.refuse(f"{path}.{key}", word)
    return None


def _condition(value: Json, *, path: str, draft: Draft) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _CONDITIONS:
        return _CONDITIONS[value.lower()]
    draft.refuse(f"{path}.condition", f"must be true or false, not {shown(value)}")
    return None


def _connect(edges: list[_Edge], *, ids: dict[str, str], taken: set[str]) -> list[dict[str, Json]]:
    """Return the extra steps for conditional edges into a node that has several edges.

    A step has only one `if`, so each conditional edge becomes a `default` step of its own, with the condition as its
    `if`, for example `check_true_to_mail`.
    """
    passes: list[dict[str, Json]] = []
    for edge in edges if len(edges) > 1 else []:
        if edge.condition is not None:
            word = "true" if edge.condition else "false"
            identity = _free(f"{ids[edge.source]}_{word}_to_{ids[edge.target]}", taken=taken)
            source: Json = ids[edge.source]
            passes.append({"id": identity, "action": "default", "needs": [source], "if": _side(edge, ids=ids)})
    return passes


def _joined(edges: list[_Edge], passes: list[dict[str, Json]], *, ids: dict[str, str]) -> dict[str, Json]:
    if len(edges) == 1:
        only = edges[0]
        needs: dict[str, Json] = {"needs": [ids[only.source]]}
        return needs if only.condition is None else {**needs, "if": _side(only, ids=ids)}
    carriers = iter(passes)
    parents: list[Json] = [ids[e.source] if e.condition is None else next(carriers)["id"] for e in edges]
    return {"needs": parents, "join": "none_failed"} if parents else {"needs": []}


def _side(edge: _Edge, *, ids: dict[str, str]) -> str:
    result = f"steps.{ids[edge.source]}.output.result"
    return result if edge.condition else f"not {result}"


def _free(identity: str, *, taken: set[str]) -> str:
    candidate, number = identity[:64], 1
    while candidate in taken:
        number += 1
        candidate = f"{identity[:58]}_{number}"
    taken.add(candidate)
    return candidate


def _step(node: dict[str, Json], *, identity: str, path: str, position: int, draft: Draft) -> dict[str, Json]:
    """Return the step of one node, without the `needs`, `join` and `if` that its edges give it."""
    _known_keys(node, _NODE_KEYS, drawing=_NODE_DRAWING, path=path, draft=draft)
    word = "config" if "data" not in node and "config" in node else "data"
    if "data" in node and "config" in node:
        draft.refuse(f"{path}.config", "means the same as data, which is given too; keep one of them")
    data = node.get(word) if node.get(word) is not None else {}
    name = node.get("name", node["id"])
    step: dict[str, Json] = {"id": identity, **({} if name == identity else {"name": str(name)})}
    draft.origins[f"steps[{position}]"] = path
    draft.origins[f"steps[{position}].needs"] = "edges"
    draft.origins[f"steps[{position}].with"] = f"{path}.{word}"
    if not isinstance(data, dict):
        draft.refuse(f"{path}.{word}", f"must be a mapping, not {shown(data)}")
        return step
    where = f"{path}.{word}"
    if node.get("type") == "action":
        draft.origins[f"steps[{position}].with"] = f"{where}.config"
        _known_keys(data, _ACTION_KEYS, drawing=set(), path=where, draft=draft)
        for key in _ACTION_KEYS:
            draft.origins.setdefault(f"steps[{position}].{key}", f"{where}.{key}")
        return {**step, **data}
    return {**step, **_builtin(node.get("type"), data, path=path, where=where, draft=draft)}


def _builtin(kind: Json, data: dict[str, Json], *, path: str, where: str, draft: Draft) -> dict[str, Json]:
    if kind == "trigger":
        if data:
            draft.warnings.append(f"{where} is not kept: this version starts a workflow by hand or through the API")
        return {"action": "default"}
    if kind == "condition":
        _known_keys(data, {"expression"}, drawing=set(), path=where, draft=draft)
        return {"action": "condition", "with": data}
    if kind == "wait":
        _known_keys(data, _WAIT_KEYS, drawing=set(), path=where, draft=draft)
        return {"action": "wait", "with": data}
    hint = nearest(str(kind), _TYPES)
    draft.refuse(f"{path}.type", f"must be trigger, action, condition or wait, not {shown(kind)}{hint}")
    return {"action": "default"}


def _identity(value: Json) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value) or None


def _known_keys(given: dict[str, Json], known: set[str], *, drawing: set[str], path: str, draft: Draft) -> None:
    for key in given.keys() - known - drawing:
        draft.refuse(join_path(path, key), f"is not a known key{nearest(key, known)}")
