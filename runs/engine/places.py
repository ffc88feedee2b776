"""Places for attempts, shared between the workspaces that have work."""

from __future__ import annotations

from uuid import UUID

# The part of the places, beside those that one workspace may have, that is kept for workspaces that come later.
_RESERVE = 5


class Places:
    """`size` places, which one workspace may have alone, and a fifth more in reserve for others. Not thread-safe.

    A workspace gets a place while more than the reserve is free, and up to its equal share even from the reserve. So a
    workspace that comes later finds a place at once; and each place that another one gives back above its share goes to
    those below theirs. For example, of 50 places, and 10 in reserve: A has 50, B comes and gets the 10; as A's attempts
    end, B gets up to 30 and A keeps 30. If B needs 2 only, A has 48.
    """

    def __init__(self, size: int) -> None:
        self._reserve = max(1, size // _RESERVE) if size else 0
        self._total = size + self._reserve
        self._held: dict[UUID | None, int] = {}
        self.free = self._total

    def take(self, most: int, *, workspace: UUID | None) -> int:
        """Take up to `most` places for a workspace; return how many it got."""
        mine = self._held.get(workspace, 0)
        # A workspace that is alone shares with the one that may come next.
        share = self._total // max(2, len(self._held) + (not mine))
        got = max(0, min(most, max(self.free - self._reserve, min(self.free, share - mine))))
        if got:
            self._held[workspace] = mine + got
            self.free -= got
        return got

    def give_back(self, count: int, *, workspace: UUID | None) -> None:
        """Give back places of a workspace."""
        left = self._held.get(workspace, 0) - count
        self.free += count
        if left > 0:
            self._held[workspace] = left
        else:
            self._held.pop(workspace, None)
