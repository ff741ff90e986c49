"""From rows and labels to additive counts: the one fold that serves the live log and the backtest alike (docs/statistics.md §1–3).

Rows come in when they were scored; traffic and input cells are counted at once, quality when the row matures: at its time plus
the label delay, on the label known by then. However time is cut into calls of `take`, the sums are the same; no decision rests
on how they were cut. Nothing here reads a clock or a file.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl

from flyball.clock import Instant
from flyball.evaluation import counts_answered as days
from flyball.evaluation import counts_quality as sums
from flyball.evaluation.counts_columns import ATTRIBUTE, LIST, ROWS, SCORES, held
from flyball.evaluation.counts_elsewhere import Underway
from flyball.evaluation.counts_groups import parted
from flyball.evaluation.counts_inputs import LABEL, inputs, labels_of
from flyball.evaluation.counts_labels import Found, LabelBook, plain
from flyball.evaluation.counts_lists import with_lists
from flyball.evaluation.counts_sums import labelled_late, quality
from flyball.evaluation.counts_traffic import scored
from flyball.evaluation.counts_units import Units
from flyball.records.evidence import Batch, InputCounts, Pairs, Traffic, Watch
from flyball.records.rollouts import PairCounts

_DEFAULTS: dict[str, object] = {"rollout": "", "weight": 0, "status": "ok", "stand_in": False, "role": "champion"}
_LABELS = frozenset(("request_id", "at", "came", "value"))
_LABEL = pl.col(f"^({'|'.join(_LABELS)})$")
_LATE_PARTNER = 120_000_000
"""How much later than the first the second row of a pair may be picked: a shadow queues behind the answer."""
_CHUNK = 65_536
_SMALL_CHUNKS = 64
_ROLES = {"challenger": 0, "champion": 1, "shadow": 2, "former": 3}


@dataclass(frozen=True)
class LabelTally:
    """What became of labels so far. `unmatched`: no such request, or it had been judged without them; `late`: it had been judged, and is known."""

    waiting: int
    unmatched: int
    duplicates: int
    corrected: int
    late: int


class _Chunk(NamedTuple):
    """Rows that wait for their label, in order of time, and when the first and the last of them were asked for."""

    rows: pl.DataFrame
    first: Instant
    last: Instant

    @classmethod
    def of(cls, rows: pl.DataFrame) -> _Chunk:
        at = rows["at"]
        return cls(rows, at[0], at[-1])


class Folder:
    """Folds one model's rows and labels into counts. Memory is bounded by the label delay and the keys of active rollouts."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._incoming: list[pl.DataFrame] = []
        self._pending: deque[_Chunk] = deque()
        self._lone = pl.DataFrame()
        self._labels = LabelBook()
        self._units = Units()
        self._paired: dict[str, set[str]] = {}
        self._answered = self._labelled = 0
        self._label_is_sent = False
        self._underway = Underway() if watch.patience else None

    def rewatch(self, watch: Watch) -> None:
        """Go on under another Watch of the same model: other bins, slices or rollouts. Rows that wait keep the slices they had."""
        if watch == self._watch:
            return
        self._watch = watch
        if bool(watch.patience) != (self._underway is not None):
            self._underway = Underway() if watch.patience else None
        active = set(watch.arms) | set(watch.slow_us)
        self._units.keep(active)
        self._paired = {rollout: keys for rollout, keys in self._paired.items() if rollout in active}

    @property
    def labels(self) -> LabelTally:
        """What became of labels so far."""
        book = self._labels
        return LabelTally(
            waiting=len(book),
            unmatched=book.unmatched,
            duplicates=book.arrivals.duplicates,
            corrected=book.arrivals.corrected,
            late=book.arrivals.too_late,
        )

    def add(self, rows: pl.DataFrame, labels: pl.DataFrame) -> None:
        """Take rows (`ROWS`, `value`, inputs) and labels (`LABELS`, `value`) in, in any order; missing optional columns get defaults.

        One row per request and scoring version. `status` is ok, error or dropped (a shadow that was never scored). `value` holds
        numbers or booleans, or text for classes that are text; `SCORES` a list with the score of each class. Labels may have protected columns
        of the row, as text in `attribute:…`: a value that is none of those declared is left out.
        """
        if rows.height:
            conform = _conform(rows)
            self._incoming.append(conform if self._underway is None else self._underway.once(conform))
        if labels.height:
            told = self._attributes(labels)
            self._labels.add(labels.select(_LABEL, *told) if told or not _LABELS.issuperset(labels.columns) else labels)
            if self._underway is not None:
                self._underway.told(labels)

    def take(self, until: Instant) -> Batch:
        """Counts of all that became visible up to `until` and was not taken before."""
        now = self._due(until)
        wait = max(self._watch.label_delay, self._watch.patience)
        self._labels.know(until, self._watch.label_delay, wait)
        traffic, counted = self._traffic(now, until), self._inputs(now)
        self._wait(now)
        matured = self._mature(until)
        told: tuple[InputCounts, ...] = ()
        if not self._label_is_sent:
            told, self._labelled = labels_of(matured, self._watch, self._labelled)
        late = self._late(matured, until)
        unmatched = self._labels.expire(until, wait)
        self._labels.relieve(self._waiting)
        return Batch(
            until=until,
            traffic=traffic,
            quality=(*with_lists(quality(matured, self._watch), matured, self._watch), *labelled_late(late, self._watch)),
            pairs=self._pairs(matured, until),
            blocks=(*sums.blocks(matured, self._watch), *sums.blocks(late, self._watch)),
            labels=self._labels.told(self._watch.model),
            inputs=counted + told,
            answered=days.joined([*days.answered(now, self._watch), *days.became(matured, self._watch)]),
            unmatched={self._watch.model: unmatched} if unmatched else {},
        )

    def _waiting(self) -> list[pl.Series]:
        """The ids of the rows that wait for their label."""
        return [chunk.rows["request_id"] for chunk in self._pending] + (self._underway.requests() if self._underway else [])

    def _due(self, until: Instant) -> pl.DataFrame:
        if not self._incoming:
            return pl.DataFrame()
        rows = self._incoming[0] if len(self._incoming) == 1 else pl.concat(self._incoming, how="diagonal_relaxed")
        rows, later = parted(rows, rows["at"].to_numpy() <= until)
        self._incoming = [later] if later.height else []
        if bool((np.diff(rows["at"].to_numpy()) > 0).all()):
            return rows
        rank = pl.col("role").replace_strict(_ROLES, default=9, return_dtype=pl.Int8)
        return rows.sort("at", "request_id", rank)

    def _traffic(self, rows: pl.DataFrame, until: Instant) -> tuple[Traffic, ...]:
        found = scored(rows, self._units, self._watch) if rows.height else {}
        for where, units in self._units.settled(until - self._watch.settle).items():
            known = found.get(where) or Traffic(model=self._watch.model, **where._asdict())
            found[where] = msgspec.structs.replace(known, units=known.units + units)
        return tuple(found[where] for where in sorted(found))

    def _inputs(self, rows: pl.DataFrame) -> tuple[InputCounts, ...]:
        if rows.is_empty() or not self._watch.bins:
            return ()
        answered = _only(rows, (rows["role"] == "champion") & (rows["status"] == "ok"))
        if answered.is_empty():
            return ()
        # an input may be called so: the reference of that name is then its own
        self._label_is_sent = self._label_is_sent or held(LABEL) in answered.columns
        found, self._answered = inputs(answered, self._watch, self._answered)
        return found

    def _wait(self, rows: pl.DataFrame) -> None:
        if rows.is_empty():
            return
        there = rows["status"] == "ok"
        scored = _only(rows, there & rows["value"].is_not_null() if rows["value"].null_count() else there)
        if scored.height:
            kept = [scored[name] for name in ("request_id", "at", "version", "role", "rollout", "key", "value", "score")]
            kept += [scored[name] for name in (SCORES, LIST) if name in scored.columns]
            self._pending.append(_Chunk.of(pl.DataFrame([*kept, *sums.slices_of(scored, self._watch)])))

    def _mature(self, until: Instant) -> pl.DataFrame:
        delay = self._watch.label_delay
        ready: list[pl.DataFrame] = []
        waiting: deque[_Chunk] = deque()
        for chunk in self._pending:
            # chunks are sorted by time, but a late chunk may hold older rows than the one before it
            if chunk.last + delay <= until:
                ready.append(chunk.rows)
            elif chunk.first + delay > until:
                waiting.append(chunk)
            else:
                due, later = parted(chunk.rows, chunk.rows["at"].to_numpy() + int(delay) <= until)
                ready.append(due)
                waiting.append(_Chunk.of(later))
        self._pending = _compacted(waiting)
        if not ready:
            return pl.DataFrame()
        matured = ready[0] if len(ready) == 1 else pl.concat(ready, how="diagonal_relaxed")
        matured = matured.hstack([pl.Series("mature_at", matured["at"].to_numpy() + int(delay))])
        if not bool((np.diff(matured["mature_at"].to_numpy()) > 0).all()):
            matured = matured.sort("mature_at", "request_id", "version")
        found = self._labels.known_by(matured["request_id"], matured["mature_at"].to_numpy(), matured["value"].dtype)
        matured = self._judged(matured, found)
        champion = (matured["role"] == "champion").to_numpy()
        # a row whose label may be on its way is known for as much longer
        self._labels.judge(matured["at"].to_numpy(), champion, found, delay=delay, until=until - int(self._watch.patience))
        return matured

    def _judged(self, rows: pl.DataFrame, found: Found) -> pl.DataFrame:
        added = [found.labels, *(_of_label(name, found.slices) for name in self._watch.attributes if found.slices is not None)]
        return sums.with_losses(rows.hstack(added), self._watch)

    def _attributes(self, labels: pl.DataFrame) -> list[pl.Expr]:
        return [
            pl.when(pl.col(ATTRIBUTE + name).cast(pl.String).is_in(values))
            .then(pl.lit(f"{name}=") + pl.col(ATTRIBUTE + name).cast(pl.String))
            .alias(ATTRIBUTE + name)
            for name, values in self._watch.attributes.items()
            if ATTRIBUTE + name in labels.columns
        ]

    def _late(self, matured: pl.DataFrame, until: Instant) -> pl.DataFrame:
        """Rows that were judged without a label, and have one now; of a model that is served elsewhere alone."""
        if self._underway is None:
            return pl.DataFrame()
        self._underway.keep(matured, until)
        parts: list[pl.DataFrame] = []
        for rows, found in self._underway.found(self._labels, until, self._watch.patience):
            self._labels.found(rows["at"].to_numpy(), found, self._watch.label_delay)
            parts.append(self._judged(rows, found))
        return pl.concat(parts, how="diagonal_relaxed") if parts else pl.DataFrame()

    def _pairs(self, matured: pl.DataFrame, until: Instant) -> tuple[Pairs, ...]:
        fresh = matured
        if matured.height:
            rollouts = matured["rollout"]
            # mostly none is under way
            none = not rollouts[0] and bool((rollouts == rollouts[0]).all())
            fresh = matured.clear() if none else matured.filter((pl.col("rollout") != "") & pl.col("loss").is_not_null())
        if fresh.is_empty() and self._lone.is_empty():
            return ()
        rows = (
            pl.concat([self._lone, fresh], how="diagonal_relaxed")
            if self._lone.height and fresh.height
            else (fresh if fresh.height else self._lone)
        )
        pairs = sums.pair(rows, self._watch)
        done = pairs["request_id"].implode()
        self._lone = rows.filter(~pl.col("request_id").is_in(done) & (pl.col("mature_at") + _LATE_PARTNER > until))
        first = [self._first_pair(*row) for row in pairs.select("rollout", "key").iter_rows()]
        pairs = pairs.filter(pl.Series(first, dtype=pl.Boolean))
        if pairs.is_empty():
            return ()
        return tuple(
            Pairs(
                model=self._watch.model,
                rollout=row["rollout"],
                new=row["new"],
                old=row["old"],
                counts=PairCounts(**{name: row[name] for name in ("slice", "minus", "zero", "plus", "old_loss")}),
            )
            for row in sums.pair_sums(pairs).iter_rows(named=True)
        )

    def _first_pair(self, rollout: str, key: str | None) -> bool:
        if key is None:
            return True
        keys = self._paired.setdefault(rollout, set())
        if key in keys:
            return False
        keys.add(key)
        return True


