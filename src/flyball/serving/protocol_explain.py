"""Why a model answers as it does: `POST /models/{model}/explain`, with the body of a prediction (docs/http.md).

An explanation is a question about a version, no prediction: nothing of it is logged, no rollout decides who answers, and nobody stands in. Without a
pinned version it is the one that would answer this key; without a key, the champion.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from flyball.errors import FlyballError, Unavailable
from flyball.serving import wire
from flyball.serving.dispatch import Dispatcher, failure
from flyball.serving.limits import Limits
from flyball.serving.link import ENDED, Outcome, Wish
from flyball.serving.lists import ITEM
from flyball.serving.metrics import Metrics
from flyball.serving.problems import ModelError, TooLarge
from flyball.serving.table import Served, Target
from flyball.serving.validate import Request

_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode


class Explain:
    """Explanations over a dispatcher's workers."""

    def __init__(self, dispatcher: Dispatcher, metrics: Metrics, limits: Limits) -> None:
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._limits = limits

    async def explain(self, name: str, version: str, body: bytes) -> bytes:
        """The answer's JSON. Raises what `Dispatcher.find`, `RowReader.read` and `Served.pinned` raise, TooLarge, Unavailable, ModelError."""
        served = self._dispatcher.find(name)
        request = served.reader.read(body)
        if len(request.rows) > self._limits.explain_rows:
            what = f"{len(request.rows):,} rows are to be explained"
            raise TooLarge(what, why=f"a request takes {self._limits.explain_rows} at most", fix="send fewer rows a request")
        parts = _parts(served, request, version)
        found = await asyncio.gather(*(self._ask(served, request, target, rows) for target, rows in parts.items()))
        placed: list[dict[str, Any]] = [{}] * len(request.rows)
        for (target, rows), explained in zip(parts.items(), found, strict=True):
            for row, one in zip(rows, _shown(explained), strict=True):
                placed[row] = one | {"version": target.arm.version} if len(parts) > 1 else one
        if request.listed is not None:
            placed = [{ITEM: item} | one for item, one in zip(request.listed.items, placed, strict=True)]
        elif request.ids is not None:
            placed = [{"id": own} | one for own, one in zip(request.ids, placed, strict=True)]
        shared = next(iter(parts)).arm.version if len(parts) == 1 else served.champion.arm.version if served.champion else ""
        return _encode({"model": name, "version": shared, "explanations": placed})

    async def _ask(self, served: Served, request: Request, target: Target, rows: list[int]) -> wire.Explained:
        link = self._dispatcher.link(target)
        if link.wishes >= self._limits.explain_open:
            raise Unavailable(
                f"{target.version} has {link.wishes} requests for explanations open",
                why="they are answered one after the other, when there is no prediction to be made",
                fix="ask again in a moment",
                retry_after=1.0,
            )
        times = None if request.times is None else [request.times[row] for row in rows]
        deadline = time.monotonic_ns() + int(self._limits.explain_s * 1e9)
        wish = Wish(_pack([request.rows[row] for row in rows]), times, deadline, asyncio.get_running_loop().create_future())
        error, output = await wish.future if link.explain(wish) else (ENDED, b"")
        self._metrics.count(served.name, target.arm.version, "explain", "ok" if error is None else "error")
        if error is not None:
            raise _failure(served, target, error)
        return wire.decode_explained(output)


def _failure(served: Served, target: Target, error: str) -> FlyballError:
    found = failure(served, Outcome(target, b"", error=error))
    if isinstance(found, ModelError):
        # unlike a prediction it is in no log
        return ModelError(found.what, why=found.why, fix=f"check the row against GET /models/{served.name}/schema, or predict it")
    return found


def _parts(served: Served, request: Request, version: str) -> dict[Target, list[int]]:
    """Who explains which rows."""
    keys = request.keys
    if request.listed is not None and request.listed.key is not None:
        keys = [request.listed.key] * len(request.rows)
    if served.sticky is not None and keys is None:
        keys = [str(row[served.sticky]) for row in request.rows]
    parts: dict[Target, list[int]] = {}
    for row in range(len(request.rows)):
        target = served.pinned(version) if version else _answering(served, keys[row] if keys else None)
        parts.setdefault(target, []).append(row)
    return parts


def _answering(served: Served, key: str | None) -> Target:
    arm = served.picker.pick(key) if key is not None else None
    target = served.targets[arm.version] if arm is not None else served.champion
    if target is None:
        raise Unavailable(f"{served.name} has no version that answers", fix="try again shortly: flyball status shows what happens")
    return target


def _shown(explained: wire.Explained) -> list[dict[str, Any]]:
    found = []
    for row in explained.rows:
        one: dict[str, Any] = {"value": row.value}
        if row.score is not None:
            one["score"] = row.score
        contributions = [{"feature": name, "value": value, "contribution": part} for name, value, part in row.features]
        found.append(
            one
            | {"method": explained.method, "space": explained.space}
            | {"base": row.base, "output": row.output, "contributions": contributions}
        )
    return found
