"""A contract of all kinds of rules over 1M × 20, held against an earlier version; a part of `benchmarks.data`.

Rows hold it, as nearly all rows that are ever checked do: what is timed is the one select, the keys, the sample, and what is made of
them. The same contract is then given rows that break each of its rules, so that none was left out. For comparison: a bare select of
every column's nulls, least and greatest value, and with `--peers` pandera, where it is installed, on the row checks alone.
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import Any

import numpy as np
import polars as pl
from benchmarks.report import Bar, Report, Row

from flyball.data.baseline import Gathering
from flyball.data.contract import Checker, LastGood
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.records.data import Finding

ROWS = 1_000_000
ROUNDS = 9
START = 1_700_000_000_000_000
NOW = START + 2 * ROWS * 1_000_000

FLOATS = tuple(f"x{place}" for place in range(9))
INTS = ("n0", "n1", "n2")
STATES = ("calm", "closed", "late", "new", "open")
KINDS = tuple(f"kind{place:02}" for place in range(50))
PURPOSES = ("car", "debt", "home", "medical", "other")
BROKEN = {"unique", "references", "gap", "disorder", "ahead", "between", "one_of", "nulls", "unseen", "shift"}
"""Rules that the broken rows break: all but the count of rows and rows without a time."""


def dataset() -> Dataset:
    kinds = Dataset("kinds", source="kinds.csv", id="kind", columns={"name": str})
    columns = {name: Column(float, between=(-10, 10), nulls="5%") for name in FLOATS}
    columns |= {name: Column(int, between=(0, 1_000)) for name in INTS}
    columns |= {
        "late": Column(float, known_after="1h", nulls="10%"),
        "ok": Column(bool),
        "state": Column(str, one_of=STATES),
        "kind": Column(str),
        "purpose": Column(str, unseen="1%"),
        "moves": Column(float, shift="10%"),
    }
    return Dataset(
        "loans",
        source="loans.parquet",
        time="at",
        id="id",
        columns=columns,
        unique="id",
        min_rows=1_000,
        references={"kind": kinds},
        gap="1d",
        disorder="1h",
        ahead="0s",
    )


def rows(seed: int) -> pl.DataFrame:
    chance = np.random.default_rng(seed)
    made: dict[str, pl.Series] = {}
    for name in FLOATS:
        made[name] = pl.Series(chance.normal(size=ROWS)).clip(-9, 9).set(pl.Series(chance.random(ROWS) < 0.01), None)
    for name in INTS:
        made[name] = pl.Series(chance.integers(0, 1_000, ROWS))
    made["late"] = pl.Series(chance.normal(size=ROWS))
    made["ok"] = pl.Series(chance.random(ROWS) < 0.4)
    for name, words in (("state", STATES), ("kind", KINDS), ("purpose", PURPOSES)):
        made[name] = pl.Series(chance.choice(np.array(words), ROWS)).cast(pl.String)
    made["moves"] = pl.Series(chance.normal(size=ROWS))
    made["at"] = pl.Series(START + np.arange(ROWS) * 1_000_000).cast(pl.Datetime("us"))
    made["id"] = pl.Series(chance.permutation(ROWS)).cast(pl.String)
    return pl.DataFrame(made)


def broken(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows with every rule broken by some of them."""
    some = pl.int_range(pl.len()) % 50 == 7
    late = pl.when(pl.int_range(pl.len()) == 500_000).then(pl.col("at").shift(90_000)).otherwise("at")
    ahead = pl.col("at") + pl.when(pl.int_range(pl.len()) == ROWS - 1).then(pl.duration(days=400)).otherwise(pl.duration(days=0))
    return frame.with_columns(at=late).with_columns(
        at=ahead,
        id=pl.when(some).then(pl.lit("1")).otherwise("id"),
        kind=pl.when(some).then(pl.lit("kind99")).otherwise("kind"),
        x0=pl.when(some).then(99.0).otherwise("x0"),
        state=pl.when(some).then(pl.lit("lost")).otherwise("state"),
        n0=pl.when(some).then(None).otherwise("n0"),
        purpose=pl.when(some).then(pl.lit("debt_consolidation")).otherwise("purpose"),
        moves=pl.col("moves") + 2.0,
    )


def _before(data: Dataset, frame: pl.DataFrame) -> LastGood:
    gathering = Gathering(data)
    gathering.add(frame)
    return LastGood("1.0.0", ROWS, START + ROWS * 500_000, {}, gathering.baseline())


def _checked(data: Dataset, frame: pl.DataFrame, before: LastGood) -> list[Finding]:
    checker = Checker(data, baseline=before, now=NOW, known={"kind": pl.Series(KINDS)})
    checker.add(frame)
    return checker.findings()


def _pandera(frame: pl.DataFrame) -> list[float]:
    """CPU seconds of pandera's row checks of the same columns: types, ranges, allowed values, uniqueness."""
    import pandera.polars as pa

    columns: dict[str, Any] = {name: pa.Column(float, pa.Check.in_range(-10, 10), nullable=True) for name in FLOATS}
    columns |= {name: pa.Column(int, pa.Check.in_range(0, 1_000)) for name in INTS}
    columns["state"] = pa.Column(str, pa.Check.isin(STATES))
    columns["id"] = pa.Column(str, unique=True)
    schema = pa.DataFrameSchema(columns)
    taken = []
    for _ in range(3):
        began = time.process_time()
        schema.validate(frame, lazy=True)
        taken.append(time.process_time() - began)
    return taken


def contracts(report: Report, *, peers: bool) -> None:
    """Time the contract, and see that each rule was looked at."""
    data, frame = dataset(), rows(1)
    assert frame.width == len(data.names) == 20
    before = _before(data, rows(0))
    assert _checked(data, frame, before) == []
    assert {finding.rule for finding in _checked(data, broken(frame), before)} >= BROKEN
    taken, bare = [], []
    facts = [fact for name in frame.columns for fact in (pl.col(name).null_count().alias(f"{name}/n"),)]
    facts += [fact for name in (*FLOATS, *INTS) for fact in (pl.col(name).min().alias(f"{name}/a"), pl.col(name).max().alias(f"{name}/b"))]
    for _ in range(ROUNDS):
        began = time.process_time()
        _checked(data, frame, before)
        taken.append(time.process_time() - began)
        began = time.process_time()
        frame.select(facts)
        bare.append(time.process_time() - began)
    there = peers and find_spec("pandera") is not None
    more: dict[str, Any] = {"peer": "pandera, row checks alone", "peer_samples": _pandera(frame)} if there else {}
    found = Row.of("contract of 1M × 20, CPU", "s", taken, **more)
    report.rows += [found, Row.of("nulls and ranges of 1M × 20 alone, CPU", "s", bare)]
    report.bars.append(Bar.at_most("contract_1m_x20_cpu_s", found.median, 0.08, "s"))