def _only(rows: pl.DataFrame, there: pl.Series) -> pl.DataFrame:
    """The rows that are `there`; nearly always all are, and none is copied."""
    return rows if there.null_count() == 0 and there.all() else rows.filter(there)


def _compacted(chunks: deque[_Chunk]) -> deque[_Chunk]:
    """Join small chunks into larger ones: with a long label delay there are many, and only the oldest is ever cut."""
    if sum(chunk.rows.height < _CHUNK for chunk in chunks) <= _SMALL_CHUNKS:
        return chunks
    found: deque[_Chunk] = deque()
    group: list[pl.DataFrame] = []
    for chunk in chunks:
        group.append(chunk.rows)
        if sum(one.height for one in group) >= _CHUNK:
            found.append(_Chunk.of(pl.concat(group, how="diagonal_relaxed").sort("at")))
            group = []
    if group:
        found.append(_Chunk.of(pl.concat(group, how="diagonal_relaxed").sort("at")))
    return found


def _of_label(name: str, slices: list[tuple[str, ...]]) -> pl.Series:
    """A slice that came with the labels, of each row: its value, or null."""
    start = f"{name}="
    values = [next((each.removeprefix(start) for each in some if each.startswith(start)), None) for some in slices]
    return pl.Series(ATTRIBUTE + name, values, dtype=pl.String)


def _conform(rows: pl.DataFrame) -> pl.DataFrame:
    missing = [pl.lit(_DEFAULTS.get(name), dtype=dtype).alias(name) for name, dtype in ROWS.items() if name not in rows.columns]
    if "value" not in rows.columns:
        missing.append(pl.lit(None, dtype=pl.Float64).alias("value"))
    rows = rows.with_columns(missing) if missing else rows
    others = [pl.col(name).cast(dtype) for name, dtype in ROWS.items() if rows.schema[name] != dtype]
    # booleans stay what they are until here: their cells in the reference are text
    value = plain(rows["value"])
    return rows.with_columns(*others, value) if others or value.dtype != rows["value"].dtype else rows
