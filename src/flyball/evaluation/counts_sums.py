"""Quality of matured rows as sums, by version, role, slice and minute: everything a metric of live rows can be made from. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.declare.metrics import CLASSES
from flyball.evaluation.counts_columns import ATTRIBUTE, SCORES, SLICE
from flyball.evaluation.counts_groups import Coded, Codes, Groups, coded, groups
from flyball.evaluation.counts_quality import MINUTE, slice_names
from flyball.evaluation.direct import known, rows_at
from flyball.evaluation.rows import MOST_ERROR, TINY
from flyball.records.evidence import MOST, Quality, Watch
from flyball.stats import binned
from flyball.stats.logspace import Floats

Flags = NDArray[np.bool_]
_TP, _FP, _FN, _TN, _RIGHT, _WRONG = range(6)
_KINDS = 6
_SUMMED = ("value", "label", "score", "loss", "wrong", SCORES)


@dataclass(frozen=True)
class Rows:
    """Rows with a label as arrays (n,): their places among all that matured, what kind of row each is, what is summed of it, and which have scores in
    cells.
    """

    at: Codes
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
    by = groups(place.keys if everyone else place.keys[there], place.most)
    own = there[rows.at]

    def kept(values: Any) -> Any:
        # where no scores are kept in cells there are none of any row
        return values if everyone or not values.size else values[own]

    matured = np.bincount(by.codes, minlength=len(by.keys)).tolist()
    labels = by.of(rows.at if everyone else (np.cumsum(there) - 1)[rows.at[own]])
    kinds = labels.table(kept(rows.kinds), _KINDS)
    sums = {each: _held(labels.sum(kept(values))) for each, values in rows.sums.items()}
    scored = kept(rows.scored)
    scores = _scores(labels, scored, kept(rows.cells), kept(rows.places), kept(rows.positive))
    counts = labels.sum(scored)
    for group, key in enumerate(by.keys):
        version, role, minute, value = place.of(key)
        of = kinds[group].tolist()
        right = of[_TP] + of[_TN] + of[_RIGHT]
        labelled = sum(of)
        summed = {each: float(values[group]) for each, values in sums.items()}
        if watch.task in CLASSES:
            summed |= {"loss": float(labelled - right), "loss_sq": float(labelled - right)}
        yield Quality(
            model=watch.model,
            version=version,
            role=role,  # type: ignore[arg-type]  # text of a column that holds roles
            slice=f"{name}={value}" if name else "",
            minute=minute,
            matured=matured[group],
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
    at = np.flatnonzero(known(matured["label"]))
    # of most rows no label may ever come, and there is nothing to sum of them
    if at.size < matured.height:
        matured = rows_at(pl.DataFrame([matured[name] for name in _SUMMED if name in matured.columns]), at)
    nobody: Flags = np.zeros(at.size, dtype=np.bool_)
    nothing: Codes = np.empty(0, dtype=np.int64)
    plain = Rows(at, np.full(at.size, _RIGHT), {}, nobody, nothing, nothing, nobody)
    if watch.task in CLASSES:
        plain = replace(plain, kinds=np.where(matured["wrong"].to_numpy() > 0, _WRONG, _RIGHT))
        return (_binary if watch.task == "binary" else _multiclass)(matured, watch, plain)
    if watch.task == "ranking" or matured["value"].dtype != pl.Float64:
        return plain
    loss, value, truth = (matured[name].fill_null(0.0).to_numpy() for name in ("loss", "value", "label"))
    return replace(plain, sums={"loss": loss, "loss_sq": loss * loss} | _powers(value, truth))


def _powers(value: Floats, truth: Floats) -> dict[str, Floats]:
    """What is summed of numbers; whatever is not finite or too large is `MOST`."""
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
        return {name: np.clip(np.nan_to_num(values, nan=MOST), -MOST, MOST) for name, values in found.items()}


def plain_class(label: object, numbers: bool) -> float | str | None:  # noqa: FBT001 - the one of two forms that the rows have
    """A class in the form in which values and labels are compared (`counts_labels.plain`); None where it has none of that form."""
    if not numbers:
        return str(label)
    return float(label) if isinstance(label, int | float) else None


def _binary(labelled: pl.DataFrame, watch: Watch, plain: Rows) -> Rows:
    numbers = labelled["value"].dtype == pl.Float64
    classes = [plain_class(one, numbers) for one in watch.classes] or ([0.0, 1.0] if numbers else [])
    kinds = plain.kinds
    truth = plain.positive
    known = truth
    if len(classes) == 2 and None not in classes:
        told = {name: [_is(labelled[name], one) for one in classes] for name in ("value", "label")}
        called, truth = told["value"][1], told["label"][1]
        known = told["label"][0] | truth
        both = known & (told["value"][0] | called)
        kinds = np.where(both, np.where(called, np.where(truth, _TP, _FP), np.where(truth, _FN, _TN)), kinds)
    # a null becomes NaN by itself
    score = labelled["score"].to_numpy()
    scored = known & (score >= 0) & (score <= 1)
    held = np.where(scored, score, 0.5)
    cells, places = binned.spots_of(held)
    lost = np.where(scored, -np.log(np.clip(np.where(truth, held, 1 - held), TINY, 1 - TINY)), 0.0)
    off = np.where(scored, (held - truth) ** 2, 0.0)
    sums = {"log_loss": lost, "log_loss_sq": lost * lost, "sq_score": off, "quad_score": off * off}
    return replace(plain, kinds=kinds, sums=sums, scored=scored, cells=cells, places=places, positive=truth)


def _is(values: pl.Series, one: object) -> Flags:
    found: Flags = values.to_numpy() == one if values.dtype == pl.Float64 else (values == one).fill_null(value=False).to_numpy()
    return found


def _multiclass(labelled: pl.DataFrame, watch: Watch, plain: Rows) -> Rows:
    if not watch.classes or SCORES not in labelled.columns or labelled[SCORES].dtype != pl.List:
        return plain
    happened = _of_what_happened(labelled, watch)
    scored = (happened >= 0) & (happened <= 1)
    lost = np.where(scored, -np.log(np.clip(np.where(scored, happened, 1.0), TINY, 1 - TINY)), 0.0)
    return replace(plain, sums={"log_loss": lost, "log_loss_sq": lost * lost}, scored=scored)


def _of_what_happened(labelled: pl.DataFrame, watch: Watch) -> Floats:
    """The score of the class that a row turned out to be; NaN where there is none."""
    numbers = labelled["label"].dtype == pl.Float64
    classes = [plain_class(one, numbers) for one in watch.classes]
    places = list(range(len(classes)))
    place = pl.col("label").replace_strict(classes, places, default=None, return_dtype=pl.Int64)
    whole = pl.col(SCORES).list.len() == len(classes)
    picked = labelled.select(pl.when(whole).then(pl.col(SCORES).list.get(place, null_on_oob=True)))
    found: Floats = picked.to_series().cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return found
