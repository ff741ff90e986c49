"""The gateway of an environment, asked as a caller asks it: the real socket, the real token, the real path."""

from __future__ import annotations

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

AGAIN: Final = Span.parse("1m")
"""How long what did not hold is left before it is tried again."""


class LiveProbe:
    """Asks the gateways that listen now. `secret` gives what is shown to one that others reach."""

    def __init__(self, layout: Layout, blobs: Blobs, secret: Callable[[], str]) -> None:
        self._layout, self._blobs, self._secret = layout, blobs, secret
        self._tried: dict[str, Instant] = {}

    def is_time(self, ref: str, now: Instant) -> bool:
        """Whether a version may be tried now: what did not hold is left for a while. Where no gateway listens, nothing can be."""
        if not isinstance(read_json(self._layout.gateways), dict) or now < self._tried.get(ref, 0) + AGAIN:
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
        with GatewayClient(url_of(host, told["port"]), timeout_s=PATIENCE_S, token=token) as client:
            ref = f"{model}@{version}"
            listed = requests[0].get("items") if len(requests) == 1 else None
            if isinstance(listed, list):
                shared = {name: value for name, value in requests[0].items() if name != "items"}
                return [dict(each) for each in client.rank(ref, shared, listed)["predictions"]]
            return [dict(each) for each in client.predict_rows(ref, requests)["predictions"]]

    def newest(self, model: Model, columns: Sequence[str], content: str, most: int) -> list[dict[str, Any]]:
        """The newest rows of the model's data set, as JSON has them; of a ranking, enough for a whole list. Raises NotFound, Corrupt."""
        # models without data sets do without data frames
        from flyball.data import manifest

        found = manifest.manifest(content, self._blobs)
        if not found.chunks:
            return []
        frame = manifest.read(found.chunks[-1].content, self._blobs, columns)
        rows = frame.tail(most if not model.group else max(most, 1_000))
        return [{name: _json(value) for name, value in row.items()} for row in rows.to_dicts()]


def _json(value: Any) -> Any:
    """A value of a row as a caller writes it."""
    return value.replace(tzinfo=value.tzinfo or UTC).isoformat() if isinstance(value, datetime) else value
