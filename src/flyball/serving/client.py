"""A thin client of the gateway, for the CLI and the demo: predict, label, schema; errors come back as flyball's own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final

import httpx

from flyball.errors import BadInput, FlyballError, NotFound, Problem, Refused, Unauthenticated, Unavailable
from flyball.serving.problems import TooLarge, Unparsable

_BY_STATUS: Mapping[int, type[FlyballError]] = {
    400: Unparsable,
    401: Unauthenticated,
    403: Refused,
    404: NotFound,
    413: TooLarge,
    422: BadInput,
}


FINITE: Final = "a label is a finite number, text, true or false: JSON has no NaN, and none that is infinite"
UNKNOWN: Final = "leave out a label that is not known yet, and send it when it is; nothing was sent"


def unsendable(labels: Sequence[Mapping[str, Any]]) -> tuple[Problem, ...]:
    """A problem for each label that is NaN or infinite, or has an attribute that is; `where` counts them from 1."""
    told = ((f"label {place}, id {one.get('id')}", ", ".join(_strange(one))) for place, one in enumerate(labels, 1))
    return tuple(Problem(where, what) for where, what in told if what)


def _strange(label: Mapping[str, Any]) -> Iterator[str]:
    attributes = label.get("attributes")
    named = attributes.items() if isinstance(attributes, Mapping) else ()
    for name, value in (("value", label.get("value")), *((f'attribute "{each}"', one) for each, one in named)):
        if isinstance(value, float) and not math.isfinite(value):
            yield f"its {name} is {value}"


class GatewayClient:
    """Calls one gateway address. Use it as a context manager, or close it."""

    def __init__(self, url: str = "http://127.0.0.1:7117", *, timeout_s: float = 15.0, token: str = "") -> None:
        """token: a secret, for a gateway that others than this machine reach."""
        self._url = url
        self._http = httpx.Client(base_url=url, timeout=timeout_s, headers={"Authorization": f"Bearer {token}"} if token else None)

    def __enter__(self) -> GatewayClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give up the connections."""
        self._http.close()

    def predict(
        self,
        model: str,
        row: Mapping[str, Any],
        *,
        id: str | None = None,  # noqa: A002 - the name in the protocol
        key: str | None = None,
        time: str | None = None,
    ) -> dict[str, Any]:
        """One row → the answer's JSON. `model` may be `name@version`. Raises BadInput, NotFound, Refused, Unavailable, FlyballError."""
        given = {"row": dict(row), "id": id, "key": key, "time": time}
        return self._post(f"/models/{model}/predict", {name: value for name, value in given.items() if value is not None})

    def predict_rows(
        self, model: str, rows: Sequence[Mapping[str, Any]], *, ids: Sequence[str] | None = None, keys: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Several rows → the answer's JSON, in order. Raises as `predict` does."""
        given: dict[str, Any] = {"rows": [dict(row) for row in rows], "ids": ids and list(ids), "keys": keys and list(keys)}
        return self._post(f"/models/{model}/predict", {name: value for name, value in given.items() if value})

    def rank(
        self,
        model: str,
        row: Mapping[str, Any],
        items: Sequence[Mapping[str, Any]],
        *,
        id: str | None = None,  # noqa: A002 - the name in the protocol
        key: str | None = None,
        time: str | None = None,
    ) -> dict[str, Any]:
        """One list to be ranked → the answer's JSON, best first. `items`: each with "item" and its own fields. Raises as `predict` does."""
        given = {"row": row, "items": items, "id": id, "key": key, "time": time}
        return self._post(f"/models/{model}/predict", {name: value for name, value in given.items() if value is not None})

    def explain(self, model: str, rows: Sequence[Mapping[str, Any]], *, key: str | None = None, time: str | None = None) -> dict[str, Any]:
        """Rows → each one's answer with the contributions of its features, in order; nothing is logged. `key` and `time` are of one row. Raises as `predict` does."""
        given: dict[str, Any] = {"rows": [dict(row) for row in rows]}
        given |= {name: [value] for name, value in (("keys", key), ("times", time)) if value is not None}
        return self._post(f"/models/{model}/explain", given)

    def label(self, model: str, labels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Labels → accepted, duplicates, corrected, refused. A wholly refused batch is returned, not raised. Raises BadInput, and sends none, where
        one is `unsendable`.
        """
        problems = unsendable(labels)
        if problems:
            raise BadInput(f"{len(problems):,} of {len(labels):,} labels cannot be sent", why=FINITE, fix=UNKNOWN, problems=problems)
        return self._post(f"/models/{model}/labels", {"labels": [dict(one) for one in labels]}, taken=(200, 422))

    def schema(self, model: str) -> dict[str, Any]:
        """What a request is. Raises NotFound, Unavailable."""
        return self._read(self._send("GET", f"/models/{model}/schema", None), (200,))

    def _post(self, path: str, body: object, taken: Sequence[int] = (200,)) -> dict[str, Any]:
        return self._read(self._send("POST", path, body), taken)

    def _send(self, method: str, path: str, body: object) -> httpx.Response:
        try:
            return self._http.request(method, path, json=body)
        except ValueError as problem:
            raise BadInput("the row cannot be written as JSON", why=str(problem), fix="a missing value is null") from None
        except httpx.TimeoutException:
            raise Unavailable(f"no answer from {self._url} in time", fix="flyball status shows what happens there") from None
        except httpx.TransportError as problem:
            raise Unavailable(f"nothing answers at {self._url}", why=str(problem), fix="start it: flyball up") from None

    def _read(self, response: httpx.Response, taken: Sequence[int]) -> dict[str, Any]:
        try:
            document = response.json()
        except ValueError:
            document = {}
        if response.status_code in taken and isinstance(document, dict) and "code" not in document:
            return document
        raise _error(response.status_code, document if isinstance(document, dict) else {})


def _error(status: int, document: dict[str, Any]) -> FlyballError:
    """The problem document as the error it was made of."""
    what = str(document.get("detail") or f"the gateway answered {status}")
    fix, code = str(document.get("fix", "")), document.get("code")
    if status in (429, 503):
        return Unavailable(what, fix=fix, code=code, retry_after=float(document.get("retry_after", 1.0)))
    problems = tuple(Problem(one["where"], one["what"], one.get("why", ""), one.get("fix", "")) for one in document.get("problems", ()))
    return _BY_STATUS.get(status, FlyballError)(what, fix=fix, code=code, problems=problems)
