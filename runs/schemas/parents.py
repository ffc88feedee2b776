"""The step of another run that started a run."""

from __future__ import annotations
