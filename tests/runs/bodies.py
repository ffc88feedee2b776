"""What each operation of the API is sent by the test of all ways in, and by which method."""

from __future__ import annotations

from typing import Any

BODIES: dict[str, Any] = {
    "workflows_start": {"input": {}},
    "workflows_start_bulk": [{"input": {}}],
    "jobs_start": {"type": "default"},
    "workflows_publish": {"name": "new", "steps": [{"id": "a", "action": "default"}]},
    "workflows_publish with a first run": {
        "name": "job",
        "steps": [{"name": "a", "type": "default", "payload": {"a": 1}}],
    },
    "signals_send": {"name": "paid", "key": "4711"},
    "runs_signal": {"name": "paid"},
    "workspace_change": {"keep_days": 30},
    "tokens_make": {"name": "made here"},
    "workflows_rename": {"name": "renamed"},
    "credentials_create": {
        "name": "crm",
        "kind": "bearer",
        "values": {"token": "a-secret-4711"},
        "hosts": ["a.example"],
    },
}
# Those that are no POST.
METHODS = {"workspace_change": "PATCH", "workflows_rename": "PATCH", "tokens_delete": "DELETE"}
