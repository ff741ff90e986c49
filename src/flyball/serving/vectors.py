"""What a model's views gave for the rows of a request, as worker, gateway and log pass it on: packed once, by the worker, and copied.

With it every value that was served can be computed again as of its moment (`features/skew.py`). A model without views has none of this,
in no frame and on no wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from flyball.clock import Instant

_pack = msgspec.msgpack.Encoder().encode


class TakenUp(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One view as a worker had it: the rows of its data set under `content` (empty: none yet) that were known by `as_of` (0: all of them), and rows that
    were pushed to it since and of no version yet, up to number `pushed` (0: none).

    `digest` is the view's version (`declare.codec.view_digest`), `features` are the names of its values, in order.
    """

    view: str
    digest: str
    features: tuple[str, ...]
    data: str
    content: str = ""
    as_of: Instant = 0
    pushed: int = 0


class Vectors(msgspec.Struct, array_like=True, gc=False):
    """What the views gave for each row of a record, in order of the features of the views that `mark` names, before any transform.

    `moments` are each row's moment of prediction (T − horizon, µs). Times are µs, as in a request's rows.
    """

    mark: str
    moments: list[Instant]
    values: list[list[Any]]


class Views(NamedTuple):
    """A model's views as a worker has them, packed for replies and the log; `mark` stands for them in every record."""

    mark: str
    packed: bytes


def packed(taken: Sequence[TakenUp]) -> Views:
    """Pack the views of a model, in its order."""
    body = _pack(list(taken))
    return Views(mark_of(body), body)


def mark_of(packed_views: bytes) -> str:
    """What stands in a record for these views."""
    return blake2b(packed_views, digest_size=8).hexdigest()


def taken_up(rows: Sequence[Sequence[Any]] | None) -> list[TakenUp]:
    """The views of a record of kind "views", from its `input`. Raises msgspec.ValidationError."""
    return msgspec.convert(rows or [], list[TakenUp])
