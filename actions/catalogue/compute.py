"""The action `compute`: use a given amount of processor time, for demonstrations and load tests."""

from __future__ import annotations

import hashlib
from typing import ClassVar

from pydantic import Field

from actions.base import ONCE, Action, Config, Context, Example, Json, Output, Retry
from actions.texts import Whole


class ComputeConfig(Config):
    iterations: Whole = Field(default=1000, ge=0, le=50_000_000, description="How many hashes to chain")


class ComputeOutput(Output):
    iterations: int = Field(description="How many hashes were chained")
    result: str = Field(description="The last hash, in hex")


class Compute(Action[ComputeConfig]):
    """A chain of sha256: each round hashes the result of the one before, so no round can be skipped."""

    name: ClassVar[str] = "compute"
    summary: ClassVar[str] = "Compute a chain of `iterations` hashes; the result is always the same"
    description: ClassVar[str] = (
        "Each round hashes the result of the one before with SHA-256, so that no round can be skipped and the time "
        "grows with `iterations`: a million take about half a second. It is for demonstrations and load tests."
    )
    output: ClassVar[str] = '{"iterations": number, "result": sha256 in hex}'
    output_class: ClassVar[type[Output] | None] = ComputeOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="Chain two hashes",
            config={"iterations": 2},
            output={"iterations": 2, "result": "5df6e0e2761359d30a8275058e299fcc0381534545f55cf43e41983f5d4c9456"},
        ),
    )
    pure: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = ComputeConfig

    def perform(self, config: ComputeConfig, context: Context) -> Json:
        digest = b""
        for _ in range(config.iterations):
            digest = hashlib.sha256(digest).digest()
        return {"iterations": config.iterations, "result": digest.hex()}
