"""Has a column changed? Counts of a window against counts of the reference, in the same cells (docs/statistics.md §2).

Three tests a column: the cells, the share of nulls, and for categories the share of values never seen before. Each gives evidence (p) and
an effect that does not grow with n; a verdict needs both, and `monitoring` adds persistence. Windows of real traffic differ by more than
chance even when nothing is wrong; that overdispersion is measured between the reference's own windows and divided out.

Sources: McCullagh & Nelder 1989 (overdispersion); Bartlett 1946 (series); Satterthwaite 1946 (degrees of freedom); Good 1953 (unseen values);
Benjamini & Hochberg 1995.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, chdtrc, chdtri, fdtrc

from flyball.records.evidence import Bins, InputCounts
from flyball.stats.cells import Counts, merge_bins, merged, pooling
from flyball.stats.contrasts import Cells, Floats, contrasts, in_cells
from flyball.stats.multiplicity import benjamini_hochberg

Level = Literal["none", "warn", "alert"]
Test = Literal["cells", "nulls", "unseen"]

FLOORS: dict[Test, tuple[float, float]] = {"cells": (0.02, 0.10), "nulls": (0.02, 0.05), "unseen": (0.01, 0.05)}
"""Effect from which a test warns, and from which it alerts: PSI for cells, a difference of shares for the others."""

TESTS: tuple[Test, ...] = tuple(FLOORS)
"""In this order."""

_WARNS = np.array([warn for warn, _ in FLOORS.values()])

RATE = 0.01
"""False discovery rate over all tests of one model in one window."""

FAST_PHI = 1.25
"""A fast window is used unless the column's overdispersion at that length is surely above this: no cycle at that scale.

Surely: at 95%. The estimate alone, of a reference of some fifteen windows, is above it by chance in one steady column of twelve."""


_LOW = 0.25
"""How likely the windows of a reference are to lie closer together than is allowed for."""


_MANY = 20
"""Windows from which on it is told how much one is like the next."""


class Contrast(NamedTuple):
    """Pearson's X² of two rows of counts, its degrees of freedom, and m = nN/(n+N)."""

    x2: float
    df: int
    m: float


@dataclass(frozen=True)
class Dispersion:
    """Overdispersion `tau` per effective row, known from as much as `windows` independent windows say (0: independence is assumed)."""

    tau: float = 0.0
    windows: int = 0


class ColumnTest(NamedTuple):
    """One test of one column, whole or in one `slice`. `phi` is the overdispersion divided out; `level` is set by `hits`."""

    column: str
    test: Test
    p: float
    effect: float
    n: int
    phi: float
    level: Level = "none"
    slice: str = ""


def contrast(window: Counts, reference: Counts) -> Contrast:
    """X² = m Σ (p − q)²/pooled of `window` (cells,) against `reference` (cells,), counts of the same cells. Empty cells do not count.

    >>> contrast(np.array([10, 30]), np.array([30, 10]))
    Contrast(x2=20.0, df=1, m=20.0)
    """
    n, total = int(window.sum()), int(reference.sum())
    if n == 0 or total == 0:
        return Contrast(0.0, 0, 0.0)
    used = (window + reference) > 0
    p, q = window[used] / n, reference[used] / total
    pooled = (window[used] + reference[used]) / (n + total)
    m = n * total / (n + total)
    return Contrast(float(m * np.sum((p - q) ** 2 / pooled)), int(used.sum()) - 1, m)


def psi(window: Counts, reference: Counts) -> float:
    """Population stability index of two rows of counts, less what chance alone gives; never negative.

    >>> psi(np.array([50, 50]), np.array([500, 500]))
    0.0
    """
    n, total, cells = int(window.sum()), int(reference.sum()), window.size
    if n == 0 or total == 0:
        return 0.0
    p = (window + 0.5) / (n + 0.5 * cells)
    q = (reference + 0.5) / (total + 0.5 * cells)
    return max(0.0, float(np.sum((p - q) * np.log(p / q))) - (cells - 1) * (1 / n + 1 / total))


