"""Predictions of models that are served elsewhere: `POST /models/{m}/predictions` (docs/http.md)."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

import msgspec

from flyball.errors import BadInput, Unavailable
from flyball.serving.dispatch import Dispatcher
from flyball.serving.explain import MOST_PROBLEMS, shown
from flyball.serving.predictions import Made, predictions_of, read_prediction

_encode = msgspec.json.Encoder().encode

_REMEMBERED = 200_000
"""Ids a gateway remembers to tell a prediction that is sent again; best effort: whoever counts takes each id once."""

_MOST_IGNORED = 20
"""Fields that are not declared, of which an answer tells: one that is misspelt is among the first."""

_MOST_VERSIONS = 200
"""Versions of a model that a gateway takes while it runs: each is named in the record and in the metrics, and more are a mistake in what is sent."""


class Predictions:
    """The protocol over a dispatcher."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._versions: dict[str, set[str]] = {}

    def take(self, name: str, body: bytes) -> tuple[int, bytes]:
        """Take predictions: (status, body). 422 only when every one is refused. Raises Unparsable, TooLarge, what `Dispatcher.known` and `Table.find_elsewhere` raise,
        and Unavailable where they cannot be logged: then none is taken.
        """
        model = self._dispatcher.known(name).find_elsewhere(name)
        given, now = predictions_of(body), time.time_ns() // 1000
        made: dict[tuple[str, str], Made] = {}
        refused: list[dict[str, Any]] = []
        duplicates = 0
        for index, raw in enumerate(given):
            try:
                one = read_prediction(raw, model, now, guess=len(refused) < MOST_PROBLEMS)
                self._check_version(name, one.version)
            except BadInput as error:
                self._dispatcher.refuse(name, error, model.names)
                detail = f"{error.what}: {error.why}" if error.why else error.what
                refused.append({"index": index, "code": error.code, "detail": detail, "fix": error.fix})
                continue
            key = (name, one.id)
            if key in made or key in self._seen:
                duplicates += 1
                continue
            made[key] = one
        if made and not self._dispatcher.record(model, list(made.values())):
            why = "the disk is full: what is not logged is not kept"
            raise Unavailable("no prediction was taken", why=why, fix="make room, and send them again")
        self._remember(made)
        ignored = dict.fromkeys(name[:80] for one in made.values() for name in one.ignored)
        document: dict[str, Any] = {"accepted": len(made), "duplicates": duplicates, "refused": refused}
        if ignored:
            document["ignored"] = list(ignored)[:_MOST_IGNORED]
        return (422 if len(refused) == len(given) else 200), _encode(document)

    def _check_version(self, name: str, version: str) -> None:
        known = self._versions.setdefault(name, set())
        if version not in known and len(known) >= _MOST_VERSIONS:
            why = f"predictions of {_MOST_VERSIONS} others came since this gateway started: a version is a release, and not a build or a request"
            raise BadInput(f"{shown(version)} is one version too many", why=why, fix="send the name of the release")
        known.add(version)

    def _remember(self, made: dict[tuple[str, str], Made]) -> None:
        """Know these again; only what is in the log is remembered."""
        self._seen.update(dict.fromkeys(made))
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
