"""Names of workflows that cannot stand in an address, such as /api/v1/workflows/{name}/pause."""

from __future__ import annotations

from uuid import UUID

# Of a workflow's name: no control characters, and `_` at its beginning is the engine's own.
NAME_PATTERN = r"^[^_\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
# What follows a workflow's name in addresses; tests/runs/api/test_names.py compares them with runs/api/urls.py.
BEHIND_NAMES = ("archive", "delete", "pause", "restore", "resume", "runs", "runs/bulk")


def name_fault(name: str) -> str | None:
    """Return why no workflow may be published under this name, or None. Those that have such a name go on working."""
    for ending in BEHIND_NAMES:
        if name.endswith(f"/{ending}"):
            return f"ends in /{ending}, as an address of another workflow does; name it otherwise"
    parts = name.split("/")
    if "" in parts and len(parts) > 1:
        return "has a slash at its end or two in a row, which addresses do not keep; leave it out"
    if {".", ".."} & set(parts):
        return "has a part . or .., which addresses do not keep; leave it out"
    return "reads as an id, and would stand for another workflow; name it otherwise" if _is_id(name) else None


def _is_id(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True
