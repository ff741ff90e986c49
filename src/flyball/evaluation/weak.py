"""Weak slices: parts of the rows that are served clearly worse than the rest, found by looking through all values and all pairs of values.

What is found on one half of the rows is tested on the other, Benjamini–Hochberg at 5% over all that is tested (docs/statistics.md §4), so that a
search through thousands of parts names next to nothing where there is nothing. Evidence alone is not enough: a part counts only when it is
a hundredth of the rows or more, not most of them, and clearly worse (`FLOOR`).

Source: slice search as in Chung, Kraska, Polyzotis, Tae & Whang (2019), with a test on rows that the search has not seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.special import bdtrc, stdtr

from flyball.declare.metrics import CLASSES, RANKED, at_k
from flyball.errors import BadInput
from flyball.evaluation import ranking
from flyball.evaluation.answers import Answers, Rows
from flyball.evaluation.comparison import LEAST_ROWS, between, number
from flyball.evaluation.metrics import estimate
from flyball.evaluation.values import Values, few_values, said
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

FLOOR = {"accuracy": (1.5, 0.05), "mae": (2.0, 0.0), RANKED[0]: (1.5, 0.05)}
"""From where on a part is materially worse than the rest: so many times its loss, and so much more. Classes: one and a half times the errors, and
five points; numbers: twice the absolute error; lists: one and a half times what they lack to an NDCG of 1, and five points."""

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
        # the difference of the means as a mean of its own: rows that share an entity then count as one, and a part has no more of them than it has
        units = n if self.groups is None else clusters.alike(np.unique(self.groups[inside], return_counts=True)[1].astype(np.float64))
        difference = (inside * (self.loss - here) / n - outside * (self.loss - rest) / m)[among]
        spread = clusters.mean(difference, None if self.groups is None else self.groups[among])
        se = spread.se * difference.size
        if units < 2:
            return 1.0
        return float(stdtr(min(spread.df, units - 1), -(here - rest) / se)) if se > 0 else 0.0


@dataclass(frozen=True)
class _Units:
    """What is looked through: rows, or lists of a ranking. `columns`: a value of each unit; `numbers`: of lists, which of `list_of` (of each of
    the rows in `answers`) they are.
    """

    metric: str
    loss: Floats
    groups: Rows | None
    columns: Mapping[str, pl.Series]
    answers: Answers
    numbers: Rows | None = None
    list_of: Rows | None = None

    def take(self, units: Rows) -> _Units:
        """These alone."""
        return replace(
            self,
            loss=self.loss[units],
            groups=None if self.groups is None else self.groups[units],
            columns={name: series.gather(units) for name, series in self.columns.items()},
            answers=self.answers.take(units) if self.numbers is None else self.answers,
            numbers=None if self.numbers is None else self.numbers[units],
        )

    def estimate(self, flags: Flags) -> Estimate:
        """The metric on those units for which `flags` is true."""
        rows = flags if self.numbers is None or self.list_of is None else np.isin(self.list_of, self.numbers[flags])
        return estimate(self.metric, self.answers.take(np.flatnonzero(rows)))


def _units(found: Answers, columns: Mapping[str, pl.Series]) -> _Units:
    if found.task in CLASSES:
        return _Units("accuracy", 1.0 - found.correct, found.groups, columns, found)
    if found.lists is not None:
        return _lists(found, found.lists, columns)
    if found.task == "ranking":
        raise BadInput("a ranking whose rows are in no lists has no order", why="rows of one group are a list", fix="declare group=")
    error = np.abs(found.value - found.y)
    # a few outliers make no slice
    return _Units("mae", np.minimum(error, np.quantile(error, 0.999)) if error.size else error, found.groups, columns, found)


def _lists(found: Answers, lists: Rows, columns: Mapping[str, pl.Series]) -> _Units:
    """Lists that have a relevant item, and the columns that are the same for all items of each."""
    kind, k = at_k(RANKED[0]) or ("ndcg", 10)
    ordered = ranking.of_lists(kind, k, y=found.y, score=found.value, lists=lists)
    numbers = np.flatnonzero(np.isfinite(ordered.values))
    _, first = np.unique(ordered.list_of, return_index=True)
    whole = {name: series for name, series in columns.items() if series.eq_missing(series.gather(first[ordered.list_of])).all()}
    return _Units(
        RANKED[0],
        1.0 - ordered.values[numbers],
        None if found.groups is None else found.groups[first[numbers]],
        {name: series.gather(first[numbers]) for name, series in whole.items()},
        found,
        numbers,
        ordered.list_of,
    )


def weak_slices(found: Answers, columns: Mapping[str, pl.Series], seed: int = 0) -> WeakSlices:
    """Look through `columns` (each of `found.n` rows) for parts in which the class is wrong more often, or the absolute error larger; of a ranking for
    lists whose order is worse, by the columns that are the same for a whole list.

    Raises BadInput for fewer than 200 rows (of a ranking: lists with a relevant item), and where no column has few values.
    """
    units = _units(found, columns)
    of = units.loss.size
    if of < 2 * LEAST_ROWS:
        what = f"n={of:,}{'' if units.numbers is None else ' lists'} < {2 * LEAST_ROWS}"
        raise BadInput(what, why="what is found on one half of the rows is tested on the other")
    random = np.random.default_rng(seed)
    taken = _sample(of, random)
    if taken is not None:
        units = units.take(taken)
    coded = {name: values for name, series in units.columns.items() if (values := few_values(series)) is not None and len(values.names) > 1}
    if not coded:
        raise BadInput("no column has few values, so there are no slices to look through", fix="declare slices")
    metric = units.metric
    first = _halves(units, random)
    halves = [_Half(units.loss[half], _of(units.groups, half), metric == "accuracy", FLOOR[metric]) for half in (first, ~first)]
    parts, pairs = _search(halves[0], {name: Values(values.names, values.codes[first]) for name, values in coded.items()})
    second = {name: values.codes[~first] for name, values in coded.items()}
    kept = _distinct(halves[1], _test(halves[1], second, parts))
    seen = units.take(np.flatnonzero(~first))
    shown = tuple(_shown(each, coded, seen) for each in kept[:MOST_SHOWN])
    return WeakSlices(rows=units.loss.size, of=of, columns=len(coded), pairs=pairs, count=len(kept), found=shown)


def _sample(n: int, random: np.random.Generator) -> npt.NDArray[np.int64] | None:
    return np.sort(random.choice(n, MOST_ROWS, replace=False)) if n > MOST_ROWS else None


def _halves(units: _Units, random: np.random.Generator) -> Flags:
    """Which units are of the first half; those that share an entity are in the same."""
    if units.groups is None:
        return random.permutation(units.loss.size) < units.loss.size // 2
    _, of = np.unique(units.groups, return_inverse=True)
    entities = int(of.max()) + 1
    flags: Flags = (random.permutation(entities) < entities // 2)[of]
    return flags


def _of(groups: npt.NDArray[np.int64] | None, half: Flags) -> npt.NDArray[np.int64] | None:
    return None if groups is None else groups[half]


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


def _shown(each: _Tested, coded: Mapping[str, Values], seen: _Units) -> WeakSlice:
    where = ", ".join(said(name, coded[name].names[code]) for name, code in each.part.where)
    rows = _rows_of(each.part, {name: coded[name].codes for name, _ in each.part.where})
    here, rest = (seen.estimate(part) for part in (each.rows, ~each.rows))
    return WeakSlice(where=where, n=int(rows.sum()), share=float(rows.mean()), metric=seen.metric, here=here, rest=rest, p=each.p)


def counted(found: WeakSlices) -> Estimate:
    """How many there are, for gates; `why` names the worst of them."""
    told = "; ".join(told_slice(each) for each in found.found[:3])
    more = f"; and {found.count - 3} more" if found.count > 3 else ""
    return Estimate(value=float(found.count), n=found.rows, why=told + more)


def told_slice(each: WeakSlice) -> str:
    """One weak slice for people: `colour=red: accuracy 0.12 [0.10, 0.14], the rest 0.95, n=2,000 (20%)`."""
    return (
        f"{each.where}: {each.metric} {number(each.here.value)} {between(each.here.low, each.here.high)}, the rest {number(each.rest.value)}, "
        f"n={each.n:,} ({each.share:.0%})"
    )