def overdispersion(windows: Counts, slots: Sequence[int] | None = None) -> Dispersion:
    """τ between the reference's own `windows` (k, cells) in order of time, each against the rest of its slot (season: day of the week; default: one slot).

    τ = max(0, mean_k (X²_k/df − 1)/m_k). Windows without a rest, or with one cell only, say nothing. Where days follow each other, what they have in
    common is known from fewer of them: `windows` is k(1 − r)/(1 + r), r the correlation of one with the next, as far as twenty can tell.
    """
    excess = np.full(len(windows), np.nan)
    labels = np.zeros(len(windows), dtype=np.int64) if slots is None else np.asarray(slots)
    for slot in np.unique(labels):
        places = np.flatnonzero(labels == slot)
        total = windows[places].sum(axis=0)
        for place in places.tolist():
            x2, df, m = contrast(windows[place], total - windows[place])
            if df > 0:
                excess[place] = (x2 / df - 1) / m
    known = excess[~np.isnan(excess)]
    return Dispersion(tau=max(0.0, float(np.mean(known))) if known.size else 0.0, windows=_independent(len(windows), known))


def _independent(windows: int, excess: NDArray[np.float64]) -> int:
    """How many of `windows` would say as much if they had nothing in common (Bartlett 1946, first order); all of them where few are known."""
    around = excess - excess.mean() if excess.size >= _MANY else np.zeros(1)
    spread = float(np.mean(around**2))
    if spread == 0:
        return windows
    # what is estimated of a series without any is −1/n on average
    r = min(max(float(np.mean(around[1:] * around[:-1])) / spread + 1 / excess.size, 0.0), 0.9)
    return max(2, round(windows * (1 - r) / (1 + r)))


def cells_p(found: Contrast, spread: Dispersion, days: int = 0) -> tuple[float, float]:
    """(p, φ) of an X² under overdispersion: the F tail with Satterthwaite's degrees of freedom; plain χ² where φ = 1.

    The share f of φ that is chance alone is taken at φ's upper quartile: where few windows happened to lie close together, f by φ itself is near 1
    and the tail that of a φ that is known (a p of 10⁻⁴ came 30 times as often as it should at 500 rows a day with day effects of .2σ).
    `days`: distinct days of the reference, which bound what its windows can teach; 0: unknown.
    """
    p, phi = _cells_p(*(np.array([value], dtype=np.float64) for value in (*found, spread.tau, spread.windows, days)))
    return float(p[0]), float(phi[0])


def _cells_p(x2: Floats, df: Floats, m: Floats, tau: Floats, windows: Floats, days: Floats) -> tuple[Floats, Floats]:
    """`cells_p` of many, each (k,)."""
    phi = np.where(df < 1, 1.0, 1 + tau * m)
    phi[phi <= 1 + 1e-12] = 1.0
    p, plain, swings = np.ones(phi.size), np.flatnonzero((df >= 1) & (phi <= 1)), np.flatnonzero(phi > 1)
    p[plain] = chdtrc(df[plain], x2[plain])
    if swings.size:
        x2, df, known, days, own = x2[swings], df[swings], windows[swings], days[swings], phi[swings]
        nu = np.maximum(1, np.where(days > 0, np.minimum(known, days), known) - 1)
        # what φ's excess is off by when there is none, and how much too small χ²/ν of ν degrees of freedom is once in four times
        f = 1 / (1 + (own - 1 + 0.5 * np.sqrt(2 / (df * np.maximum(known, 1)))) * nu / _least_chi2(nu))
        p[swings] = fdtrc(1 / (f * f / df + (1 - f) ** 2), nu / (1 - f) ** 2, x2 / (df * own))
    return p, phi


def _least_chi2(nu: Floats) -> Floats:
    """The lower quartile of χ² of ν degrees of freedom, each (k,): slow to find, and most ν are a few."""
    distinct, own = np.unique(nu, return_inverse=True)
    found: Floats = chdtri(distinct, 1 - _LOW)[own]
    return found


