"""Quality of matured rows as sums, by version, role, slice and minute: everything a metric of live rows can be made from. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.declare.metrics import CLASSES
from flyball.evaluation.counts_columns import ATTRIBUTE, SCORES, SLICE
from flyball.evaluation.counts_groups import Coded, Codes, Groups, coded, groups
from flyball.evaluation.counts_quality import MINUTE, slice_names
from flyball.evaluation.rows import MOST_ERROR, TINY
from flyball.records.evidence import MOST, Quality, Watch
from flyball.stats import binned
from flyball.stats.logspace import Floats

Flags = NDArray[np.bool_]
_UNLABELLED, _TP, _FP, _FN, _TN, _RIGHT, _WRONG = range(7)
_KINDS = 8


@dataclass(frozen=True)
class Rows:
    """Matured rows as arrays (n,): what kind of row each is, what is summed of it, and which have scores in cells."""

    kinds: Codes
    sums: Mapping[str, Floats]
    scored: Flags
    cells: Codes
    places: Codes
    positive: Flags


def quality(matured: pl.DataFrame, watch: Watch) -> tuple[Quality, ...]:
    """Sums per version, role, slice and minute of maturity. `matured` comes from `with_losses` and has `mature_at`; slices are in columns
    `slice:name`, those that came with labels in `attribute:name`.
    """
    if matured.is_empty():
        return ()
    rows = _rows(matured, watch)
    found = [quality for name, place in _slicings(matured) for quality in _sums(watch, rows, name, place)]
    return tuple(sorted(found, key=lambda one: (one.version, one.role, one.slice, one.minute)))


def labelled_late(late: pl.DataFrame, watch: Watch) -> tuple[Quality, ...]:
    """The sums of rows that were counted as matured before, without their labels."""
    return tuple(msgspec.structs.replace(part, matured=0) for part in quality(late, watch))


@dataclass(frozen=True)
class _Place:
    """Where rows are counted: the code of their (version, role, minute, slice value), −1 where they have no such slice."""

    keys: Codes
    most: int
    versions: list[str]
    roles: list[str]
    minutes: tuple[int, int]
    values: list[str]

    def of(self, key: int) -> tuple[str, str, int, str]:
        rest, value = divmod(key, len(self.values))
        rest, minute = divmod(rest, self.minutes[1])
        version, role = divmod(rest, len(self.roles))
        return self.versions[version], self.roles[role], self.minutes[0] + minute, self.values[value]


def _slicings(matured: pl.DataFrame) -> Iterator[tuple[str, _Place]]:
    version, role = coded(matured["version"]), coded(matured["role"])
    minute = matured["mature_at"].to_numpy() // MINUTE
    first = int(minute.min())
    minutes = (first, int(minute.max()) - first + 1)
    base = (version.codes * len(role.values) + role.codes) * minutes[1] + (minute - first)
    most = len(version.values) * len(role.values) * minutes[1]

    def place(by: Coded) -> _Place:
        keys = np.where(by.codes < 0, -1, base * len(by.values) + by.codes)
        return _Place(keys, most * len(by.values), version.values, role.values, minutes, by.values)

    yield "", _Place(base, most, version.values, role.values, minutes, [""])
    names = [(name, SLICE + name) for name in slice_names(matured)]
    names += [(name.removeprefix(ATTRIBUTE), name) for name in matured.columns if name.startswith(ATTRIBUTE)]
    for name, column in names:
        by = coded(matured[column])
        if by.values:
            yield name, place(by)


def _sums(watch: Watch, rows: Rows, name: str, place: _Place) -> Iterator[Quality]:
    there = place.keys >= 0
    everyone = bool(there.all())

    def kept(values: Any) -> Any:
        # where no scores are kept in cells there are none of any row
        return values if everyone or not values.size else values[there]

    by = groups(kept(place.keys), place.most)
    kinds = by.table(kept(rows.kinds), _KINDS)
    sums = {each: _held(by.sum(kept(values))) for each, values in rows.sums.items()}
    scored = kept(rows.scored)
    scores = _scores(by, scored, kept(rows.cells), kept(rows.places), kept(rows.positive))
    counts = by.sum(scored)
    for group, key in enumerate(by.keys):
        version, role, minute, value = place.of(key)
        of = kinds[group].tolist()
        right = of[_TP] + of[_TN] + of[_RIGHT]
        labelled = sum(of) - of[_UNLABELLED]
        summed = {each: float(values[group]) for each, values in sums.items()}
        if watch.task in CLASSES:
            summed |= {"loss": float(labelled - right), "loss_sq": float(labelled - right)}
        yield Quality(
            model=watch.model,
            version=version,
            role=role,  # type: ignore[arg-type]  # text of a column that holds roles
            slice=f"{name}={value}" if name else "",
            minute=minute,
            matured=sum(of),
            labelled=labelled,
            correct=right,
            tp=of[_TP],
            fp=of[_FP],
            fn=of[_FN],
            tn=of[_TN],
            scored=int(counts[group]),
            scores=scores[group],
            relative_n=int(summed.pop("relative_n", 0.0)),
            **summed,  # type: ignore[arg-type]  # of sums alone
        )


def _held(sums: Floats) -> Floats:
    return np.clip(sums, -MOST, MOST)


def _scores(by: Groups, scored: Flags, cells: Codes, places: Codes, positive: Flags) -> list[bytes]:
    if not cells.size or not scored.any():
        return [b""] * len(by.keys)
    return binned.tabled(by.codes[scored], len(by.keys), cells[scored], places[scored], positive[scored])


def _rows(matured: pl.DataFrame, watch: Watch) -> Rows:
    n = matured.height
    nothing: Codes = np.empty(0, dtype=np.int64)
    labelled = matured["label"].is_not_null().to_numpy()
    no_scores = Rows(np.where(labelled, _RIGHT, _UNLABELLED), {}, np.zeros(n, dtype=np.bool_), nothing, nothing, labelled)
    if watch.task == "binary":
        return _binary(matured, watch, labelled)
    if watch.task == "multiclass":
        return _multiclass(matured, watch, labelled)
    if watch.task == "ranking" or matured["value"].dtype != pl.Float64:
        return Rows(no_scores.kinds, {}, no_scores.scored, nothing, nothing, labelled)
    loss = matured["loss"].fill_null(0.0).to_numpy()
    value, truth = (matured[name].fill_null(0.0).to_numpy() for name in ("value", "label"))
    return Rows(
        no_scores.kinds,
        {"loss": loss, "loss_sq": loss * loss} | _powers(value, truth, labelled),
        no_scores.scored,
        nothing,
        nothing,
        labelled,
    )


def _powers(value: Floats, truth: Floats, labelled: Flags) -> dict[str, Floats]:
    """What is summed of numbers, 0 of rows without a label; whatever is not finite or too large is `MOST`."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        error = np.minimum(np.nan_to_num(np.abs(value - truth), nan=MOST_ERROR), MOST_ERROR)
        squared = error * error
        truth_sq = truth * truth
        apart = truth != 0
        relative = error / np.abs(truth)
        found = {
            "abs_error": error,
            "sq_error": squared,
            "quad_error": squared * squared,
            "relative": np.where(apart, relative, 0.0),
            "relative_sq": np.where(apart, relative * relative, 0.0),
            "relative_n": apart.astype(np.float64),
            "truth": truth,
            "truth_sq": truth_sq,
            "truth_cube": truth_sq * truth,
            "truth_quad": truth_sq * truth_sq,
            "sq_truth": squared * truth,
            "sq_truth_sq": squared * truth_sq,
        }
        return {name: np.where(labelled, np.clip(np.nan_to_num(values, nan=MOST), -MOST, MOST), 0.0) for name, values in found.items()}


