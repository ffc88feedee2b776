"""Reject a step that waits for approval, by hand."""

from __future__ import annotations

from typing import ClassVar

from runs.management.commands import approve_step


class Command(approve_step.Command):
    approved: ClassVar[bool] = False
