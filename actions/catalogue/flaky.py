"""The action `flaky`: fail by chance, reproducibly: the same ids and attempts fail again when a test is repeated."""

from __future__ import annotations

import hashlib
from typing import ClassVar

from pydantic import Field

from actions.base import Action, Config, Context, Example, Json, Output, Retryable


class FlakyConfig(Config):
    failure_rate: float = Field(
        default=0.5, ge=0, le=1, allow_inf_nan=False, description="Share of attempts that fail, 0 to 1"
    )


class FlakyOutput(Output):
    attempt: int = Field(description="The number of the attempt that succeeded, from 1")


class Flaky(Action[FlakyConfig]):
    name: ClassVar[str] = "flaky"
    summary: ClassVar[str] = "Fail a given share of attempts; a retry may succeed"
    description: ClassVar[str] = (
        "It is for demonstrations and tests of `retry`. Chance depends on the run, the step, the item and the "
        "attempt only, so an attempt that failed fails again when it is repeated, and the next one may succeed."
    )
    output: ClassVar[str] = '{"attempt": the attempt that succeeded}'
    output_class: ClassVar[type[Output] | None] = FlakyOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(title="Fail never", config={"failure_rate": 0}, output={"attempt": 1}),
        Example(title="Fail every attempt", config={"failure_rate": 1}, error="flaky"),
    )
    error_kinds: ClassVar[frozenset[str]] = frozenset({"flaky"})
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = FlakyConfig

    def perform(self, config: FlakyConfig, context: Context) -> Json:
        if _chance(context) < config.failure_rate:
            raise Retryable(f"attempt {context.attempt} failed by chance ({config.failure_rate:.0%})", kind="flaky")
        return {"attempt": context.attempt}


def _chance(context: Context) -> float:
    """Return a number from 0 up to 1, derived from run, step, item and attempt: reproducible, new for each attempt."""
    seed = f"{context.run_id}/{context.step}/{context.item}/{context.attempt}".encode()
    return int.from_bytes(hashlib.sha256(seed).digest()[:6], "big") / 2**48
