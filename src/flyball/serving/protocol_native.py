"""flyball's own JSON: predict, labels, schema (docs/http.md)."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from typing import Any

import msgspec

from flyball.errors import BadInput, Unavailable
from flyball.records.models import Field, Signature
from flyball.serving.dispatch import Answer, Dispatcher
from flyball.serving.explain import MOST_PROBLEMS
from flyball.serving.ids import PREFIX
from flyball.serving.labels import labels_of, read_label
from flyball.serving.lists import ITEM, ranked

_encode = msgspec.json.Encoder().encode
_REMEMBERED = 200_000
"""Labels a gateway remembers to tell duplicates and corrections apart; best effort, exact counts come from the log."""


class _Predictions(msgspec.Struct, omit_defaults=True):
    model: str
    version: str
    predictions: list[dict[str, Any]]
    fallback: str = ""


class Native:
    """The native protocol over a dispatcher."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._seen: OrderedDict[tuple[str, str], Any] = OrderedDict()

    async def predict(self, name: str, version: str, body: bytes) -> tuple[bytes, bool]:
        """The answer's JSON, and whether it is in the log. Raises what `Dispatcher.find`, `RowReader.read` and `Dispatcher.predict` raise."""
        dispatcher = self._dispatcher
        served = dispatcher.find(name)
        try:
            request = served.reader.read(body)
        except BadInput as error:
            dispatcher.refuse(name, error, served.names)
            raise
        given = request.ids or () if request.listed is None else (request.listed.id or "",)
        taken = next((own for own in given if own.startswith(PREFIX)), None)
        if taken is not None:
            problem = BadInput(
                f'"{taken[:40]}" cannot be a caller\'s id',
                why=f'ids that start with "{PREFIX}" are flyball\'s own',
                fix="use another prefix",
            )
            dispatcher.refuse(name, problem)
            raise problem
        answer = await dispatcher.predict(served, request, version=version)
        if request.listed is None:
            return _encode(_predictions(answer)), answer.logged
        items = ranked(request.listed.items, answer.output, answer.marks)
        whole = {"id": answer.request_id, "items": items}
        return _encode(_Predictions(answer.served.name, answer.versions[0], [whole], answer.fallback)), answer.logged

    def labels(self, name: str, body: bytes) -> tuple[int, bytes]:
        """Take labels: (status, body). 422 only when every one is refused. Raises Unparsable, TooLarge, NotFound, and Unavailable where they cannot be
        logged: then none is taken.
        """
        served = self._dispatcher.known(name).find_labelled(name)
        given = labels_of(body)
        now_us, now_ns = time.time_ns() // 1000, time.monotonic_ns()
        frames: list[bytes] = []
        refused: list[dict[str, Any]] = []
        fresh: dict[tuple[str, str], Any] = {}
        duplicates = corrected = 0
        for index, raw in enumerate(given):
            try:
                label = read_label(raw, served, self._dispatcher.forged, now_us, guess=len(refused) < MOST_PROBLEMS)
                frame = label.frame(name, now_ns)
            except BadInput as error:
                detail = f"{error.what}: {error.why}" if error.why else error.what
                refused.append({"index": index, "code": error.code, "detail": detail, "fix": error.fix})
                continue
            key = (name, label.id)
            before = fresh.get(key, self._seen.get(key))
            if before is not None and before == label.value:
                duplicates += 1
                continue
            corrected += before is not None
            fresh[key] = label.value
            frames.append(frame)
        if frames and not self._dispatcher.label(name, frames):
            raise Unavailable(
                "no label was taken", why="the disk is full: what is not logged is not kept", fix="make room, and send them again"
            )
        self._remember(fresh)
        document = {"accepted": len(frames), "duplicates": duplicates, "corrected": corrected, "refused": refused}
        return (422 if len(refused) == len(given) else 200), _encode(document)

    def schema(self, name: str, version: str) -> bytes:
        """What a request is and what an answer is."""
        elsewhere = self._dispatcher.table.elsewhere.get(name)
        if elsewhere is not None:
            return _encode(_of_signature(name, "", elsewhere.signature))
        served = self._dispatcher.find(name)
        target = served.pinned(version) if version else served.champion
        return _encode(_of_signature(name, target.arm.version if target else "", served.signature))

    def _remember(self, labels: dict[tuple[str, str], Any]) -> None:
        """Know these again; only what is in the log is remembered."""
        for key, value in labels.items():
            self._seen.pop(key, None)
            self._seen[key] = value
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)


def _predictions(answer: Answer) -> _Predictions:
    champion = answer.served.champion
    single = len(set(answer.versions)) <= 1
    version = answer.versions[0] if single and answer.versions else (champion.arm.version if champion else "")
    classes = answer.served.signature.classes
    predictions: list[dict[str, Any]] = []
    marks = answer.marks or [None] * len(answer.ids)
    for row_id, row_version, (value, score), own in zip(answer.ids, answer.versions, answer.output, marks, strict=True):
        one: dict[str, Any] = {"id": row_id, "value": value}
        if isinstance(score, list):
            one["scores"] = {str(name): share for name, share in zip(classes, score, strict=False)}
        elif score is not None:
            one["score"] = score
        if not single:
            one["version"] = row_version
        if own:
            one["marks"] = own
        predictions.append(one)
    return _Predictions(answer.served.name, version, predictions, answer.fallback)


def _of_signature(name: str, version: str, signature: Signature) -> dict[str, Any]:
    """A schema's document."""
    document = {
        "model": name,
        "version": version,
        "task": signature.task,
        "fields": [_field(field) for field in signature.fields],
        "classes": list(signature.classes),
        "example": {"row": {field.name: _example(field) for field in signature.fields}},
    }
    if signature.task == "ranking":
        document |= _of_lists(signature)
    return document


def _field(field: Field) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": field.name, "type": field.type, "nullable": field.nullable}
    if field.low is not None:
        shown["low"] = field.low
    if field.high is not None:
        shown["high"] = field.high
    if field.one_of is not None:
        shown["one_of"] = list(field.one_of)
    if field.on_request != "refuse":
        shown["on_request"] = field.on_request
    return shown


def _of_lists(signature: Signature) -> dict[str, Any]:
    """What a schema says of lists: which field an item's name is of, where each field stands, and a list of one item."""
    own = [field for field in signature.fields if field.name in signature.item_fields]
    item = {ITEM if field.name == signature.item else field.name: _example(field) for field in own}
    row = {field.name: _example(field) for field in signature.fields if field not in own}
    fields = [_field(field) | {"of": "item" if field in own else "row"} for field in signature.fields]
    return {"item": signature.item, "fields": fields, "example": {"row": row, "items": [item]}}


def _example(field: Field) -> Any:
    """A value that the field takes."""
    if field.one_of:
        return field.one_of[0]
    if field.type in ("int", "float"):
        low = field.low if field.low is not None else min(0.0, field.high if field.high is not None else 0.0)
        return math.ceil(low) if field.type == "int" else low
    return {"bool": True, "str": "text", "time": "2026-01-31T12:00:00Z"}[field.type]
