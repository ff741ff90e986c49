"""The gateway of an environment, asked as a caller asks it: the real socket, the real token, the real path.

A model may take seconds for a row. It is tried beside the loop, so that neither a tick nor the other models wait for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, Final

from flyball.clock import Instant, Span
from flyball.declare.model import Model
from flyball.errors import Unavailable
from flyball.records.integration import IntegrationCheck
from flyball.serving.address import is_loopback, url_of
from flyball.serving.client import GatewayClient
from flyball.serving.layout import Layout, read_json
from flyball.store.blobs import Blobs

PATIENCE_S: Final = 5.0
"""How long a row may take: what callers wait longer for is no answer."""

TOGETHER_S: Final = 10.0
"""How long several rows may take in one request: as long as the gateway waits for a version."""

AT_ONCE: Final = 8
"""So many versions are tried at the same time; the others come when one of these is done."""

AGAIN: Final = Span.parse("1m")
"""How long what did not hold is left before it is tried again."""

Checks = tuple[IntegrationCheck, ...]

LONGEST_LIST: Final = 1_000
"""Of a list to be ranked, so many of its newest rows are asked at most."""


class LiveProbe:
    """Asks the gateways that listen now. `secret` gives what is shown to one that others reach."""

    def __init__(self, layout: Layout, blobs: Blobs, secret: Callable[[], str]) -> None:
        self._layout, self._blobs, self._secret = layout, blobs, secret
        self._tried: dict[str, Instant] = {}
        self._trials: dict[str, tuple[Instant, Future[Checks]]] = {}

    def is_time(self, ref: str, now: Instant) -> bool:
        """Whether a version may be tried now: what did not hold is left for a while. Where no gateway listens, nothing can be."""
        if now < self._tried.get(ref, 0) + AGAIN or sum(not each.done() for _, each in self._trials.values()) >= AT_ONCE:
            return False
        if not isinstance(read_json(self._layout.gateways), dict):
            return False
        self._tried[ref] = now
        return True

    def begin(self, ref: str, since: Instant, trial: Callable[[], Checks]) -> None:
        """Try a version that answers `since` then, beside the loop, unless it is being tried."""
        if ref not in self._trials:
            found: Future[Checks] = Future()
            self._trials[ref] = since, found
            threading.Thread(target=_run, args=(found, trial), name=f"try {ref}", daemon=True).start()

    def ended(self, ref: str, since: Instant) -> Checks | None:
        """What a try came to, once; None while it goes on, and where there is none of what answers `since` then. Raises what the try has raised.

        What was found before a version was taken back, and answered again, is given up.
        """
        begun, trial = self._trials.get(ref, (since, None))
        if trial is None or not trial.done():
            return None
        del self._trials[ref]
        return trial.result() if begun == since else None

    def ask(self, model: str, version: str, requests: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The predictions for requests, in one call; a list to be ranked is asked alone. Raises what the gateway answers, Unavailable."""
        told = read_json(self._layout.gateways)
        if not isinstance(told, dict):
            raise Unavailable("no gateway listens", fix="flyball up")
        host = str(told.get("host", "127.0.0.1"))
        token = "" if is_loopback(host) else self._secret()
        patience = PATIENCE_S if len(requests) == 1 else TOGETHER_S
        with GatewayClient(url_of(host, told["port"]), timeout_s=patience, token=token) as client:
            return _asked(client, f"{model}@{version}", requests)

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


def _run(trial: Future[Checks], work: Callable[[], Checks]) -> None:
    try:
        trial.set_result(work())
    except BaseException as error:  # noqa: BLE001 - whoever looks at what it came to raises it
        trial.set_exception(error)


def _asked(client: GatewayClient, ref: str, requests: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    listed = requests[0].get("items") if len(requests) == 1 else None
    if isinstance(listed, list):
        shared = {name: value for name, value in requests[0].items() if name != "items"}
        return [dict(each) for each in client.rank(ref, shared, listed)["predictions"]]
    return [dict(each) for each in client.predict_rows(ref, requests)["predictions"]]


def _json(value: Any) -> Any:
    """A value of a row as a caller writes it."""
    return value.replace(tzinfo=value.tzinfo or UTC).isoformat() if isinstance(value, datetime) else value
