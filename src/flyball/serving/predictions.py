"""Predictions that were made elsewhere, each checked alone so that a bad one stops only itself.

They have been answered already: what breaks its column's contract is marked and counted, never refused. What is not of the declared type is.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from flyball.clock import Instant
from flyball.errors import BadInput
from flyball.records.models import ModelRef
from flyball.serving import explain, wal
from flyball.serving.explain import Marks, Member, Row, shown
from flyball.serving.ids import PREFIX, Ids
from flyball.serving.labels import time_of, value_of
from flyball.serving.problems import Unparsable
from flyball.serving.table import Elsewhere
from flyball.serving.validate import refuse

UNVERSIONED = "unversioned"
"""The version of a prediction that names none."""

VERSION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._+-]{0,62}[A-Za-z0-9])?")
"""What a version is called elsewhere: it becomes a part of `model@version`."""

_BODY = {"predictions": Member((list,), "a list of predictions", '[{"id": "…", "row": {…}, "value": 1}]', required=True)}
_PREDICTION = {
    "id": Member((str,), "text, by which its label will name it", '"…"', required=True),
    "row": Member((dict,), "an object of fields", '{"field": value, …}', required=True),
    "value": Member((int, float, str, bool), "what was answered", "1"),
    "score": Member((int, float), "a probability", "0.7"),
    "scores": Member((dict,), "an object of probabilities by class", '{"a": 0.7, "b": 0.3}'),
    "time": Member((str,), "text", '"2026-01-31T12:00:00Z"'),
    "version": Member((str,), "text", '"7"'),
    "key": Member((str,), "text", '"customer-1"'),
    "latency_ms": Member((int, float), "a number of milliseconds", "12.5"),
    "error": Member((str,), "text: why there is no answer", '"timeout"'),
}
_SLOWEST_MS = 86_400_000.0
_LONGEST_ERROR = 500
_pack = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Made:
    """One prediction: its row in signature order, what was answered (`error`: why nothing was), when, by which version, and in how many µs. `ignored`:
    fields of its row that are not declared.
    """

    id: str
    row: Row
    marks: Marks
    value: int | float | str | bool | None
    score: float | list[float] | None
    at: Instant
    version: str
    key: str | None
    latency_us: int | None
    error: str
    ignored: tuple[str, ...] = ()

    def frame(self, model: str, *, now_ns: int, epoch: int, key_hash: str) -> bytes:
        """The record that goes into the log: it came now, and `marks["t"]` is when it was made. Without a latency no `answered_ns` is known."""
        marks: dict[str, Any] = {"t": [self.at]}
        if self.marks:
            marks["cv"] = [self.marks]
        if self.error:
            marks["why"] = self.error
        return wal.frame(
            "answer",
            self.id,
            picked_ns=now_ns - (self.latency_us or 0) * 1000,
            answered_ns=0 if self.latency_us is None else now_ns,
            epoch=epoch,
            version=str(ModelRef(model=model, version=self.version)),
            role="champion",
            key_hash=key_hash,
            status="error" if self.error else "ok",
            rows=1,
            packed_input=_pack([self.row]),
            packed_output=None if self.error else _pack([[self.value, self.score]]),
            marks=marks,
        )


def frames_of(model: Elsewhere, made: Sequence[Made], writer: wal.Writer, ids: Ids) -> list[bytes]:
    """The frames of predictions that came now, with those that make their rows readable."""
    now, frames = time.monotonic_ns(), list[bytes]()
    for one in made:
        ref = str(ModelRef(model=model.name, version=one.version))
        if not writer.knows(ref):
            frames.append(writer.declare(ref, model.names))
        frames.append(one.frame(model.name, now_ns=now, epoch=model.epoch, key_hash="" if one.key is None else ids.key_hash(one.key)))
    return frames


def predictions_of(body: bytes) -> list[Any]:
    """The predictions of a request's body, not looked at yet. Raises Unparsable, TooLarge."""
    given = explain.load(body)
    problem = next(explain.check_members(given, _BODY, "the body"), None)
    if problem is not None:
        # a name may hold half of a surrogate pair, which is no text that could be sent
        what, why, fix = (text.encode("utf-8", "backslashreplace").decode() for text in (problem.what, problem.why, problem.fix))
        raise Unparsable(what, why=why, fix=fix)
    found: list[Any] = given["predictions"]
    if not found:
        raise Unparsable("the list of predictions is empty", why="a request has at least one", fix=f'send {{"predictions": {_EXAMPLE}}}')
    explain.check_count(len(found), "predictions")
    return found


_EXAMPLE = '[{"id": "…", "row": {…}, "value": 1}]'


