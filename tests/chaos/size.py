"""How much of it: the short form that belongs to `make test`, or the full form of `make chaos`."""

from __future__ import annotations

import math
import os
import random
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Size:
    """Seconds that the short form compresses, and how many of anything there are in each form.

    `patience_seconds` is how long runs may take to end after the last fault before they count as stuck.
    """

    name: str
    lease_seconds: int
    repeat_seconds: float
    patience_seconds: float
    acks: tuple[str, ...]

    @property
    def full(self) -> bool:
        """Whether this is the form whose results are published."""
        return self.name == "full"

    def bound(self, seconds: float) -> float:
        """A bound on a time in the full form; the short one runs beside anything, and measures none."""
        return seconds if self.full else math.inf

    def of(self, short: int, full: int) -> int:
        """One number or the other."""
        return full if self.full else short


SHORT = Size("short", lease_seconds=3, repeat_seconds=1.0, patience_seconds=120, acks=("mixed",))
FULL = Size("full", lease_seconds=20, repeat_seconds=10, patience_seconds=150, acks=("early", "late"))
SIZE = {"short": SHORT, "full": FULL}[os.environ.get("STEPWISE_CHAOS", "short")]
SEED = int(os.environ.get("STEPWISE_CHAOS_SEED", "20261121"))


@dataclass
class Dice:
    """Chance that can be repeated: the same seed and row, the same throws."""

    row: str
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(f"{SEED}/{self.row}")
