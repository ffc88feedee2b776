"""Group commit: what several threads ask for while one of them is at the database goes there together."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
Key = TypeVar("Key", bound=Hashable)


# Those who have just been served often ask again at once: where several were there, the next group waits for as many,
# while at least one comes in so long, so often. A statement over eight runs costs little more than one over two.
_LINGER_SECONDS = 0.0005
_LINGERS = 4
# For so long after several were there others are expected.
_BUSY_SECONDS = 0.05


class Gathering(Generic[Key, Asked, Answer]):
    """A line of askers for each key; the first is served at once, those that come meanwhile in one go after it.

    `do` answers each asker, or with the exception that is to be raised in its thread; one that `do` raises is every
    asker's. `after` is called with the answers of each group, when its askers have them. Nobody waits when idle.
    """

    def __init__(
        self,
        do: Callable[[Key, Sequence[Asked]], Sequence[Answer | Exception]],
        *,
        after: Callable[[Sequence[Answer | Exception]], object],
        most: int,
    ) -> None:
        self._do = do
        self._after = after
        self._most = most
        self._lock = threading.Lock()
        # A key is there while somebody leads its line.
        self._lines: dict[Key, _Line[Asked, Answer]] = {}
        self._busy_until = 0.0
        # The line that ended last, and how many were served there together.
        self._ended: tuple[Key | None, int] = (None, 0)

    def ask(self, key: Key, asked: Asked) -> Answer:
        """The answer to this asker, by whichever thread is at it. Raises what `do` has for it."""
        mine = _Waiter[Asked, Answer](asked)
        with self._lock:
            line = self._lines.get(key)
            if line is None:
                self._lines[key] = self._begun(key)
                mine.leads = True
            else:
                line.join(mine)
        # Not by `leads`, which whoever hands on may set before this thread looks: its turn would stay free then.
        if line is not None:
            mine.turn.acquire()
        if mine.leads:
            self._lead(key, mine)
        if isinstance(mine.answer, BaseException):
            raise mine.answer
        assert mine.answer is not None  # noqa: S101 - whoever led has told it
        return mine.answer

    def waiting(self, key: Key) -> int:
        """How many wait for those who are being served now."""
        with self._lock:
            line = self._lines.get(key)
            return len(line.waiters) if line is not None else 0

    def _lead(self, key: Key, leader: _Waiter[Asked, Answer]) -> None:
        group = self._gather(key, leader)
        answers = self._serve(key, group)
        self._hand_on(key, served=len(group))
        self._after(answers)

    def _gather(self, key: Key, leader: _Waiter[Asked, Answer]) -> list[_Waiter[Asked, Answer]]:
        """The leader and those who go with it, after a short wait for more of them if more are expected."""
        # Others who are on their way get the processor first. It takes a tenth of a millisecond when nobody is.
        if time.monotonic() < self._busy_until:
            time.sleep(0)
        with self._lock:
            line = self._lines[key]
            lingers = line.awaits_more(leader, most=self._most)
        if lingers:
            line.linger(leader)
        with self._lock:
            return line.leave(leader, most=self._most)

    def _serve(self, key: Key, group: Sequence[_Waiter[Asked, Answer]]) -> Sequence[Answer | Exception]:
        """Answer each of the group and let all but its leader go; returns what `do` returned, nothing if it raised."""
        answers: Sequence[Answer | Exception] = ()
        try:
            answers = self._do(key, [waiter.asked for waiter in group])
            for waiter, answer in zip(group, answers, strict=True):
                waiter.answer = answer
        except BaseException as error:  # whatever it is, those who wait must be told
            for waiter in group:
                waiter.answer = error
        for waiter in group[1:]:
            waiter.turn.release()
        return answers

    def _begun(self, key: Key) -> _Line[Asked, Answer]:
        """A new line; where several were served together a moment ago, as many are expected in it."""
        line = _Line[Asked, Answer]()
        if time.monotonic() < self._busy_until and self._ended[0] == key:
            line.usual = self._ended[1]
        return line

    def _hand_on(self, key: Key, *, served: int) -> None:
        """Let the first of those who came meanwhile lead."""
        with self._lock:
            line = self._lines[key]
            if not line.waiters:
                del self._lines[key]
                self._ended = (key, served)
                if served > 1:
                    self._busy_until = time.monotonic() + _BUSY_SECONDS
                return
            line.usual = served + len(line.waiters)
            self._busy_until = time.monotonic() + _BUSY_SECONDS
            leader = line.waiters.popleft()
        leader.leads = True
        leader.turn.release()


class _Waiter(Generic[Asked, Answer]):
    """One asker's place in the line."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.answer: Answer | BaseException | None = None
        self.leads = False
        # Held until it is this asker's turn, to lead or to go.
        self.turn = threading.Lock()
        self.turn.acquire()


class _Line(Generic[Asked, Answer]):
    """Those who wait behind a leader and the group that is served. To be touched under the lock only."""

    def __init__(self) -> None:
        self.waiters: deque[_Waiter[Asked, Answer]] = deque()
        # How many were there when the last group had been served, with those who waited.
        self.usual = 0
        self._lingering: _Waiter[Asked, Answer] | None = None

    def join(self, waiter: _Waiter[Asked, Answer]) -> None:
        """At its end; a leader who waits for this many goes on."""
        self.waiters.append(waiter)
        if self._lingering is not None and 1 + len(self.waiters) >= self.usual:
            self._lingering.turn.release()
            self._lingering = None

    def awaits_more(self, leader: _Waiter[Asked, Answer], *, most: int) -> bool:
        """Whether the leader is to wait, until `turn` says that as many have come as there usually are."""
        self.usual = min(self.usual, most)
        if 1 + len(self.waiters) >= self.usual:
            return False
        self._lingering = leader
        return True

    def linger(self, leader: _Waiter[Asked, Answer]) -> None:
        """Wait, without the lock, until `join` says that enough have come, or until nobody came for one pause."""
        waiting = len(self.waiters)
        for _ in range(_LINGERS):
            if leader.turn.acquire(timeout=_LINGER_SECONDS):
                return
            before, waiting = waiting, len(self.waiters)
            if waiting == before:
                return

    def leave(self, leader: _Waiter[Asked, Answer], *, most: int) -> list[_Waiter[Asked, Answer]]:
        """The leader and those who go with it."""
        self._lingering = None
        return [leader, *(self.waiters.popleft() for _ in range(min(len(self.waiters), most - 1)))]