def share_p(a: float, n: float, b: float, total: float, phi: float = 1.0) -> float:
    """Two-sided p of `a` of `n` rows against `b` of `total`, both thinned by the overdispersion `phi`.

    >>> round(share_p(10, 100, 10, 1000), 9) < 1e-4
    True
    """
    if n <= 0 or total <= 0:
        return 1.0
    s, a, b = n / (n + total), a / phi, b / phi
    more = float(betainc(a, b + 1, s)) if a > 0 else 1.0
    fewer = 1 - float(betainc(a + 1, b, s)) if b > 0 else 1.0
    return min(1.0, 2 * min(more, fewer))


def _share_p(a: Floats, n: Floats, b: Floats, total: Floats, phi: Floats) -> Floats:
    """`share_p` of many, each (k,); n and total are positive."""
    more, fewer = np.ones(a.size), np.ones(a.size)
    # most columns have no nulls, before or now, and nothing is asked then
    up, down = np.flatnonzero(a > 0), np.flatnonzero(b > 0)
    s, a, b = n / (n + total), a / phi, b / phi
    more[up] = betainc(a[up], b[up] + 1, s[up])
    fewer[down] = 1 - betainc(a[down] + 1, b[down], s[down])
    found: Floats = np.minimum(1.0, 2 * np.minimum(more, fewer))
    return found


class _Prepared(NamedTuple):
    """What follows from a reference alone; `bins` is kept, so that its id stays its own."""

    bins: Bins
    counts: Counts
    labels: NDArray[np.int64]
    cells: Counts
    fast: dict[int, bool]
    ascending: Counts
    total: int
    known: dict[bool, tuple[Dispersion, Dispersion, Dispersion]]
    pooled: dict[int, _Pooled]
    told: dict[bool, Floats]


class _Pooled(NamedTuple):
    """The test cell of each fixed cell for windows of some size, and the reference's counts in these."""

    labels: NDArray[np.int64]
    counts: Counts


_PREPARED: dict[int, _Prepared] = {}
_MOST_PREPARED = 2_048


def _prepared(bins: Bins) -> _Prepared:
    # windows of a thousand rows close every other second, and a reference stays for weeks; its hash would take longer than what is kept here
    found = _PREPARED.get(id(bins))
    if found is None or found.bins is not bins:
        if len(_PREPARED) >= _MOST_PREPARED:
            _PREPARED.clear()
        counts = np.asarray(bins.counts, dtype=np.int64)
        labels = merge_bins(counts) if bins.kind == "numeric" else np.arange(counts.size, dtype=np.int64)
        cells = merged(labels, counts)
        found = _PREPARED[id(bins)] = _Prepared(bins, counts, labels, cells, {}, np.sort(cells), int(cells.sum()), {}, {}, {})
    return found


def test_cells(bins: Bins) -> NDArray[np.int64]:
    """The test cell of each fixed cell of `bins` (cells,): numeric bins merge into tenths, categories stay."""
    return _prepared(bins).labels


def pooled_cells(bins: Bins, n: int) -> NDArray[np.int64]:
    """The same for a window of `n` values that are not null: cells that expect fewer than five are one."""
    return _pooled(bins, n).labels


def _pooled(bins: Bins, n: int) -> _Pooled:
    known = _prepared(bins)
    return _pooling(known, n, int(_small(known, np.array([n]))[0]))


