"""The size of the chaos tests: the short form, which is part of `make test`, or the full form of `make chaos`."""

from __future__ import annotations

import math
import os
import random
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Size:
    """Times, which are shorter in the short form, and the choice of numbers for each form.

    `patience_seconds` is how long after the last fault runs may take to end before they count as stuck.
    """

    name: str
    lease_seconds: int
    repeat_seconds: float
    patience_seconds: float
    acks: tuple[str, ...]

    @property
    def full(self) -> bool:
        """Whether this is the full form, whose results are published."""
        return self.name == "full"

    def bound(self, seconds: float) -> float:
        """Return a bound on a time. The short form has none, because other tests run at the same time."""
        return seconds if self.full else math.inf

    def of(self, short: int, full: int) -> int:
        """Return the number for this form."""
        return full if self.full else short


SHORT = Size("short", lease_seconds=3, repeat_seconds=1.0, patience_seconds=120, acks=("mixed",))
FULL = Size("full", lease_seconds=20, repeat_seconds=10, patience_seconds=150, acks=("early", "late"))
SIZE = {"short": SHORT, "full": FULL}[os.environ.get("STEPWISE_CHAOS", "short")]
SEED = int(os.environ.get("STEPWISE_CHAOS_SEED", "20261121"))


@dataclass
class Dice:
    """Reproducible random numbers: the same seed and row give the same numbers."""

    row: str
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(f"{SEED}/{self.row}")
