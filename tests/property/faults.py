"""Processes that die before a statement, and workers that stop in the middle and come back at any time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection
from django.test import override_settings

from runs.engine import recorder
from runs.queries import database
from tests.waiting import wait_for

# With what a record begins, or the transaction that also holds an effect. No lock is held before it.
_RECORDS = ("path_", "fence_", "lock_signal_keys", "limit_statements")
_PATIENCE_SECONDS = 60


class Died(BaseException):
    """The process is no more. No Exception: nothing in the engine may catch it."""


@contextmanager
def dying(before: int | None) -> Iterator[None]:
    """Inside the block, this thread dies before its so-many-th statement; None: it lives."""
    me, left = threading.get_ident(), [before]

    def count(name: str) -> None:
        if threading.get_ident() == me and left[0] is not None:
            if left[0] == 0:
                raise Died(name)
            left[0] -= 1

    with _observing(count):
        yield


class Stopped:
    """A delivery that stands still once it has performed its step, and before the first statement of its record."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._stands, self._goes, self._dies = threading.Event(), threading.Event(), False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._perform, daemon=True)
        self._thread.start()
        while not self._stands.wait(0.001) and self._thread.is_alive():
            pass

    @property
    def stands(self) -> bool:
        """Whether it came to the point; else it has ended, with nothing to record."""
        return self._stands.is_set()

    def go_on(self) -> None:
        """Let it record what it has, and end."""
        self._goes.set()
        self._thread.join(_PATIENCE_SECONDS)
        assert not self._thread.is_alive()
        if self._failure is not None:
            raise self._failure

    def die(self) -> None:
        """Let it end where it stands."""
        self._dies = True
        self._goes.set()
        self._thread.join(_PATIENCE_SECONDS)

    def _perform(self) -> None:
        try:
            with _observing(self._stop):
                self._work()
        except Died:
            pass
        except BaseException as error:  # raised where somebody asks for it
            self._failure = error
        finally:
            connection.close()

    def _stop(self, name: str) -> None:
        mine = threading.current_thread() is self._thread
        if mine and name.startswith(_RECORDS) and not self._stands.is_set():
            self._stands.set()
            self._goes.wait(_PATIENCE_SECONDS)
            if self._dies:
                raise Died(name)


class LeftBehind:
    """A delivery that has left its steps behind, and a recorder that stands still before its first record.

    Whatever it records later, it records as another thread than that of any delivery.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        recorder._forget()
        self._recorder = recorder.current()
        self._at_record, self._goes = threading.Event(), threading.Event()
        database._observers.append(self._stop)
        with override_settings(QUICK_STEP_MILLISECONDS=0):
            work()
        recorder._forget()
        while not (self._at_record.wait(0.001) or self._recorder.idle):
            pass

    @property
    def stands(self) -> bool:
        """Whether it came to the point; else nothing was left behind."""
        return self._at_record.is_set()

    def go_on(self) -> None:
        """Let it record what it has, and walk on as far as it can."""
        self._goes.set()
        wait_for(lambda: self._recorder.idle, what="the recorder to end", timeout_seconds=_PATIENCE_SECONDS)
        database._observers.remove(self._stop)

    def die(self) -> None:
        """Let it end, whatever it still writes."""
        self.go_on()

    def _stop(self, name: str) -> None:
        mine = threading.current_thread() is self._recorder._thread
        if mine and name.startswith(_RECORDS) and not self._at_record.is_set():
            self._at_record.set()
            self._goes.wait(_PATIENCE_SECONDS)


@contextmanager
def _observing(observer: Callable[[str], None]) -> Iterator[None]:
    database._observers.append(observer)
    try:
        yield
    finally:
        database._observers.remove(observer)
