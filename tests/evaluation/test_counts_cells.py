"""One pass over a batch counts what each of its parts, taken alone, holds: whole and in each value of slices."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.evaluation import placing
from flyball.evaluation.counts_cells import bin_parts
from flyball.evaluation.reference import bin_frame, reference
from flyball.evaluation.sliced import Parts, coded_texts, texts

TRAINED = 3_000
SLICES = {"day": "day", "shop": "shop"}


def frame(rng, n, *, fresh=0.0):
    """A heavy-tailed number, one with a heavy value, text with nulls and values nobody saw, a flag, and what the slices are made of."""
    kinds = np.where(rng.random(n) < fresh, "new" + "x" * 90, rng.choice(["a", "b", "c", "d" * 200], n)).astype(object)
    kinds[rng.random(n) < 0.1] = None
    return pl.DataFrame(
        {
            "heavy": np.where(rng.random(n) < 0.05, np.nan, rng.standard_cauchy(n)),
            "zeros": pl.Series(np.where(rng.random(n) < 0.6, 0.0, rng.normal(size=n))).set(pl.Series(rng.random(n) < 0.02), None),
            "kind": pl.Series(kinds.tolist(), dtype=pl.String),
            "item": pl.Series([f"i{number}" for number in rng.integers(0, 900, n)], dtype=pl.String),
            "flag": pl.Series(rng.random(n) < 0.3),
            "day": rng.integers(0, 5 if fresh else 4, n),
            "shop": pl.Series(rng.choice(["n", "s", None], n).tolist(), dtype=pl.String),
        }
    )


KNOWN = frame(np.random.default_rng(0), TRAINED)
BINS = reference(KNOWN, KNOWN.columns, slices=SLICES)


def slices_of(rows, named=coded_texts):
    return [named(rows[name], name) for name in SLICES]


def parts(cuts):
    sizes = np.diff(cuts)
    return Parts(np.repeat(np.arange(sizes.size), sizes), sizes.tolist(), [(0, 0)] * sizes.size)


def alone(rows, cuts):
    """Each part by itself, as it would be counted if nothing else had come."""
    return [counts for a, b in pairwise(cuts) for counts in bin_frame(BINS, rows[a:b], model="m", slices=slices_of(rows[a:b], texts))]


@settings(deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 400), min_size=1, max_size=8), st.sampled_from([0.0, 0.2]))
def test_all_parts_at_once_are_each_part_alone(seed, sizes, fresh):
    cuts = [0, *np.cumsum(sizes).tolist()]
    rows = frame(np.random.default_rng(seed), cuts[-1], fresh=fresh)
    found = bin_parts(BINS, rows, parts(cuts), model="m", slices=slices_of(rows))
    assert found == alone(rows, cuts)
    assert any(counts.slice for counts in found) or cuts[-1] < 20


def test_many_rows_are_looked_up_by_table_and_give_the_same():
    n = 2 * placing.FEW + 1_234
    rows = frame(np.random.default_rng(7), n, fresh=0.1)
    cuts = [0, 500, *range(1_500, n, 1_000), n]
    assert bin_parts(BINS, rows, parts(cuts), model="m", slices=slices_of(rows)) == alone(rows, cuts)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_the_order_of_rows_within_a_part_counts_for_nothing(seed, random):
    rows = frame(np.random.default_rng(seed), 300, fresh=0.1)
    order = list(range(300))
    random.shuffle(order)
    mixed = rows[order]
    one = parts([0, 300])
    assert bin_parts(BINS, rows, one, slices=slices_of(rows)) == bin_parts(BINS, mixed, one, slices=slices_of(mixed))


def test_parts_add_up_to_the_whole():
    rows = frame(np.random.default_rng(3), 2_500)
    (whole,) = [counts for counts in bin_parts(BINS, rows, parts([0, 2_500])) if counts.column == "heavy"]
    found = [counts for counts in bin_parts(BINS, rows, parts([0, 700, 1_700, 2_500])) if counts.column == "heavy"]
    assert (sum(counts.n for counts in found), sum(counts.nulls for counts in found)) == (whole.n, whole.nulls)
    assert tuple(np.sum([counts.cells for counts in found], axis=0).tolist()) == whole.cells


def test_a_lookup_forgets_what_was_asked_once_it_is_too_much(monkeypatch):
    monkeypatch.setattr(placing, "MOST_VALUES", 10)
    rows = frame(np.random.default_rng(4), 2_000, fresh=0.3)
    cuts = [0, 900, 2_000]
    assert [bin_parts(BINS, rows, parts(cuts), model="m", slices=slices_of(rows)) for _ in range(3)] == [alone(rows, cuts)] * 3
