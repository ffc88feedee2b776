"""The interval by which the tickets of paused runs are moved into the future, so that they are not due."""

from __future__ import annotations

# 7,000 years: no message is sent for such a ticket, and no claim accepts it. A resume subtracts the same interval.
PAUSE = "interval '61362000 hours'"

PAUSED_FROM = "timestamptz '8000-01-01'"
