"""Pause runs by hand."""

from __future__ import annotations

from runs.control import verbs
from runs.management.commands._by_hand import help_of
from runs.management.commands._over_runs import OverRuns


class Command(OverRuns):
    control_verb = verbs.PAUSE
    help = help_of(verbs.PAUSE)
