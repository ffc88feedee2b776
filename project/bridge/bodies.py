"""Receive the body of a request under a minimum rate: in the event loop as a whole, or in a thread piece by piece."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PIECE_BYTES = 256 * 1024


class BodySource(Protocol):
    """The part of an RSGI protocol that has the body: awaited it is the whole, iterated it comes in pieces."""

    async def __call__(self) -> bytes:
        """Return the whole body. Raises RuntimeError if the connection breaks off."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return the pieces. A connection that breaks off shows as an empty piece that is not the last."""


class TooSlow(TimeoutError):
    """The body did not come at the minimum rate."""


class BrokenOff(ConnectionError):
    """The connection ended, or its chunks could not be read, before the body was complete."""


class Pace:
    """The minimum rate of a sender.

    It may be silent for `seconds`; each byte gives it 1 / `bytes_per_second` more, up to `seconds` in all. So a sender
    that was fast cannot be silent for longer, and one that sends single bytes has its `seconds` and hardly more. Time
    in which nobody waits for the sender does not count.
    """

    def __init__(self, *, seconds: float, bytes_per_second: int) -> None:
        self._seconds = self._left = seconds
        self._rate = bytes_per_second

    async def piece(self, pieces: AsyncIterator[bytes]) -> bytes:
        """Return the next piece. Raises TooSlow, and StopAsyncIteration at the end."""
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout(self._left):
                piece = await anext(pieces)
        except TimeoutError:
            raise TooSlow(
                f"the body came too slowly; send at least {self._rate:,} bytes a second, and pause for less than "
                f"{self._seconds:g} s"
            ) from None
        self._left = min(self._left - (clock() - began) + len(piece) / self._rate, self._seconds)
        return piece


class Pieces:
    """A body in pieces, which knows whether it is complete. `length` is None if only its chunks say where it ends."""

    def __init__(self, source: BodySource, *, length: int | None, pace: Pace) -> None:
        self._pieces = aiter(source)
        self._missing = length
        self._pace = pace
        self.ended = length == 0

    async def next(self) -> bytes:
        """Return the next piece, b"" at the end. Raises TooSlow and BrokenOff. Not to be called after it raised."""
        if self.ended:
            return b""
        piece = await self._pace.piece(self._pieces)
        if self._missing is not None:
            self._missing -= len(piece)
            self.ended = self._missing <= 0
            if not piece:
                raise BrokenOff("the connection broke off in the body")
        elif not piece:
            await self._end()
        return piece

    async def _end(self) -> None:
        """The server gives an empty piece at the end; one that is followed by another is a fault (or a trailer)."""
        try:
            await self._pace.piece(self._pieces)
        except StopAsyncIteration:
            self.ended = True
        else:
            raise BrokenOff("the connection broke off in the body, or its chunks are not valid")


class LazyBody(io.RawIOBase):
    """A body that is received while a thread reads it, and not before: nobody waits for what nobody reads.

    `read` raises TooSlow and BrokenOff, and does so again when it is called again.
    """

    def __init__(self, pieces: Pieces, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._pieces = pieces
        self._loop = loop
        self._held = memoryview(b"")
        self._error: tuple[type[OSError], str] | None = None

    @property
    def ended(self) -> bool:
        """Whether the whole body was received."""
        return self._pieces.ended

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer, less at the end of the body only, and return the number of bytes."""
        target = memoryview(buffer).cast("B")
        if not self._held:
            self._raise()
            received = asyncio.run_coroutine_threadsafe(self._gather(max(len(target), 1)), self._loop)
            self._held = memoryview(received.result())
            if not self._held:
                self._raise()
        count = min(len(target), len(self._held))
        target[:count] = self._held[:count]
        self._held = self._held[count:]
        return count

    async def _gather(self, size: int) -> bytes:
        """Return pieces of about `size` bytes together, because each hand-over between threads costs as much as one."""
        gathered: list[bytes] = []
        try:
            while size > 0 and (piece := await self._pieces.next()):
                gathered.append(piece)
                size -= len(piece)
        except OSError as error:
            # What came before the fault is good, and is given first. The error itself is not kept: its traceback has
            # this object, and the server keeps a connection open for as long as something can read its body.
            self._error = type(error), str(error)
        return b"".join(gathered)

    def _raise(self) -> None:
        if self._error is not None:
            kind, text = self._error
            raise kind(text)


def buffered(body: LazyBody) -> io.BufferedReader:
    """Return the body as WSGI's input, with `readline` and the others."""
    return io.BufferedReader(body, _PIECE_BYTES)
