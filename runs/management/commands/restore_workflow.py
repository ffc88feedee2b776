"""Restore a workflow by hand."""

from __future__ import annotations

from runs.control import archives, verbs
from runs.management.commands._archiving import Archiving


class Command(Archiving):
    control_verb = verbs.RESTORE_WORKFLOW
    verb = staticmethod(archives.restore)
    help = f"{verbs.RESTORE_WORKFLOW.does} Exit status: 0 done, 1 refused, 2 bad input."
