"""Group commit: requests that threads make while another one is at the database are executed together afterwards.

The first thread becomes the leader and executes its own request at once. Threads that come while it is at the database
wait in a queue. Then the first of them becomes the next leader and executes the requests of all that wait, as one
group: with one statement and one commit.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

Request = TypeVar("Request")
Result = TypeVar("Result")
Key = TypeVar("Key", bound=Hashable)


# Threads that have just got their results often make their next requests at once. If the last group held n requests,
# the next leader therefore waits up to 4 x 0.5 ms for n, as long as one more arrives in each 0.5 ms. This pays, because
# a statement over eight runs costs little more than one over two.
_LINGER_SECONDS = 0.0005
_LINGERS = 4
# After a group of several requests, more groups are expected for this time.
_BUSY_SECONDS = 0.05


class GroupCommit(Generic[Key, Request, Result]):
    """Executes requests with the same key in groups of at most `most`. On an idle system no request waits.

    `do` executes a group and returns one result per request, in their order; a result that is an exception is raised in
    the thread of its request, and an exception that `do` itself raises is raised in all threads of the group. `after`
    is called with the results of each group when all its threads have them.
    """

    def __init__(
        self,
        do: Callable[[Key, Sequence[Request]], Sequence[Result | Exception]],
        *,
        after: Callable[[Sequence[Result | Exception]], object],
        most: int,
    ) -> None:
        self._do = do
        self._after = after
        self._most = most
        self._lock = threading.Lock()
        # A key has a queue while a thread leads it.
        self._queues: dict[Key, _Queue[Request, Result]] = {}
        self._busy_until = 0.0
        # The key of the queue that was removed last, and the size of its last group.
        self._ended: tuple[Key | None, int] = (None, 0)

    def ask(self, key: Key, request: Request) -> Result:
        """Return the result of this request, which this or another thread executes. Raises what `do` has for it."""
        mine = _Waiter[Request, Result](request)
        with self._lock:
            queue = self._queues.get(key)
            if queue is None:
                self._queues[key] = self._new_queue(key)
                mine.leads = True
            else:
                queue.join(mine)
        # Not `if not mine.leads`: another thread may have set that already, and `turn` would stay released then.
        if queue is not None:
            mine.turn.acquire()
        if mine.leads:
            self._lead(key, mine)
        if isinstance(mine.result, BaseException):
            raise mine.result
        assert mine.result is not None  # noqa: S101 - the leader has set it
        return mine.result

    def waiting(self, key: Key) -> int:
        """Return how many threads wait while a group with this key is executed."""
        with self._lock:
            queue = self._queues.get(key)
            return len(queue.waiters) if queue is not None else 0

    def _lead(self, key: Key, leader: _Waiter[Request, Result]) -> None:
        group = self._gather(key, leader)
        results = self._execute(key, group)
        self._hand_on(key, size=len(group))
        self._after(results)

    def _gather(self, key: Key, leader: _Waiter[Request, Result]) -> list[_Waiter[Request, Result]]:
        """Return the leader and the waiters of its group, after a short wait if more of them are expected."""
        # Lets threads run that are about to make a request. It takes a tenth of a millisecond when there are none.
        if time.monotonic() < self._busy_until:
            time.sleep(0)
        with self._lock:
            queue = self._queues[key]
            lingers = queue.expects_more(leader, most=self._most)
        if lingers:
            queue.linger(leader)
        with self._lock:
            return queue.leave(leader, most=self._most)

    def _execute(self, key: Key, group: Sequence[_Waiter[Request, Result]]) -> Sequence[Result | Exception]:
        """Give each waiter its result and wake all but the leader. Returns what `do` returned; empty if it raised."""
        results: Sequence[Result | Exception] = ()
        try:
            results = self._do(key, [waiter.request for waiter in group])
            for waiter, result in zip(group, results, strict=True):
                waiter.result = result
        except BaseException as error:  # of any kind: otherwise the other threads of the group would wait for ever
            for waiter in group:
                waiter.result = error
        for waiter in group[1:]:
            waiter.turn.release()
        return results

    def _new_queue(self, key: Key) -> _Queue[Request, Result]:
        """Return a new queue; if the last queue had this key and a group of several, it expects as many again."""
        queue = _Queue[Request, Result]()
        if time.monotonic() < self._busy_until and self._ended[0] == key:
            queue.expected = self._ended[1]
        return queue

    def _hand_on(self, key: Key, *, size: int) -> None:
        """Make the first waiter the next leader; if nobody waits, remove the queue. `size`: of this group."""
        with self._lock:
            queue = self._queues[key]
            if not queue.waiters:
                del self._queues[key]
                self._ended = (key, size)
                if size > 1:
                    self._busy_until = time.monotonic() + _BUSY_SECONDS
                return
            queue.expected = size + len(queue.waiters)
            self._busy_until = time.monotonic() + _BUSY_SECONDS
            leader = queue.waiters.popleft()
        leader.leads = True
        leader.turn.release()


class _Waiter(Generic[Request, Result]):
    """The request of one thread, and its result."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.result: Result | BaseException | None = None
        self.leads = False
        # Released by another thread when this one is to go on: as the next leader, or because it has its result.
        self.turn = threading.Lock()
        self.turn.acquire()


class _Queue(Generic[Request, Result]):
    """The waiters behind a leader. All methods but `linger` are called while GroupCommit's lock is held."""

    def __init__(self) -> None:
        self.waiters: deque[_Waiter[Request, Result]] = deque()
        # The size of the next group that the leader waits for: the last group and those that were waiting behind it.
        self.expected = 0
        self._lingering: _Waiter[Request, Result] | None = None

    def join(self, waiter: _Waiter[Request, Result]) -> None:
        """Append the waiter; if the group has its expected size now, the lingering leader goes on."""
        self.waiters.append(waiter)
        if self._lingering is not None and 1 + len(self.waiters) >= self.expected:
            self._lingering.turn.release()
            self._lingering = None

    def expects_more(self, leader: _Waiter[Request, Result], *, most: int) -> bool:
        """Whether the leader is to linger because fewer waiters are here than expected."""
        self.expected = min(self.expected, most)
        if 1 + len(self.waiters) >= self.expected:
            return False
        self._lingering = leader
        return True

    def linger(self, leader: _Waiter[Request, Result]) -> None:
        """Wait until `join` releases the leader, for at most _LINGERS pauses; stop after one in which nobody joined."""
        waiting = len(self.waiters)
        for _ in range(_LINGERS):
            if leader.turn.acquire(timeout=_LINGER_SECONDS):
                return
            before, waiting = waiting, len(self.waiters)
            if waiting == before:
                return

    def leave(self, leader: _Waiter[Request, Result], *, most: int) -> list[_Waiter[Request, Result]]:
        """Remove the waiters that belong to the leader's group, and return the leader and them."""
        self._lingering = None
        return [leader, *(self.waiters.popleft() for _ in range(min(len(self.waiters), most - 1)))]
