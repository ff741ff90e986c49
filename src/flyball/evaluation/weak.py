"""Weak slices: parts of the rows that are served clearly worse than the rest, found by looking through all values and all pairs of values.

What is found on one half of the rows is tested on the other, Benjamini–Hochberg at 5% over all that is tested (docs/statistics.md §4), so that a
search through thousands of parts names next to nothing where there is nothing. Evidence alone is not enough: a part counts only when it is
a hundredth of the rows or more, not most of them, and clearly worse (`FLOOR`).

Source: slice search as in Chung, Kraska, Polyzotis, Tae & Whang (2019), with a test on rows that the search has not seen.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.special import bdtrc, stdtr

from flyball.errors import BadInput
from flyball.evaluation.answers import Answers
from flyball.evaluation.comparison import LEAST_ROWS, number
from flyball.evaluation.metrics import estimate
from flyball.evaluation.values import Values, few_values
from flyball.records.estimates import Estimate
from flyball.records.evaluation import WeakSlice, WeakSlices
from flyball.stats import clusters
from flyball.stats.logspace import Floats
from flyball.stats.multiplicity import benjamini_hochberg

MOST_ROWS = 200_000
"""Of more rows a seeded sample is looked through: what is a hundredth of them is 2,000 rows there."""

MOST_PAIRED = 20
"""Pairs are made of so many columns, those whose values differ most in their loss: 190 pairs."""

MOST_TESTED = 200
"""So many parts, the clearest ones on the first half, are tested on the second."""

MOST_SHOWN = 20
LEAST_SHARE, MOST_SHARE = 0.01, 0.5
LEAST_IN_HALF = 30
ALPHA = 0.05

FLOOR = {"accuracy": (1.5, 0.05), "mae": (2.0, 0.0)}
"""From where on a part is materially worse than the rest: so many times its loss, and so much more. Classes: one and a half times the errors, and
five points; numbers: twice the absolute error."""

Flags = npt.NDArray[np.bool_]


class _Part(NamedTuple):
    """A part of the rows: columns with the code of a value each, and how clear it was on the first half (z)."""

    where: tuple[tuple[str, int], ...]
    z: float


class _Tested(NamedTuple):
    part: _Part
    rows: Flags
    p: float


class _Half(NamedTuple):
    """`loss`: shape (n,); `shares`: whether it is 0 or 1; `floor`: see FLOOR."""

    loss: Floats
    groups: npt.NDArray[np.int64] | None
    shares: bool
    floor: tuple[float, float]

    def material(self, here: float, rest: float) -> bool:
        times, plus = self.floor
        return here >= times * rest and here >= rest + plus and here > rest

    def weak(self, rows: Flags, among: Flags) -> float:
        """The chance of so large a loss in `rows` if they were as the rest of `among`; 1 where it is not materially larger."""
        inside, outside = rows & among, among & ~rows
        n, m = int(inside.sum()), int(outside.sum())
        if n < LEAST_IN_HALF or m < LEAST_IN_HALF:
            return 1.0
        here, rest = float(self.loss[inside].mean()), float(self.loss[outside].mean())
        if not self.material(here, rest):
            return 1.0
        if self.shares and self.groups is None:
            count = float(self.loss[inside].sum())
            return float(bdtrc(count - 1, n, (n * here + m * rest) / (n + m)))
        # the difference of the means as a mean of its own: rows that share an entity then count as one
        difference = (inside * (self.loss - here) / n - outside * (self.loss - rest) / m)[among]
        spread = clusters.mean(difference, None if self.groups is None else self.groups[among])
        se = spread.se * difference.size
        return float(stdtr(max(1, min(spread.df, n - 1)), -(here - rest) / se)) if se > 0 else 0.0


def weak_slices(found: Answers, columns: Mapping[str, pl.Series], seed: int = 0) -> WeakSlices:
    """Look through `columns` (each of `found.n` rows) for parts in which the class is wrong more often, or the absolute error larger.

    Raises BadInput for fewer than 200 rows, for a ranking, whose loss is of lists, and where no column has few values.
    """
    if found.task == "ranking":
        raise BadInput("weak slices are not looked for in a ranking", why="its loss is of a list, not of a row")
    if found.n < 2 * LEAST_ROWS:
        raise BadInput(f"n={found.n:,} < {2 * LEAST_ROWS}", why="what is found on one half of the rows is tested on the other")
    random = np.random.default_rng(seed)
    of, taken = found.n, _sample(found.n, random)
    if taken is not None:
        found, columns = found.take(taken), {name: series.gather(taken) for name, series in columns.items()}
    coded = {name: values for name, series in columns.items() if (values := few_values(series)) is not None and len(values.names) > 1}
    if not coded:
        raise BadInput("no column has few values, so there are no slices to look through", fix="declare slices")
    metric = "accuracy" if found.task in ("binary", "multiclass") else "mae"
    first = _halves(found, random)
    loss = _loss(found)
    halves = [_Half(loss[half], _of(found.groups, half), metric == "accuracy", FLOOR[metric]) for half in (first, ~first)]
    parts, pairs = _search(halves[0], {name: Values(values.names, values.codes[first]) for name, values in coded.items()})
    second = {name: values.codes[~first] for name, values in coded.items()}
    kept = _distinct(halves[1], _test(halves[1], second, parts))
    seen = found.take(np.flatnonzero(~first))
    shown = tuple(_shown(each, coded, seen, metric) for each in kept[:MOST_SHOWN])
    return WeakSlices(rows=found.n, of=of, columns=len(coded), pairs=pairs, count=len(kept), found=shown)


def _sample(n: int, random: np.random.Generator) -> npt.NDArray[np.int64] | None:
    return np.sort(random.choice(n, MOST_ROWS, replace=False)) if n > MOST_ROWS else None


def _halves(found: Answers, random: np.random.Generator) -> Flags:
    """Which rows are of the first half; rows that share an entity are in the same."""
    if found.groups is None:
        return random.permutation(found.n) < found.n // 2
    _, of = np.unique(found.groups, return_inverse=True)
    units = int(of.max()) + 1
    flags: Flags = (random.permutation(units) < units // 2)[of]
    return flags


def _of(groups: npt.NDArray[np.int64] | None, half: Flags) -> npt.NDArray[np.int64] | None:
    return None if groups is None else groups[half]


def _loss(found: Answers) -> Floats:
    """0/1, or the absolute error up to its 99.9th percentile: a few outliers make no slice."""
    if found.task in ("binary", "multiclass"):
        return 1.0 - found.correct
    error = np.abs(found.value - found.y)
    clipped: Floats = np.minimum(error, np.quantile(error, 0.999))
    return clipped


def _search(half: _Half, coded: Mapping[str, Values]) -> tuple[list[_Part], int]:
    """Every value and every pair of values that looks weak on this half, the clearest first; and how many pairs of columns were looked at."""
    parts: list[_Part] = []
    spread: dict[str, float] = {}
    for name, values in coded.items():
        z, deviation = _cells(half, values.codes, len(values.names))
        parts += [_Part(((name, code),), float(z[code])) for code in np.flatnonzero(z > 0).tolist()]
        spread[name] = deviation
    paired = sorted(sorted(spread, key=lambda name: -spread[name])[:MOST_PAIRED])
    pairs = list(itertools.combinations(paired, 2))
    for one, other in pairs:
        width = len(coded[other].names)
        z, _ = _cells(half, coded[one].codes * width + coded[other].codes, len(coded[one].names) * width)
        parts += [_Part(((one, code // width), (other, code % width)), float(z[code])) for code in np.flatnonzero(z > 0).tolist()]
    # of equally clear parts, the one that is said in fewer words
    return sorted(parts, key=lambda part: (-part.z, len(part.where), part.where))[:MOST_TESTED], len(pairs)


def _cells(half: _Half, codes: npt.NDArray[np.int64], size: int) -> tuple[Floats, float]:
    """Of each cell how clearly it is worse than the rest (z; 0 where it is not, or not materially), and how much the cells differ at all."""
    n, total = half.loss.size, float(half.loss.sum())
    rows = np.bincount(codes, minlength=size).astype(np.float64)
    sums = np.bincount(codes, weights=half.loss, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        here, rest = sums / rows, (total - sums) / (n - rows)
        variance = float(half.loss.var())
        z = (here - rest) / np.sqrt(variance * (1 / rows + 1 / (n - rows)))
        differ = float(np.nansum(rows * (here - total / n) ** 2))
    times, plus = half.floor
    wide = (rows >= max(LEAST_IN_HALF, LEAST_SHARE * n)) & (rows <= MOST_SHARE * n)
    weak = wide & (here >= times * rest) & (here >= rest + plus) & (here > rest)
    return np.where(weak, np.nan_to_num(z), 0.0), differ / max(1, int(np.count_nonzero(rows)) - 1)


def _rows_of(part: _Part, codes: Mapping[str, npt.NDArray[np.int64]]) -> Flags:
    rows: Flags = np.logical_and.reduce([codes[name] == code for name, code in part.where])
    return rows


def _test(half: _Half, codes: Mapping[str, npt.NDArray[np.int64]], parts: list[_Part]) -> list[_Tested]:
    """The parts that are weak on this half too."""
    every = np.ones(half.loss.size, dtype=np.bool_)
    masks = [_rows_of(part, codes) for part in parts]
    adjusted = benjamini_hochberg([half.weak(rows, every) for rows in masks])
    return [_Tested(part, rows, float(p)) for part, rows, p in zip(parts, masks, adjusted, strict=True) if p <= ALPHA]


def _distinct(half: _Half, tested: list[_Tested]) -> list[_Tested]:
    """Each weakness once: a part counts only for rows that no clearer one has named already.

    What overlaps a weak part is worse than the rest because of it; what is left of it is tested at α over the number of parts, the strictest way.
    """
    left, kept = np.ones(half.loss.size, dtype=np.bool_), []
    for each in tested:
        apart = each.rows & left
        if apart.sum() >= LEAST_SHARE * half.loss.size and half.weak(apart, left) <= ALPHA / len(tested):
            kept.append(each)
            left &= ~each.rows
    return kept


def _shown(each: _Tested, coded: Mapping[str, Values], seen: Answers, metric: str) -> WeakSlice:
    where = ", ".join(f"{name}={coded[name].names[code]}" for name, code in each.part.where)
    rows = _rows_of(each.part, {name: coded[name].codes for name, _ in each.part.where})
    here, rest = (estimate(metric, seen.take(np.flatnonzero(part))) for part in (each.rows, ~each.rows))
    return WeakSlice(where=where, n=int(rows.sum()), share=float(rows.mean()), metric=metric, here=here, rest=rest, p=each.p)


def counted(found: WeakSlices) -> Estimate:
    """How many there are, for gates; `why` names the worst of them."""
    told = "; ".join(told_slice(each) for each in found.found[:3])
    more = f"; and {found.count - 3} more" if found.count > 3 else ""
    return Estimate(value=float(found.count), n=found.rows, why=told + more)


def told_slice(each: WeakSlice) -> str:
    """One weak slice for people: `colour=red: accuracy 0.12 [0.10, 0.14], the rest 0.95, n=2,000 (20%)`."""
    low, high = (number(end) if end is not None and math.isfinite(end) else "?" for end in (each.here.low, each.here.high))
    return (
        f"{each.where}: {each.metric} {number(each.here.value)} [{low}, {high}], the rest {number(each.rest.value)}, "
        f"n={each.n:,} ({each.share:.0%})"
    )
