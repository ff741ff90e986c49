"""The loop's ports over history: the same tick, with a file for the world and a clock that is told the time.

A prediction is made at M = T − horizon by whatever the route says then; its label is known at T plus the label's delay. Nothing here
sees a row before it was known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import polars as pl

from flyball.clock import FARTHEST, Instant
from flyball.declare.data import Dataset
from flyball.declare.live import label_delay
from flyball.declare.model import Model
from flyball.errors import FlyballError
from flyball.evaluation.counts import Folder
from flyball.evaluation.counts_columns import ATTRIBUTE, SCORES, held
from flyball.features.assemble import feature_columns, watched_columns
from flyball.loop.library import BlobLibrary
from flyball.records import codec
from flyball.records.base import Event
from flyball.records.data import DataCommitted, DatasetRow, DatasetVersion
from flyball.records.declarations import DeclarationRow
from flyball.records.evidence import Batch, Cursor, Watch
from flyball.records.models import Signature
from flyball.records.serving import Arm, ModelRoute, RouteTable
from flyball.records.training import RunResult, RunSpec
from flyball.serving.pick import Picker
from flyball.serving.proofs import Proofs
from flyball.serving.routes import InForce
from flyball.store.blobs import Blobs
from flyball.training.fitting import FitCache
from flyball.training.job import Observed
from flyball.training.predictor import Predictor, answers
from flyball.training.rejudge import rejudge
from flyball.training.requested import requested
from flyball.training.rows import Assembled, taught_released
from flyball.training.run import drift_reference, perform
from flyball.training.suites import ask_suites

_CHUNK = 1_440
"""Rows a version answers ahead in one call; a model is a pure function, so when it is asked does not matter."""


class ReplayRoutes:
    """Routes that are in force as soon as they are desired."""

    def __init__(self) -> None:
        self.table = RouteTable(epoch=0)

    def desire(self, table: RouteTable, since: Instant, proofs: Proofs) -> None:  # noqa: ARG002 - the port's signature
        """Take the table over."""
        self.table = table

    def status(self) -> InForce:
        """The table is in force."""
        return InForce(epoch=self.table.epoch, processes=1)


class ReplayData:
    """All rows are committed before time begins; what may be seen of them is decided by `as_of`."""

    def __init__(self, versions: Mapping[str, DatasetVersion]) -> None:
        """versions: by data set."""
        self._versions = versions

    def refresh(self, dataset: Dataset, row: DatasetRow | None, declared: DeclarationRow) -> Event | None:  # noqa: ARG002 - the port's signature
        """A source never changes."""
        version = self._versions.get(dataset.name)
        return DataCommitted(version=version) if row is None and version is not None else None


class ReplayRuns:
    """Runs done at once, in this process, by the function that jobs call."""

    def __init__(self, model: Model, rows: Assembled, frames: Mapping[str, pl.DataFrame], blobs: Blobs, cache: FitCache) -> None:
        self.predictors: dict[str, Predictor] = {}
        self.fit_s = 0.0
        self._holdouts: dict[str, pl.DataFrame] = {}
        self.alarms: list[str] = []
        self._model, self._rows, self._frames, self._blobs, self._cache = model, rows, frames, blobs, cache
        self._library = BlobLibrary(blobs)
        self._done: dict[tuple[str, int], Observed] = {}

    def submit(self, run: str, attempt: int, spec: str, model: Model) -> None:
        """Make the run: the code of the real model under the gates that are declared now."""
        what = self._library.spec(spec)
        real = self._model if model.gates else self._model.replace(gates=(), suites=())
        if what.candidate:
            self._done[run, attempt] = Observed(state="succeeded", result=self._again(what), cpu_s=0.0)
            return
        try:
            made = perform(
                what,
                real,
                self._frames,
                None,
                champion=self.predictors.get(what.champion),
                rows=self._rows,
                package=False,
                cache=self._cache,
            )
        except FlyballError as error:
            self._done[run, attempt] = Observed(state="failed", why=str(error), cpu_s=0.0)
            return
        artifact = hashlib.sha256(f"{run}/{spec}".encode()).hexdigest()
        self.predictors[artifact], self._holdouts[artifact] = made.predictor, made.holdout
        self.fit_s += made.result.fit_s
        result = msgspec.structs.replace(made.result, artifact=artifact, reference=self._reference(made.result, what.as_of, made.holdout))
        self._done[run, attempt] = Observed(state="succeeded", result=self._blobs.put(codec.encode(result)), cpu_s=0.0)

    def _again(self, what: RunSpec) -> str:
        champion, candidate, prior = self.predictors.get(what.champion), self.predictors[what.candidate], self._library.result(what.prior)
        learned = taught_released(self._rows.as_known(what.as_of), candidate.trained_until, prior.window)
        result, self._holdouts[what.candidate] = rejudge(
            what,
            self._model,
            self._rows,
            prior,
            candidate=candidate,
            champion=(champion, self._rows) if champion is not None else None,
            earlier=self._holdouts[what.candidate],
            suites=ask_suites(self._model, candidate, self._frames, what.as_of, what.unread, learned=learned),
        )
        return self._blobs.put(codec.encode(result))

    def _reference(self, result: RunResult, as_of: Instant, holdout: pl.DataFrame) -> str:
        rows = self._rows.as_known(as_of)
        end = rows.known_by(as_of)
        start = int(np.searchsorted(rows.times, rows.times[end - 1] - result.window))
        trained = rows.frame[start:end]
        sent = requested(self._model, self._frames, trained, as_of)
        return self._blobs.put(msgspec.json.encode(drift_reference(self._model, sent, trained, holdout)))

    def observe(self, run: str, attempt: int) -> Observed:
        """What became of a run."""
        return self._done.get((run, attempt), Observed(state="absent"))

    def keep(self, runs: Sequence[tuple[str, int]]) -> None:
        """Nothing runs for long here."""

    def cancel(self, run: str, attempt: int) -> None:
        """Nothing runs for long here."""

    def held(self) -> Sequence[str]:
        """A rehearsal keeps no files."""
        return ()

    def forget(self, run: str) -> None:
        """A rehearsal keeps no files."""


class ReplayLibrary(BlobLibrary):
    """Artifacts are objects in memory here, so their signatures are too."""

    def __init__(self, blobs: Blobs, runs: ReplayRuns) -> None:
        super().__init__(blobs)
        self._runs = runs
        self.signature = self._of_predictor  # type: ignore[assignment]  # the cache around the blob reader is not needed

    def _of_predictor(self, artifact: str) -> Signature:
        return self._runs.predictors[artifact].signature


class ReplayEvidence:
    """What the log would have held. `answered` and `correct` keep what callers were told, row by row, for the report."""

    def __init__(self, model: Model, rows: Assembled, routes: ReplayRoutes, runs: ReplayRuns) -> None:
        self._model, self._rows, self._routes, self._runs = model, rows, routes, runs
        self._moments = rows.times - int(model.framing.horizon)
        self._known = pl.Series("known", np.maximum(rows.known, self._moments + int(label_delay(model))))
        self._news = np.unique(np.concatenate([self._moments, self._known.to_numpy()]))
        self._base = _requests(model, rows, self._moments)
        self._y = rows.frame["__y"]
        self._features = feature_columns(model)
        self._folder: Folder | None = None
        self._unserved: Instant = 0
        self._answers: dict[tuple[str, int], tuple[pl.Series, pl.Series]] = {}
        self.value: list[object] = [None] * len(rows.times)

    def next_after(self, now: Instant) -> Instant:
        """When somebody asks, or a label comes, for the first time after `now`; FARTHEST if nobody does."""
        place = int(np.searchsorted(self._news, now, side="right"))
        return int(self._news[place]) if place < self._news.size else FARTHEST

    def since(self, cursor: Cursor, until: Instant, watches: dict[str, Watch]) -> tuple[Batch, Cursor]:
        """Everything that callers asked, and labels told, in (cursor, until]."""
        watch, route = watches.get(self._model.name), self._routes.table.models.get(self._model.name)
        after = Cursor(until=until)
        if watch is None or route is None or not route.arms:
            # a cursor of nothing is not kept, and what nobody answered then is not answered later
            self._unserved = until
            return Batch(until=until), after
        since = max(cursor.until, self._unserved)
        low, high = (int(np.searchsorted(self._moments, moment, side="right")) for moment in (since, until))
        if self._folder is None:
            self._folder = Folder(watch)
        self._folder.rewatch(watch)
        if high > low:
            self._folder.add(self._scored(route, low, high), self._labels(low, high, watch))
        return self._folder.take(until), after

    def _labels(self, low: int, high: int, watch: Watch) -> pl.DataFrame:
        base, frame = self._base[low:high], self._rows.frame[low:high]
        groups = [name for name in watch.attributes if f"__slice_{name}" in frame.columns]
        return base.select(
            "request_id",
            self._known[low:high].alias("at"),
            self._y[low:high].alias("value"),
            *(frame[f"__slice_{name}"].cast(pl.String).alias(ATTRIBUTE + name) for name in groups),
        )

    def _scored(self, route: ModelRoute, low: int, high: int) -> pl.DataFrame:
        base = self._base[low:high]
        weight = next((arm.weight for arm in route.arms if arm.role == "challenger"), 0)
        picked = self._picked(route, base)
        parts = []
        for arm in (*route.arms, *route.shadows):
            value, score = self._ask(arm.artifact, low, high)
            mine = picked == arm.version
            chosen = mine if arm in route.arms else ~mine
            if not chosen.any():
                continue
            part = base.with_columns(
                pl.lit(arm.version).alias("version"),
                pl.lit(arm.role).alias("role"),
                pl.lit(route.salt).alias("rollout"),
                pl.lit(weight).alias("weight"),
                value.alias("value"),
                score.alias(SCORES if isinstance(score.dtype, pl.List) else "score"),
            )
            parts.append(part.filter(chosen))
            if arm in route.arms:
                self._tell(low, chosen, value)
        return pl.concat(parts)

    def _picked(self, route: ModelRoute, base: pl.DataFrame) -> pl.Series:
        if len(route.arms) == 1:
            return pl.Series("picked", [route.arms[0].version], dtype=pl.String).new_from_index(0, base.height)
        picker = Picker(route)
        arms: list[Arm | None] = [picker.pick(key) for key in base["key"].fill_null(base["request_id"]).to_list()]
        return pl.Series("picked", [arm.version if arm else "" for arm in arms])

    def _tell(self, low: int, chosen: pl.Series, value: pl.Series) -> None:
        for place in chosen.arg_true().to_list():
            self.value[low + place] = value[place]

    def _ask(self, artifact: str, low: int, high: int) -> tuple[pl.Series, pl.Series]:
        values, scores = [], []
        for chunk in range(low // _CHUNK, (high - 1) // _CHUNK + 1):
            value, score = self._chunk(artifact, chunk)
            start, stop = max(low - chunk * _CHUNK, 0), min(high - chunk * _CHUNK, _CHUNK)
            values.append(value[start:stop])
            scores.append(score[start:stop])
        return pl.concat(values), pl.concat(scores)

    def _chunk(self, artifact: str, chunk: int) -> tuple[pl.Series, pl.Series]:
        if (artifact, chunk) not in self._answers:
            frame = self._rows.frame[chunk * _CHUNK : (chunk + 1) * _CHUNK].select(self._features)
            value, score = answers(self._runs.predictors[artifact].predict(frame))
            self._answers[artifact, chunk] = (value.cast(pl.Float64) if value.dtype.is_numeric() else value, score)
        return self._answers[artifact, chunk]


def _requests(model: Model, rows: Assembled, moments: np.ndarray) -> pl.DataFrame:
    """One row a request: id, moment, key, and what is watched of what the caller sends (with the slices' columns under their own names)."""
    frame = rows.frame
    sent = watched_columns(model, frame)
    named = {column.meta.output_name() for column in sent}
    parts = [part.name for part in model.slices if part.name not in named and f"__slice_{part.name}" in frame.columns]
    ids = pl.Series("request_id", [f"{place:08d}" for place in range(frame.height)])
    key = frame["__key"].cast(pl.String) if "__key" in frame.columns else pl.Series([None] * frame.height, dtype=pl.String)
    return frame.select(
        ids,
        pl.Series("at", moments),
        key.alias("key"),
        pl.lit("ok").alias("status"),
        pl.lit(0, dtype=pl.Int64).alias("latency_us"),
        *(column.alias(held(column.meta.output_name())) for column in sent),
        *(pl.col(f"__slice_{name}").alias(held(name)) for name in parts),
    )
