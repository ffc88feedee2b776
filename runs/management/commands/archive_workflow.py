"""Archive a workflow by hand."""

from __future__ import annotations

from runs.control import archives, verbs
from runs.management.commands._archiving import Archiving


class Command(Archiving):
    control_verb = verbs.ARCHIVE_WORKFLOW
    verb = staticmethod(archives.archive)
    help = f"{verbs.ARCHIVE_WORKFLOW.does} Exit status: 0 done, 1 refused, 2 bad input."
