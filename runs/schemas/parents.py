"""Which step of another run started a run."""

from __future__ import annotations
