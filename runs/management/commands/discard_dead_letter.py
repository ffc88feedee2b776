"""Discard dead letters by hand."""

from __future__ import annotations

from runs.control import verbs
from runs.management.commands._by_hand import help_of
from runs.management.commands._over_dead_letters import OverDeadLetters


class Command(OverDeadLetters):
    control_verb = verbs.DISCARD
    help = help_of(verbs.DISCARD)
