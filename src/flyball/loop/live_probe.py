"""The gateway of an environment, asked as a caller asks it: the real socket, the real token, the real path."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from flyball.clock import Instant, Span
from flyball.declare.model import Model
from flyball.errors import Unavailable
from flyball.serving.address import is_loopback, url_of
from flyball.serving.client import GatewayClient
from flyball.serving.layout import Layout, read_json
from flyball.store.blobs import Blobs

PATIENCE_S: Final = 5.0
"""How long a request of a few rows may take: a gateway that hangs must not hold up the loop for long."""

REST_S: Final = 5.0
"""How long nothing is tried after a gateway did not answer: where it hangs, half of the loop's time is left for all else."""

AGAIN: Final = Span.parse("1m")
"""How long what did not hold is left before it is tried again."""

LONGEST_LIST: Final = 1_000
"""Of a list to be ranked, so many of its newest rows are asked at most."""


class LiveProbe:
    """Asks the gateways that listen now. `secret` gives what is shown to one that others reach."""

    def __init__(self, layout: Layout, blobs: Blobs, secret: Callable[[], str]) -> None:
        self._layout, self._blobs, self._secret = layout, blobs, secret
        self._tried: dict[str, Instant] = {}
        self._rests_until = 0.0

    def is_time(self, ref: str, now: Instant) -> bool:
        """Whether a version may be tried now: what did not hold is left for a while. Where no gateway listens, nothing can be."""
        if now < self._tried.get(ref, 0) + AGAIN or time.monotonic() < self._rests_until:
            return False
        if not isinstance(read_json(self._layout.gateways), dict):
            return False
        self._tried[ref] = now
        return True

    def ask(self, model: str, version: str, requests: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The predictions for requests, in one call; a list to be ranked is asked alone. Raises what the gateway answers, Unavailable."""
        told = read_json(self._layout.gateways)
        if not isinstance(told, dict):
            raise Unavailable("no gateway listens", fix="flyball up")
        host = str(told.get("host", "127.0.0.1"))
        token = "" if is_loopback(host) else self._secret()
        try:
            with GatewayClient(url_of(host, told["port"]), timeout_s=PATIENCE_S, token=token) as client:
                return _asked(client, f"{model}@{version}", requests)
        except Unavailable:
            self._rests_until = time.monotonic() + REST_S
            raise

    def newest(self, model: Model, columns: Sequence[str], content: str, most: int) -> list[dict[str, Any]]:
        """The newest rows of the model's data set, as JSON has them; of a ranking, enough for a whole list. Raises NotFound, Corrupt."""
        # models without data sets do without data frames
        from flyball.data import manifest

        found = manifest.manifest(content, self._blobs)
        if not found.chunks:
            return []
        wanted = most if not model.group else max(most, LONGEST_LIST)
        rows: list[dict[str, Any]] = []
        for chunk in reversed(found.chunks):
            rows = [*manifest.read(chunk.content, self._blobs, columns).tail(wanted - len(rows)).to_dicts(), *rows]
            if len(rows) >= wanted:
                break
        return [{name: _json(value) for name, value in row.items()} for row in rows]


def _asked(client: GatewayClient, ref: str, requests: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    listed = requests[0].get("items") if len(requests) == 1 else None
    if isinstance(listed, list):
        shared = {name: value for name, value in requests[0].items() if name != "items"}
        return [dict(each) for each in client.rank(ref, shared, listed)["predictions"]]
    return [dict(each) for each in client.predict_rows(ref, requests)["predictions"]]


def _json(value: Any) -> Any:
    """A value of a row as a caller writes it."""
    return value.replace(tzinfo=value.tzinfo or UTC).isoformat() if isinstance(value, datetime) else value
