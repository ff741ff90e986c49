"""Events as they happen: server-sent events over the ledger. A stream begins after any event, so nothing is lost between two of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import msgspec
from starlette.concurrency import run_in_threadpool

from flyball.api.reading import event_answer
from flyball.api.shape import shown
from flyball.errors import FlyballError, Unavailable
from flyball.wiring import Wired

MOST = 32
"""Streams that are open at once."""

_LOOK_S = 0.2
_ALIVE_S = 15.0
_AGAIN_S = 1.0
_AT_ONCE = 100


class Streams:
    """Every open stream. One look at the ledger serves all of them."""

    def __init__(self, wired: Wired, ending: Callable[[], bool]) -> None:
        """ending: whether this process goes; then every stream ends, and its caller asks the next one."""
        self._wired = wired
        self._ending = ending
        self._open = 0
        self._size = 0
        self._looked_at = 0.0

    async def events(self, after: int, still: Callable[[], object]) -> AsyncIterator[bytes]:
        """Events after number `after`, for ever. `still` raises when the caller's token is not taken any more. Raises Unavailable."""
        if self._open >= MOST:
            raise Unavailable("too many streams of events are open", why=f"{MOST} at once", fix="close one, or ask for pages")
        self._open += 1
        try:
            async for part in self._parts(after, still):
                yield part
        except FlyballError:
            # the caller asks again, and is told why
            return
        finally:
            self._open -= 1

    async def _parts(self, after: int, still: Callable[[], object]) -> AsyncIterator[bytes]:
        yield b": flyball\n\n"
        said = checked = time.monotonic()
        while not self._ending():
            now = time.monotonic()
            if now - checked >= _AGAIN_S:
                await run_in_threadpool(still)
                checked = now
            if await self._newest() > after:
                for seq, part in await run_in_threadpool(self._read, after):
                    after, said = seq, now
                    yield part
                continue
            if now - said >= _ALIVE_S:
                said = now
                yield b": still here\n\n"
            await asyncio.sleep(_LOOK_S)

    async def _newest(self) -> int:
        if time.monotonic() - self._looked_at >= _LOOK_S / 2:
            self._looked_at = time.monotonic()
            self._size = await run_in_threadpool(self._wired.ledger.size)
        return self._size

    def _read(self, after: int) -> list[tuple[int, bytes]]:
        found = []
        for recorded in self._wired.ledger.read(after, _AT_ONCE):
            data = msgspec.json.encode(shown(event_answer(recorded)))
            found.append((recorded.seq, b"id: %d\nevent: %b\ndata: %b\n\n" % (recorded.seq, recorded.event.kind.encode(), data)))
        return found
