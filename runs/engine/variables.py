"""Give work the variables of its workspace, if its version reads any: they are read each time that work begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from runs.engine.work import Work
from runs.planning.plan import Plan
from runs.queries.database import run
from runs.queries.values import loads
from runs.queries.variables import VARIABLES

Headed = TypeVar("Headed")


def with_variables(work: Sequence[tuple[Headed, Work]], *, plan: Plan) -> list[tuple[Headed, Work]]:
    """Return the work with the variables; by one statement, and by none if the version reads no variable."""
    if not plan.reads_variables or not work:
        return list(work)
    found = {name: loads(text) for name, text in run(VARIABLES, workspace=plan.workspace_id)}
    return [(head, one._replace(variables=found)) for head, one in work]