def read_prediction(raw: Any, model: Elsewhere, now: Instant, *, guess: bool = True) -> Made:
    """One prediction. Raises BadInput. `guess`: which class a wrong one was meant to be; that costs much more than to read a right one.

    Fields that are not declared are left out, as undeclared columns of a data set are; those that are missing count as null, and are marked.
    """
    half = explain.half_pair(raw)
    if half:
        raise BadInput("the prediction has half of a surrogate pair", why=f"{half} alone is no character", fix="send whole characters")
    problem = next(explain.check_members(raw, _PREDICTION, "a prediction"), None)
    if problem is not None:
        raise BadInput(problem.what, why=problem.why, fix=problem.fix)
    own, error = _id(raw["id"]), str(raw.get("error") or "").strip()[:_LONGEST_ERROR]
    names = {field.name for field in model.signature.fields}
    known = {name: value for name, value in raw["row"].items() if name in names}
    row, marks, problems = explain.check_row(known, model.signature, "row")
    if problems:
        raise refuse(problems)
    value = raw.get("value")
    if (value is None) != bool(error):
        what = "the prediction has a value and an error" if error else "the prediction has no value"
        raise BadInput(what, why="it was answered, or it was not", fix='send "value", or "error" where there was no answer')
    return Made(
        id=own,
        row=row,
        marks=marks,
        value=None if value is None else value_of(value, model, guess=guess),
        score=_score(raw, model),
        at=now if raw.get("time") is None else time_of(raw["time"], now, "when it was predicted"),
        version=_version(raw.get("version")),
        key=_key(raw.get("key")),
        latency_us=_latency(raw.get("latency_ms")),
        error=error,
        ignored=tuple(name for name in raw["row"] if name not in names) if len(known) < len(raw["row"]) else (),
    )


def _id(own: str) -> str:
    if not 0 < len(own) <= explain.LONGEST_ID:
        what = f"the id of the prediction has {len(own):,} characters" if own else "the id of the prediction is empty"
        raise BadInput(what, why=f"it has 1 to {explain.LONGEST_ID} characters", fix="send an id that the label can name")
    if own.startswith(PREFIX):
        why = f'ids that start with "{PREFIX}" are flyball\'s own'
        raise BadInput(f"{shown(own)} cannot be a caller's id", why=why, fix="use another prefix")
    return own


def _version(given: str | None) -> str:
    if given is None:
        return UNVERSIONED
    if not VERSION.fullmatch(given):
        why = "a version is 1 to 64 of letters, digits and . _ + - and starts and ends with a letter or digit"
        raise BadInput(f"{shown(given)} is not a version", why=why, fix='send one such as "7" or "2026-01-31"')
    return given


def _key(given: str | None) -> str | None:
    if given is not None and not 0 < len(given) <= explain.LONGEST_ID:
        why = f"a key has 1 to {explain.LONGEST_ID} characters"
        raise BadInput(f"the key has {len(given):,} characters", why=why, fix="send a shorter one, or leave it out")
    return given


def _latency(given: float | None) -> int | None:
    if given is None:
        return None
    if not math.isfinite(given) or not 0 <= given <= _SLOWEST_MS:
        raise BadInput(
            f"latency_ms is {shown(given)}", why="it is a number of milliseconds, a day at most", fix="leave it out if it is not known"
        )
    return round(given * 1000)


def _score(raw: Mapping[str, Any], model: Elsewhere) -> float | list[float] | None:
    """The score of a binary answer, the scores of a multiclass one in class order. Raises BadInput."""
    signature, score, scores = model.signature, raw.get("score"), raw.get("scores")
    if score is not None and signature.task != "binary":
        raise BadInput("the prediction has a score", why=f"{model.name} is a {signature.task} model", fix="leave score out")
    if scores is not None and signature.task != "multiclass":
        raise BadInput("the prediction has scores", why=f"{model.name} is a {signature.task} model", fix="leave scores out")
    if score is not None:
        return _share(score, "score")
    if scores is None:
        return None
    named = {str(one): one for one in signature.classes}
    if scores.keys() != named.keys():
        other = sorted(scores.keys() ^ named.keys())
        raise BadInput(
            f"scores name {', '.join(map(shown, list(scores)[:8])) or 'nothing'}",
            why=f"classes: {', '.join(list(named)[:8])}",
            fix=f"name each class once: {shown(other[0])}",
        )
    return [_share(scores[name], f"scores[{shown(name)}]") for name in named]


def _share(given: Any, what: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given) or not 0 <= given <= 1:
        raise BadInput(f"{what} is {shown(given)}", why="it is a probability, from 0 to 1", fix="leave it out if there is none")
    return float(given)
