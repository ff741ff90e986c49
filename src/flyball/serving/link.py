"""A gateway's connection to one worker: questions out, replies in, and every open question accounted for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from flyball.clock import Instant
from flyball.serving import wire
from flyball.serving.table import Served, Target
from flyball.serving.tracing import Asking


@dataclass(slots=True, eq=False)
class Pending:
    """One open question, with all that its log record will say. `future` is None for a shadow; `asking` where nobody traces it."""

    request_id: str
    served: Served
    target: Target
    role: str
    key_hash: str
    rows: int
    packed: bytes
    times: list[Instant] | None
    marks: dict[str, Any] | None
    picked_ns: int
    deadline_ns: int
    future: asyncio.Future[Outcome] | None
    stood_in: bool = False
    pinned: bool = False
    asking: Asking | None = None


@dataclass(slots=True, eq=False)
class Wish:
    """One open question of explanations: of what a version does, so nothing of it is logged. The future gets the error, or the packed `wire.Explained`."""

    packed: bytes
    times: list[Instant] | None
    deadline_ns: int
    future: asyncio.Future[tuple[str | None, bytes]]

    def settle(self, error: str | None, output: bytes = b"") -> None:
        """Let its caller go on, if it still waits."""
        if not self.future.done():
            self.future.set_result((error, output))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a question: the packed output, or the error; and whether it is in the log."""

    target: Target
    output: bytes
    error: str = ""
    fallback: str = ""
    logged: bool = True


class NoAnswer(str):
    """An error that is not the model's: nobody was there to answer, or not in time. Another try may bring an answer."""

    __slots__ = ("code", "fix", "retry_after")
    code: str
    fix: str
    retry_after: float

    def __new__(cls, why: str, fix: str, *, retry_after: float = 1.0, code: str = "unavailable") -> NoAnswer:
        """`why` is the text itself."""
        made = super().__new__(cls, why)
        made.code, made.fix, made.retry_after = code, fix, retry_after
        return made


class Unanswerable(str):
    """An error that is the question's: no version of the model can be asked this. The text is what is wrong."""

    __slots__ = ("code", "fix", "why")
    code: str
    fix: str
    why: str

    def __new__(cls, what: str, fault: wire.Fault) -> Unanswerable:
        """`fault` says the rest."""
        made = super().__new__(cls, what)
        made.code, made.why, made.fix = fault.code, fault.why, fault.fix
        return made


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a question: the error, or the packed output; and, packed, what the model's views gave, if it has any."""

    pending: Pending
    error: str | None
    output: bytes = b""
    views: bytes = b""
    vectors: bytes = b""


_NIL = b"\xc0"
Settle = Callable[[list[Done]], None]

STARTING = NoAnswer("its worker is starting", "try again in some seconds: a worker loads the model and tests it first", retry_after=2.0)
UNREAD = NoAnswer(
    "this gateway has not been told yet which models are served", "try again in some seconds: flyball is starting", retry_after=2.0
)
ENDED = NoAnswer("its worker ended", "try again: the worker is being restarted")
LATE = NoAnswer("no answer within the time limit", "try again, with fewer rows a request if there are many")


def not_started(reason: str) -> NoAnswer:
    """Why there is no answer from a worker that could not start."""
    first = next(iter(reason.splitlines()), "")[:300]
    fix = "its owner finds more in flyball status and .flyball/run/logs; the worker is started again and again"
    return NoAnswer(f"its worker could not start: {first}", fix, retry_after=10.0)


def _error(reply: wire.Reply) -> str | None:
    """The model's own error, or what there is no answer for that is not its fault."""
    if reply.error is None or bytes(reply.output) == _NIL:
        return reply.error
    fault = wire.decode_fault(reply.output)
    if fault.retry_after is None:
        return Unanswerable(reply.error, fault)
    return NoAnswer(reply.error, fault.fix, retry_after=fault.retry_after, code=fault.code)


