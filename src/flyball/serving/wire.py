"""What gateway and worker say to each other: `u32 length | msgpack`, both ways.

A question is [tag, times or nil, rows, shadow], rows being the very bytes that go into the log; a reply is [tag, error or nil, output], and
of a model with views [tag, nil, output, views, vectors]: what goes into the log of them as it is (serving/vectors.py). A question of explanations
has a fifth part, true, and a sixth, when its asker stops waiting; the output of its reply is an `Explained`. One that is traced has a seventh, its
W3C traceparent, and an eighth, when it was sent.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from flyball.serving.vectors import Vectors, Views

_LENGTH = struct.Struct("<I")
LARGEST = 256 << 20
"""A longer frame is a broken peer."""

_encode = msgspec.msgpack.Encoder().encode


_NOTHING = msgspec.Raw(b"")


class Question(msgspec.Struct, array_like=True, gc=False):
    """Rows to predict; `times` are µs, one a row, or None: now. `shadow`: nobody waits for the reply. `explain`: answers are wanted with their reasons,
    and nobody waits for them once the monotonic clock, which is one for all processes of a machine, says `deadline_ns`. `trace`: empty where nobody
    traces it; `sent_ns` since 1970.
    """

    tag: int
    times: list[int] | None
    rows: list[list[Any]]
    shadow: bool = False
    explain: bool = False
    deadline_ns: int | None = None
    trace: str = ""
    sent_ns: int = 0


class Reply(msgspec.Struct, array_like=True, gc=False):
    """`output`: packed list of [value, score], one a row; beside an error None, or a `Fault`. `views` and `vectors` are empty for a model without views."""

    tag: int
    error: str | None
    output: msgspec.Raw
    views: msgspec.Raw = _NOTHING
    vectors: msgspec.Raw = _NOTHING


decode_question = msgspec.msgpack.Decoder(Question).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode


def question(tag: int, times: list[int] | None, packed_rows: bytes, *, shadow: bool) -> bytes:
    """A question's frame."""
    body = _encode((tag, times, msgspec.Raw(packed_rows), shadow))
    return _LENGTH.pack(len(body)) + body


def traced_question(tag: int, times: list[int] | None, packed_rows: bytes, trace: str, sent_ns: int, *, shadow: bool) -> bytes:
    """The frame of a question that is part of a trace."""
    body = _encode((tag, times, msgspec.Raw(packed_rows), shadow, False, None, trace, sent_ns))
    return _LENGTH.pack(len(body)) + body


def explain_question(tag: int, times: list[int] | None, packed_rows: bytes, deadline_ns: int) -> bytes:
    """The frame of a question of explanations."""
    body = _encode((tag, times, msgspec.Raw(packed_rows), False, True, deadline_ns))
    return _LENGTH.pack(len(body)) + body


class ExplainedRow(msgspec.Struct, array_like=True, gc=False):
    """One row's answer and the reasons: `base` + the sum of the contributions = `output`. `features`: [name, its value, its contribution], the largest first."""

    value: Any
    score: float | None
    base: float
    output: float
    features: list[tuple[str, Any, float]]


class Explained(msgspec.Struct, array_like=True, gc=False):
    """The output of a reply to a question of explanations: how they were found, in which space they add up, and each row's."""

    method: str
    space: str
    rows: list[ExplainedRow]


decode_explained = msgspec.msgpack.Decoder(Explained).decode


def reply(tag: int, error: str | None, output: object) -> bytes:
    """A reply's frame."""
    body = _encode((tag, error, output))
    return _LENGTH.pack(len(body)) + body


class Fault(msgspec.Struct, array_like=True, gc=False):
    """Beside an error that is not the model's: `code` and `fix` of it. With `retry_after` another try, in so many seconds, may bring an answer; without
    it the question cannot be answered, and `why` says why.
    """

    code: str
    why: str
    fix: str
    retry_after: float | None = None


decode_fault = msgspec.msgpack.Decoder(Fault).decode


def no_answer(tag: int, error: str, fault: Fault) -> bytes:
    """The frame of a reply that is no answer, through no fault of the model's."""
    return reply(tag, error, fault)


def reply_with(tag: int, output: object, views: Views, vectors: Vectors) -> bytes:
    """The frame of a reply with what the model's views gave for it."""
    body = _encode((tag, None, output, msgspec.Raw(views.packed), vectors))
    return _LENGTH.pack(len(body)) + body


class Splitter:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._left = b""

    def feed(self, data: bytes) -> list[memoryview]:
        """Every frame that is whole now. Raises ValueError when the stream makes no sense."""
        if self._left:
            data = self._left + data
        view = memoryview(data)
        frames: list[memoryview] = []
        position, end = 0, len(data)
        while position + 4 <= end:
            (length,) = _LENGTH.unpack_from(data, position)
            if length > LARGEST:
                raise ValueError(f"a frame of {length} bytes")
            if position + 4 + length > end:
                break
            frames.append(view[position + 4 : position + 4 + length])
            position += 4 + length
        self._left = data[position:]
        return frames