def plain_class(label: object, numbers: bool) -> float | str | None:  # noqa: FBT001 - the one of two forms that the rows have
    """A class in the form in which values and labels are compared (`counts_labels.plain`); None where it has none of that form."""
    if not numbers:
        return str(label)
    return float(label) if isinstance(label, int | float) else None


def _binary(matured: pl.DataFrame, watch: Watch, labelled: Flags) -> Rows:
    numbers = matured["value"].dtype == pl.Float64
    classes = [plain_class(one, numbers) for one in watch.classes] or ([0.0, 1.0] if numbers else [])
    kinds = _right_or_wrong(matured, labelled)
    truth = np.zeros(matured.height, dtype=np.bool_)
    known = truth
    if len(classes) == 2 and None not in classes:
        told = {name: [_is(matured[name], one) for one in classes] for name in ("value", "label")}
        called, truth = told["value"][1], told["label"][1]
        known = labelled & (told["label"][0] | truth)
        both = known & (told["value"][0] | called)
        kinds = np.where(both, np.where(called, np.where(truth, _TP, _FP), np.where(truth, _FN, _TN)), kinds)
    # a null becomes NaN by itself
    score = matured["score"].to_numpy()
    scored = known & (score >= 0) & (score <= 1)
    held = np.where(scored, score, 0.5)
    cells, places = binned.spots_of(held)
    lost = np.where(scored, -np.log(np.clip(np.where(truth, held, 1 - held), TINY, 1 - TINY)), 0.0)
    off = np.where(scored, (held - truth) ** 2, 0.0)
    sums = {"log_loss": lost, "log_loss_sq": lost * lost, "sq_score": off, "quad_score": off * off}
    return Rows(kinds, sums, scored, cells, places, truth)


def _right_or_wrong(matured: pl.DataFrame, labelled: Flags) -> Codes:
    wrong = matured["wrong"].to_numpy() > 0
    return np.where(labelled, np.where(wrong, _WRONG, _RIGHT), _UNLABELLED)


def _is(values: pl.Series, one: object) -> Flags:
    found: Flags = values.to_numpy() == one if values.dtype == pl.Float64 else (values == one).fill_null(value=False).to_numpy()
    return found


def _multiclass(matured: pl.DataFrame, watch: Watch, labelled: Flags) -> Rows:
    kinds = _right_or_wrong(matured, labelled)
    nothing: Codes = np.empty(0, dtype=np.int64)
    scored, sums = np.zeros(matured.height, dtype=np.bool_), dict[str, Floats]()
    if watch.classes and SCORES in matured.columns and matured[SCORES].dtype == pl.List:
        happened = _of_what_happened(matured, watch)
        scored = labelled & (happened >= 0) & (happened <= 1)
        lost = np.where(scored, -np.log(np.clip(np.where(scored, happened, 1.0), TINY, 1 - TINY)), 0.0)
        sums = {"log_loss": lost, "log_loss_sq": lost * lost}
    return Rows(kinds, sums, scored, nothing, nothing, labelled)


def _of_what_happened(matured: pl.DataFrame, watch: Watch) -> Floats:
    """The score of the class that a row turned out to be; NaN where there is none."""
    numbers = matured["label"].dtype == pl.Float64
    classes = [plain_class(one, numbers) for one in watch.classes]
    places = list(range(len(classes)))
    place = pl.col("label").replace_strict(classes, places, default=None, return_dtype=pl.Int64)
    whole = pl.col(SCORES).list.len() == len(classes)
    picked = matured.select(pl.when(whole).then(pl.col(SCORES).list.get(place, null_on_oob=True)))
    found: Floats = picked.to_series().cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return found
