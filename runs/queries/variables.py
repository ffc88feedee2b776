"""The statement that reads the variables of a workspace. The engine asks it only for versions that read some."""

from __future__ import annotations

from runs.queries.database import Statement

VARIABLES = Statement(
    "variables", "SELECT name, value::text FROM workflows_variable WHERE workspace_id = %(workspace)s::uuid"
)
