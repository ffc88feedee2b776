"""Keys of nodes and edges that only a drawing of the graph needs: they are accepted and left out."""

from __future__ import annotations

_BOTH = (
    "label",
    "style",
    "className",
    "selected",
    "selectable",
    "deletable",
    "focusable",
    "hidden",
    "zIndex",
    "ariaLabel",
    "ariaRole",
    "domAttributes",
)
NODE_KEYS = frozenset(
    (
        *_BOTH,
        "position",
        "positionAbsolute",
        "origin",
        "width",
        "height",
        "initialWidth",
        "initialHeight",
        "measured",
        "dragging",
        "draggable",
        "dragHandle",
        "connectable",
        "resizing",
        "handles",
        "sourcePosition",
        "targetPosition",
        "extent",
        "expandParent",
        "parentId",
        "parentNode",
    )
)
EDGE_KEYS = frozenset(
    (
        *_BOTH,
        "id",
        "type",
        "animated",
        "sourceHandle",
        "targetHandle",
        "markerStart",
        "markerEnd",
        "labelStyle",
        "labelShowBg",
        "labelBgStyle",
        "labelBgPadding",
        "labelBgBorderRadius",
        "interactionWidth",
        "pathOptions",
        "updatable",
        "reconnectable",
    )
)
