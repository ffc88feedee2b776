"""Reject a step that waits for approval, by hand."""

from __future__ import annotations

from runs.control import verbs
from runs.management.commands import approve_step
from runs.management.commands._by_hand import help_of


class Command(approve_step.Command):
    control_verb = verbs.REJECT
    help = f"{help_of(verbs.REJECT)} The step's approvers are not asked."
