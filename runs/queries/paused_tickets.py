"""The statements that keep the tickets of paused runs from being due."""

from __future__ import annotations

# A paused run's tickets lie so far ahead that nothing knocks or claims; resuming takes the same away again.
PAUSE = "interval '61362000 hours'"

PAUSED_FROM = "timestamptz '8000-01-01'"
