"""MLflow's scoring protocol, that of `mlflow models serve`: `POST /invocations` (docs/http.md).

What a request is stands in `dataframes`. There one server has one model; here one is named where there are several.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from flyball.errors import BadInput, FlyballError, NotFound
from flyball.serving import dataframes
from flyball.serving.dispatch import Answer, Dispatcher
from flyball.serving.lists import fits_no_tensors
from flyball.serving.problems import NotPlain
from flyball.serving.table import Served

_encode = msgspec.json.Encoder().encode
_CSV = "text/csv"
_HEADER = b"flyball-model"


def named(query: bytes, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The model that `?model=` or the header names, with its version if it does (`late-loads@1.0.0`); "" for none. Raises BadInput for two."""
    given = {value for name, value in parse_qsl(query.decode("latin-1")) if name == "model"}
    given |= {value.decode("latin-1") for name, value in headers if name == _HEADER}
    if len(given) > 1:
        raise BadInput("the request names two models", why=" and ".join(sorted(one[:80] for one in given)[:2]), fix="name one")
    return given.pop() if given else ""


def is_csv(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the body is CSV; JSON is whatever says nothing of it. Raises NotPlain for another encoding than UTF-8."""
    kind, *more = next((value.decode("latin-1") for name, value in headers if name == b"content-type"), "").lower().split(";")
    charset = next((value.strip(' "') for one in more for name, _, value in [one.partition("=")] if name.strip() == "charset"), "utf-8")
    if charset not in ("utf-8", "utf8"):
        raise NotPlain(f"the body is encoded as {charset[:40]}", why="a gateway takes UTF-8 alone", fix="send it as UTF-8")
    return kind.strip() == _CSV


class Mlflow:
    """The protocol over a dispatcher."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def only(self) -> str:
        """The model that is served here, if it is the only one; else ""."""
        names = self._names()
        return names[0] if len(names) == 1 else ""

    def undecided(self) -> FlyballError:
        """What a caller is told who names no model. Raises Unavailable where it is not known yet which there are."""
        names = self._names()
        if not names:
            self._dispatcher.require_all()
            return NotFound("no model is served", why="nothing is served yet", fix="flyball status shows what a model waits for")
        told = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
        return BadInput("the request does not say which model", why=f"served: {told}", fix=f"POST /invocations?model={names[0]}")

    async def invocations(self, name: str, version: str, body: bytes, *, is_csv: bool) -> tuple[bytes, bool]:
        """The answer's JSON, and whether it is in the log. Raises what `dataframes.read` and `Dispatcher.predict` raise, BadInput."""
        dispatcher = self._dispatcher
        served = dispatcher.find(name)
        try:
            if served.signature.task == "ranking":
                raise fits_no_tensors(name)
            request = dataframes.read(body, served.signature, is_csv=is_csv)
        except BadInput as error:
            dispatcher.refuse(name, error, served.names)
            raise
        if isinstance(request, dataframes.Broken):
            dispatcher.refuse(name, request.logged, served.names)
            raise request.told
        answer = await dispatcher.predict(served, request, version=version)
        return _encode(_answer(served, answer)), answer.logged

    def _names(self) -> list[str]:
        """Models that are served here, and those that are to be."""
        table = self._dispatcher.table
        return sorted({*table.models, *table.starting})


def _answer(served: Served, answer: Answer) -> dict[str, Any]:
    """One prediction a row, and beside them what flyball knows of these: a client of MLflow's looks at the predictions."""
    document: dict[str, Any] = {"predictions": [value for value, _ in answer.output], "model": served.name}
    if len(set(answer.versions)) == 1:
        document["version"] = answer.versions[0]
    else:
        document["versions"] = answer.versions
    document["ids"] = answer.ids
    if answer.fallback:
        document["fallback"] = answer.fallback
    if answer.marks is not None:
        document["marks"] = answer.marks
    return document
