"""Immutable values behind blob hashes, decoded once and kept."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from flyball.declare import codec as declarations
from flyball.declare.framing import in_force
from flyball.declare.model import Model
from flyball.declare.policy import Autonomy, Rollout
from flyball.records import codec
from flyball.records.evaluation import Report
from flyball.records.evidence import Bins
from flyball.records.models import Manifest, Signature
from flyball.records.training import RunResult, RunSpec
from flyball.records.unlabelled import Expected
from flyball.store.blobs import Blobs

_MODELS = 4096
"""Each tick asks for every model that is declared, and what its champion was judged by, in turn: a cache that is smaller than their number finds none of them."""


def rehearsed(model: Model) -> Model:
    """A declaration where it is only rehearsed: what passed its gates answers at once, for whoever would compare it on traffic is not there."""
    return model.replace(
        rollout=Rollout(watch="1s"), autonomy=Autonomy(training=model.autonomy.training, release="act", rollback=model.autonomy.rollback)
    )


class BlobLibrary:
    """Reads from blobs; a hash never changes its meaning, so every answer is remembered (the newest few thousand)."""

    def __init__(self, blobs: Blobs, *, rehearses: bool = False) -> None:
        """rehearses: this is for an environment that another one follows, where nobody's traffic is to be waited for."""
        self._blobs = blobs
        self._rehearses = rehearses
        # what a declaration implies is obeyed as what it says: nothing in the loop sees the one without the other
        self.model = lru_cache(maxsize=_MODELS)(self._model)
        self.result = lru_cache(maxsize=_MODELS)(self._result)
        self.signature = lru_cache(maxsize=_MODELS)(self._signature)
        self.bins = lru_cache(maxsize=_MODELS)(self._bins)
        self.expected = lru_cache(maxsize=_MODELS)(self._expected)
        self.report = lru_cache(maxsize=64)(self._report)
        self.spec = lru_cache(maxsize=512)(self._spec)

    def _model(self, body: str) -> Model:
        model = in_force(declarations.decode(self._blobs.get(body).decode()))
        return rehearsed(model) if self._rehearses else model

    def _result(self, digest: str) -> RunResult:
        return codec.decode(self._blobs.get(digest), RunResult)

    def _report(self, digest: str) -> Report:
        return codec.decode(self._blobs.get(digest), Report) if digest else Report()

    def _spec(self, digest: str) -> RunSpec:
        return codec.decode(self._blobs.get(digest), RunSpec)

    def _signature(self, artifact: str) -> Signature:
        return codec.decode(self._blobs.get(artifact), Manifest).signature

    def _expected(self, digest: str) -> Expected:
        return codec.decode(self._blobs.get(digest), Expected) if digest else Expected(why="the version is of before estimates were made")

    def _bins(self, digest: str) -> tuple[Bins, ...]:
        return msgspec.json.decode(self._blobs.get(digest), type=tuple[Bins, ...]) if digest else ()
