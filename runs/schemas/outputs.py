"""Which large values an answer about a run has in itself, and which by a link: else it may be too large to be read.

The output of one step is the input of the next, so inputs and configs are as large.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import orjson

from actions.base import Json

# A larger value comes by a link, and so does what exceeds the second bound together with those before it. In bytes.
MOST_BYTES = 64 * 1024
MOST_BYTES_TOGETHER = 4 * 1024 * 1024


class Wanted(Enum):
    """Outputs that an answer is to have in itself."""

    ALL = "all"
    SMALL = "small"
    NONE = "none"


@dataclass(frozen=True)
class Links:
    """The addresses of what is left out. `output` takes a step, or None for the run."""

    step: Callable[[str], str]
    output: Callable[[str | None], str]


@dataclass
class Outputs:
    """Decides value by value. `left` is how many bytes the answer may still take."""

    links: Links
    wanted: Wanted = Wanted.SMALL
    left: int = field(default=MOST_BYTES_TOGETHER)

    def fits(self, value: Json) -> bool:
        """Whether a value, which may be the copy of an output, comes in the answer itself."""
        if value is None or self.wanted is Wanted.ALL:
            return True
        size = len(orjson.dumps(value))
        if size > min(MOST_BYTES, self.left):
            return False
        self.left -= size
        return True

    def split(self, output: Json, *, step: str | None) -> tuple[Json, str | None]:
        """Return the output and no link, or null and the link to it."""
        if output is None or (self.wanted is not Wanted.NONE and self.fits(output)):
            return output, None
        return None, self.links.output(step)