def _small(known: _Prepared, n: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many cells expect fewer than five in each of windows of `n` values (k,): which are pooled follows from that, and it changes at few n."""
    return known.ascending.searchsorted(-(-5 * known.total // np.maximum(np.minimum(n, known.total), 1)))


def _pooling(known: _Prepared, n: int, small: int) -> _Pooled:
    """The test cells of windows of `n` values, and of all in which so many cells are small."""
    found = known.pooled.get(small)
    if found is None:
        labels = pooling(known.cells, n)[known.labels]
        labels.setflags(write=False)
        found = known.pooled[small] = _Pooled(labels, merged(labels, known.counts))
    return found


def spreads(
    bins: Bins, labels: NDArray[np.int64], windows: Counts, slots: Sequence[int] | None = None
) -> tuple[Dispersion, Dispersion, Dispersion]:
    """Overdispersion of the cells, the null share and the unseen share between `windows` (k, cells + 3: cells, nulls, unseen, n) of one slot."""
    cells, nulls, unseen, n = windows[:, :-3], windows[:, -3], windows[:, -2], windows[:, -1]
    return (
        overdispersion(merged(labels, cells), slots),
        overdispersion(np.stack([nulls, n - nulls], axis=1), slots),
        overdispersion(np.stack([unseen, n - nulls - unseen], axis=1), slots) if bins.known else Dispersion(windows=len(windows)),
    )


def of_weekday(bins: Bins, weekday: int) -> Bins | None:
    """The reference of one day of the week (0: Thursday, the day of 1970-01-01): its own counts, and the spread between days of one weekday.

    Values seen once are those of the whole reference, as far as they fall on such a day. None where the reference has too few days to tell.
    """
    if not bins.weekdays:
        return None
    row = bins.weekdays[weekday]
    part = row[-1] / bins.n if bins.n else 0.0
    return msgspec.structs.replace(
        bins,
        counts=row[:-3],
        nulls=row[-3],
        n=row[-1],
        once=round(bins.once * part),
        twice=round(bins.twice * part),
        windows=(),
        fast=(),
        spread=bins.daily,
    )


def _known_spreads(bins: Bins, *, fast: bool) -> tuple[Dispersion, Dispersion, Dispersion] | None:
    """What a reference says by itself of how its cells, nulls and unseen values swing; None where its windows have to be looked at."""
    kept = _prepared(bins).known
    if fast not in kept:
        known = bins.fast if fast else bins.spread
        if not known and not fast and len(bins.windows) >= 2:
            return None
        cells, nulls, unseen, windows = known or (0.0, 0.0, 0.0, 0.0)
        kept[fast] = (Dispersion(cells, int(windows)), Dispersion(nulls, int(windows)), Dispersion(unseen, int(windows)))
    return kept[fast]


def _spreads_of(bins: Bins, labels: NDArray[np.int64]) -> tuple[Dispersion, Dispersion, Dispersion]:
    return spreads(bins, labels, np.asarray(bins.windows, dtype=np.int64))


def fast_enough(bins: Bins, rows: int = 1_000) -> bool:
    """May this column be tested in windows of `rows` rows? Not if it surely swings at that scale, such as with the time of day.

    The mean of X²/df over k windows of a steady column is about χ²(k·df)/(k·df), so φ over that law's upper 5% point is φ's lower bound.
    """
    known = _prepared(bins).fast
    if rows not in known:
        known[rows] = _fast_enough(bins, rows)
    return known[rows]


def _fast_enough(bins: Bins, rows: int) -> bool:
    present = bins.n - bins.nulls
    if not bins.fast or present == 0:
        return True
    tau, windows = bins.fast[0], bins.fast[-1]
    freedom = windows * (len(np.unique(pooled_cells(bins, rows))) - 1)
    if freedom < 1:
        return True
    # a reference of few rows was cut into shorter windows: what chance gives is taken off at their length, and not at the one that it is carried over to
    length = min(rows, present / windows)
    measured = length * (present - length) / present
    if measured <= 0:
        return True
    surely = max(0.0, (1 + tau * measured) * freedom / float(chdtri(freedom, 0.05)) - 1) / measured
    return 1 + surely * rows * present / (rows + present) <= FAST_PHI


def column_tests(bins: Bins, window: InputCounts, *, fast: bool = False) -> tuple[ColumnTest, ...]:
    """The tests of one column's window against its reference; none where either side is empty. Levels are set by `hits`.

    `fast`: the window is one of about 1,000 rows, to be compared with the reference's swings at that length.
    """
    return window_tests([(bins, window)], fast=fast)


def window_tests(columns: Sequence[tuple[Bins, InputCounts]], *, fast: bool = False) -> tuple[ColumnTest, ...]:
    """`column_tests` of every column of a window, one after the other."""
    there = [pair for pair in columns if pair[1].n and pair[0].n]
    found = Tested.of(there, fast=fast)
    return tuple(
        found.test(place, kind, "none") for place, kinds in enumerate(found.asked.tolist()) for kind, asked in enumerate(kinds) if asked
    )


class Tested(NamedTuple):
    """All tests of columns (k,), each beside its reference, of whichever windows they are: p, effect and φ of each kind of test in the order of `FLOORS`,
    (k, 3), and whether it is asked of that column. Numbers alone, for most tests of most windows tell nobody anything.
    """

    columns: Sequence[tuple[Bins, InputCounts]]
    p: Floats
    effect: Floats
    phi: Floats
    asked: NDArray[np.bool_]

    @classmethod
    def of(cls, columns: Sequence[tuple[Bins, InputCounts]], *, fast: bool) -> Tested:
        """Test windows and references of at least a row each. `fast` as in `column_tests`."""
        asked = np.zeros((len(columns), len(FLOORS)), dtype=np.bool_)
        p, effect, phi = _tested(columns, asked, fast=fast) if columns else np.ones((3, 0, len(FLOORS)))
        return cls(columns, p, effect, phi, asked)

    def test(self, place: int, kind: int, reached: Level) -> ColumnTest:
        """One test, by its column's place and its kind."""
        bins, window = self.columns[place]
        n = window.n if TESTS[kind] == "nulls" else window.n - window.nulls
        p, effect, phi = float(self.p[place, kind]), float(self.effect[place, kind]), float(self.phi[place, kind])
        return ColumnTest(bins.column, TESTS[kind], p, effect, n, phi, reached, bins.slice)

    def hits(self, windows: Sequence[int]) -> dict[tuple[int, int], Level]:
        """Which tests reach which level, by place and kind: what `hits` says of each window. windows: of which one each column is, (k,)."""
        of, found = np.asarray(windows, dtype=np.int64), {}
        # in most windows nothing may: an effect has to reach a floor, and p is never adjusted downward
        may = self.asked & (self.effect >= _WARNS) & (self.p <= RATE)
        for window in set(of[may.any(axis=1)].tolist()):
            own = np.flatnonzero(of == window)
            rows, kinds = np.nonzero(self.asked[own])
            places = own[rows]
            adjusted = benjamini_hochberg(self.p[places, kinds])
            hit = np.flatnonzero((adjusted <= RATE) & may[places, kinds])
            for place, kind in zip(places[hit].tolist(), kinds[hit].tolist(), strict=True):
                found[place, kind] = level(TESTS[kind], float(self.effect[place, kind]))
        return found


def _tested(columns: Sequence[tuple[Bins, InputCounts]], asked: NDArray[np.bool_], *, fast: bool) -> NDArray[np.float64]:
    """p, effect and φ of columns (k,), shape (3, k, 3); notes which tests there are."""
    n, nulls, unseen = np.array([(window.n, window.nulls, window.unseen_n) for _, window in columns], dtype=np.float64).T
    present, known = n - nulls, np.empty((n.size, 10))
    sides = _sides(columns, present.astype(np.int64))
    for places, bins, pooled in sides:
        known[places] = _known_of(bins, pooled.labels, fast=fast)
    total, no_value, once, good, days, tau, windows, null_tau, null_windows, new_tau = known.T
    valued = total - no_value
    both = (present > 0) & (valued > 0)
    sides = [side._replace(places=mine) for side in sides if (mine := side.places[both[side.places]]).size]
    there = np.concatenate([np.empty(0, dtype=np.int64), *(side.places for side in sides)])
    cells = ([columns[place][1].cells for place in side.places.tolist()] for side in sides)
    x2, df, m, off = in_cells([Cells(own, *side.pooled) for own, side in zip(cells, sides, strict=True)])
    p, phi, effect = np.ones((3, n.size, len(FLOORS)))
    p[there, 0], phi[there, 0] = _cells_p(x2, df, m, tau[there], windows[there], days[there])
    effect[there, 0] = off
    phi[:, 1] = 1 + null_tau * n * total / (n + total)
    p[:, 1] = _share_p(nulls, n, no_value, total, phi[:, 1])
    swings = np.flatnonzero(null_tau > 0)
    if swings.size:
        pairs = zip(zip(nulls[swings], present[swings], strict=True), zip(no_value[swings], valued[swings], strict=True), strict=True)
        of = contrasts(*zip(*((np.array(ours), np.array(theirs)) for ours, theirs in pairs), strict=True))
        # φ from a few windows is not known, and `share_p` takes it as if it were
        least, _ = _cells_p(of.x2, of.df, of.m, null_tau[swings], null_windows[swings], days[swings])
        p[swings, 1] = np.maximum(p[swings, 1], least)
    effect[:, 1] = np.abs(nulls / n - no_value / total)
    told = there[good[there] > 0]
    if told.size:
        a, of_all, b, all_known = unseen[told], present[told], once[told], valued[told]
        phi[told, 2] = np.maximum(1 + new_tau[told] * of_all * all_known / (of_all + all_known), good[told])
        p[told, 2] = _share_p(a, of_all, b, all_known, phi[told, 2])
        effect[told, 2] = np.maximum(0.0, a / of_all - b / all_known)
    asked[there, 0], asked[:, 1], asked[told, 2] = True, True, True
    return np.stack([p, effect, phi])


class _Side(NamedTuple):
    """The windows, by their `places`, that are compared with one reference in the same test cells: what follows from these is looked up once."""

    places: NDArray[np.int64]
    bins: Bins
    pooled: _Pooled


def _sides(columns: Sequence[tuple[Bins, InputCounts]], present: NDArray[np.int64]) -> list[_Side]:
    """Every column (k,) on its side; `present` are its values that are not null."""
    own: dict[int, list[int]] = {}
    for place, (bins, _) in enumerate(columns):
        own.setdefault(id(bins), []).append(place)
    found = []
    for places in map(np.array, own.values()):
        bins = columns[places[0]][0]
        known, n = _prepared(bins), present[places]
        small = _small(known, n)
        for one in set(small.tolist()):
            mine = small == one
            found.append(_Side(places[mine], bins, _pooling(known, int(n[mine][0]), one)))
    return found


def _known_of(bins: Bins, labels: NDArray[np.int64], *, fast: bool) -> Floats:
    """What its reference says of a column, (10,): rows, nulls, values seen once, the least φ of unseen values (0: not tested), days; τ and windows of the
    cells and of the nulls, τ of the unseen values.
    """
    kept = _prepared(bins).told
    told = kept.get(fast)
    if told is None:
        spread = _known_spreads(bins, fast=fast)
        cells, nulls, unseen = spread or _spreads_of(bins, labels)
        good = (1 + 2 * bins.twice / bins.once if bins.once else 1.0) if bins.known else 0.0
        rows = (bins.n, bins.nulls, bins.once, good, bins.days)
        told = np.array([*rows, cells.tau, cells.windows, nulls.tau, nulls.windows, unseen.tau], dtype=np.float64)
        if spread is not None:
            kept[fast] = told
    return told


def level(test: Test, effect: float, scale: float = 1.0) -> Level:
    """How much an effect matters, whatever its evidence; `scale` < 1 lowers the floors (for leaving a state)."""
    warn, alert = FLOORS[test]
    return "alert" if effect >= alert * scale else "warn" if effect >= warn * scale else "none"


def hits(tests: Sequence[ColumnTest], rate: float = RATE) -> tuple[ColumnTest, ...]:
    """Set every test's level: evidence by Benjamini–Hochberg over all tests of the window, and an effect at a floor."""
    adjusted = benjamini_hochberg([test.p for test in tests])
    reached = ((test, level(test.test, test.effect) if q <= rate else "none") for test, q in zip(tests, adjusted.tolist(), strict=True))
    # nearly all stay at none
    return tuple(test if test.level == found else test._replace(level=found) for test, found in reached)
