"""Which outputs an answer has in itself, and which by a link: large ones would make it too large to be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import orjson

from actions.base import Json

# A larger output comes by a link, and so does what exceeds the second bound together with those before it. In bytes.
MOST_BYTES = 64 * 1024
MOST_BYTES_TOGETHER = 4 * 1024 * 1024


class Wanted(Enum):
    """Outputs that an answer is to have in itself."""

    ALL = "all"
    SMALL = "small"
    NONE = "none"


@dataclass
class Outputs:
    """Decides output by output. `address` makes the link to the output of a step, or to the run's for None."""

    address: Callable[[str | None], str]
    wanted: Wanted = Wanted.SMALL
    left: int = field(default=MOST_BYTES_TOGETHER)

    def split(self, output: Json, *, step: str | None) -> tuple[Json, str | None]:
        """Return the output and no link, or null and the link to it."""
        if output is None or self.wanted is Wanted.ALL:
            return output, None
        if self.wanted is Wanted.SMALL:
            size = len(orjson.dumps(output))
            if size <= min(MOST_BYTES, self.left):
                self.left -= size
                return output, None
        return None, self.address(step)