class Link(asyncio.Protocol):
    """Reconnects for as long as it is wanted; questions open at a loss are settled as failed, at once."""

    def __init__(self, worker: str, socket: Path, settle: Settle) -> None:
        self.worker = worker
        self._socket = socket
        self._settle = settle
        self._splitter = wire.Splitter()
        self._transport: asyncio.Transport | None = None
        self._open: dict[int, Pending] = {}
        self._wishes: dict[int, Wish] = {}
        self._tag = 0
        self._retired = False
        self._met = False
        self._wanted_since = time.monotonic()
        self._connecting: asyncio.Task[None] | None = None
        self.up = asyncio.Event()

    @property
    def open(self) -> int:
        """Questions without a reply."""
        return len(self._open)

    @property
    def absence(self) -> NoAnswer:
        """Why there is no worker while there is none: one that was never met has not ended."""
        return ENDED if self._met else STARTING

    def starting(self, warm_s: float) -> bool:
        """Whether the worker has never been met, and may still be on its way: it has `warm_s` seconds from when it was wanted here."""
        return not self._met and time.monotonic() - self._wanted_since < warm_s

    def start(self) -> None:
        """Connect, and try again until it succeeds or the link is retired."""
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def retire(self) -> None:
        """Close once nothing is open."""
        self._retired = True
        self._close_if_done()

    def close(self) -> None:
        """Close now."""
        self._retired = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._transport is not None:
            self._transport.close()

    def ask(self, pending: Pending) -> bool:
        """Send a question; False when there is no worker to send it to."""
        if self._transport is None:
            return False
        self._tag += 1
        shadow = pending.future is None
        if pending.asking is None or not (trace := pending.asking.header):
            question = wire.question(self._tag, pending.times, pending.packed, shadow=shadow)
        else:
            question = wire.traced_question(self._tag, pending.times, pending.packed, trace, time.time_ns(), shadow=shadow)
        self._open[self._tag] = pending
        self._transport.write(question)
        return True

    @property
    def wishes(self) -> int:
        """Questions of explanations without a reply."""
        return len(self._wishes)

    def explain(self, wish: Wish) -> bool:
        """Send a question of explanations; False when there is no worker to send it to."""
        if self._transport is None:
            return False
        self._tag += 1
        self._wishes[self._tag] = wish
        self._transport.write(wire.explain_question(self._tag, wish.times, wish.packed, wish.deadline_ns))
        return True

    def expire(self, now_ns: int) -> None:
        """Settle the questions whose time is over as failed; late replies to them are ignored."""
        for tag in [tag for tag, wish in self._wishes.items() if wish.deadline_ns <= now_ns]:
            self._wishes.pop(tag).settle(LATE)
            self._close_if_done()
        late = [(tag, pending) for tag, pending in self._open.items() if pending.deadline_ns <= now_ns]
        if late:
            for tag, _ in late:
                del self._open[tag]
            self._settle([Done(pending, LATE) for _, pending in late])
            self._close_if_done()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: connected."""
        self._transport = cast("asyncio.Transport", transport)
        self._splitter = wire.Splitter()
        self._met = True
        self.up.set()

    def data_received(self, data: bytes) -> None:
        """asyncio: replies. All of one read are settled together: one write to the log."""
        done: list[Done] = []
        try:
            for frame in self._splitter.feed(data):
                reply = wire.decode_reply(frame)
                pending = self._open.pop(reply.tag, None)
                if pending is None and (wish := self._wishes.pop(reply.tag, None)) is not None:
                    wish.settle(_error(reply), bytes(reply.output))
                elif pending is not None:
                    done.append(Done(pending, _error(reply), bytes(reply.output), bytes(reply.views), bytes(reply.vectors)))
        except (ValueError, msgspec.MsgspecError):
            if self._transport is not None:
                self._transport.abort()
        if done:
            self._settle(done)
        self._close_if_done()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """asyncio: the worker is gone."""
        self._transport = None
        self.up.clear()
        lost, self._open = self._open, {}
        wishes, self._wishes = self._wishes, {}
        for wish in wishes.values():
            wish.settle(ENDED)
        if not self._retired:
            self.start()
        if lost:
            self._settle([Done(pending, ENDED) for pending in lost.values()])

    def _close_if_done(self) -> None:
        if self._retired and not self._open and not self._wishes:
            self.close()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._retired:
            try:
                await loop.create_unix_connection(lambda: self, str(self._socket))
            except OSError:
                await asyncio.sleep(0.02)
            else:
                return
