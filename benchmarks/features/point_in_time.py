"""The point-in-time join: 1M rows × 3 views of 2M feature rows × 5 plain columns, with TTL and 5% duplicate times.

Two histories. In one a tenth of the rows arrive up to three days late; the bar is held to it. In the other every row is known at its time
and duplicates are told apart by when they were made, which is what a sort and Polars' `join_asof` can answer, and Feast (`--peers`). A 1% sample of
each is compared with a search that goes through an entity's rows one by one.
"""

from __future__ import annotations

import math
import subprocess
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
from benchmarks.report import Bar, Report, Row

from flyball.clock import Span
from flyball.declare.data import Dataset
from flyball.declare.views import FeatureView, Window
from flyball.features.windows import prepare

Ints: TypeAlias = npt.NDArray[np.int64]

ROWS = 1_000_000
FEATURE_ROWS = 2_000_000
ENTITIES = 100_000
VIEWS = ("customer", "merchant", "device")
COLUMNS = tuple(f"x{place}" for place in range(5))
DAYS = 120
DAY = 86_400_000_000
TTL = 30 * DAY
SAMPLE = ROWS // 100
REPEATS = 3


@dataclass(frozen=True)
class World:
    """The rows that are asked for, and each view with its data set's rows."""

    asked: pl.DataFrame
    views: dict[str, tuple[FeatureView, pl.DataFrame]]


def world(seed: int, *, late: bool) -> World:
    """Make one from a seed. Feature rows come in order of their times, as a data set keeps them."""
    random = np.random.default_rng(seed)
    asked = pl.DataFrame(
        {name: random.integers(0, ENTITIES, ROWS) for name in VIEWS} | {"time": random.integers(10 * DAY, DAYS * DAY, ROWS)}
    )
    return World(asked, {name: _view(name, random, late=late) for name in VIEWS})


def _view(name: str, random: np.random.Generator, *, late: bool) -> tuple[FeatureView, pl.DataFrame]:
    entity = random.integers(0, ENTITIES, FEATURE_ROWS)
    moment = random.integers(0, DAYS * DAY, FEATURE_ROWS)
    again = random.choice(FEATURE_ROWS - 1, FEATURE_ROWS // 20, replace=False)
    entity[again + 1], moment[again + 1] = entity[again], moment[again]
    arrived = moment - random.integers(0, DAY // 24, FEATURE_ROWS)
    if late:
        some = random.random(FEATURE_ROWS) < 0.1
        arrived[some] = moment[some] + random.integers(0, 3 * DAY, int(some.sum()))
    columns = {column: random.normal(size=FEATURE_ROWS) for column in COLUMNS}
    frame = pl.DataFrame({"entity": entity, "event": moment, "arrived": arrived} | columns)
    frame = frame.with_columns(pl.col("event", "arrived").cast(pl.Datetime("us"))).sort("event", maintain_order=True)
    data = Dataset(
        f"{name}s", source="rows.parquet", time="event", arrived="arrived", columns={"entity": int} | dict.fromkeys(COLUMNS, float)
    )
    return FeatureView(name, data, entity="entity", features={f"{name}_{column}": column for column in COLUMNS}, ttl=Span(TTL)), frame


def join(made: World) -> pl.DataFrame:
    """The 15 columns of all rows."""
    out = []
    for name, (view, rows) in made.views.items():
        moment = made.asked["time"]
        out.append(prepare(view, rows).values(pl.DataFrame({"row_time": moment + 1, "moment": moment, "key": made.asked[name]})))
    return pl.concat(out, how="horizontal")


def by_hand(made: World) -> pl.DataFrame:
    """The same with Polars alone, where every row is known at its time."""
    asked = made.asked.with_columns(pl.col("time").cast(pl.Datetime("us"))).with_row_index("row").sort("time")
    for name, (_, rows) in made.views.items():
        newest = (
            rows.sort("entity", "event", "arrived")
            .rename({column: f"{name}_{column}" for column in COLUMNS})
            .drop("arrived")
            .sort("event", maintain_order=True)
        )
        asked = asked.join_asof(
            newest, left_on="time", right_on="event", by_left=name, by_right="entity", tolerance=f"{TTL}us", check_sortedness=False
        ).drop("event", strict=False)
    return asked.sort("row").select(f"{name}_{column}" for name in VIEWS for column in COLUMNS)


def environment(folder: Path) -> Path:
    """The Python of an environment apart from ours, with Feast and its DuckDB store."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "feast[duckdb]"], check=True)
    return python


def by_feast(made: World, folder: Path, python: Path) -> tuple[float, int]:
    """CPU seconds that Feast's retrieval takes where every row is known at its time, and how many cells are others than ours."""
    utc = pl.Datetime("us", "UTC")
    made.asked.with_row_index("row").select("row", *VIEWS, event_timestamp=pl.col("time").cast(utc)).write_parquet(folder / "asked.parquet")
    for name, (_, rows) in made.views.items():
        named = rows.rename({"entity": name} | {column: f"{name}_{column}" for column in COLUMNS})
        named.with_columns(pl.col("event", "arrived").cast(utc)).write_parquet(folder / f"{name}.parquet")
    said = subprocess.run([python, Path(__file__).with_name("feast_peer.py"), folder], check=True, capture_output=True, text=True)
    found, ours = pl.read_parquet(folder / "found.parquet").sort("row"), join(made)
    if found.height != ours.height:
        return float(said.stdout.split()[-1]), abs(found.height - ours.height) * ours.width
    return float(said.stdout.split()[-1]), sum(int((~found[name].fill_nan(None).eq_missing(ours[name])).sum()) for name in ours.columns)


def mismatches(made: World, found: pl.DataFrame, seed: int) -> int:
    """Cells of a sample that a search through an entity's rows, one by one, finds otherwise."""
    places = np.sort(np.random.default_rng(seed).choice(ROWS, SAMPLE, replace=False))
    wrong = 0
    for name in VIEWS:
        own = found[places].select(f"{name}_{column}" for column in COLUMNS)
        for moment, rows, cells in _searched(made, name, places, own):
            best = max(rows, key=lambda row: row[:3], default=None)
            wanted = best[3:] if best is not None and moment - best[0] <= TTL else (None,) * len(COLUMNS)
            wrong += sum(one != other for one, other in zip(cells, wanted, strict=True))
    return wrong


def _searched(made: World, name: str, places: Ints, found: pl.DataFrame) -> Iterator[tuple[int, list[Any], tuple[Any, ...]]]:
    """Each place's moment, the rows that it sees (event, arrived, place, values), and the values that were found for it."""
    asked = made.asked[places].select(name, "time")
    rows = made.views[name][1].with_columns(pl.col("event", "arrived").cast(pl.Int64))
    meant = rows.join(asked.select(entity=name).unique(), on="entity", how="semi", maintain_order="left")
    of: dict[int, list[Any]] = {}
    for place, (entity, event, arrived, *cells) in enumerate(meant.iter_rows()):
        of.setdefault(entity, []).append((event, arrived, place, *cells))
    for (entity, moment), cells in zip(asked.iter_rows(), found.iter_rows(), strict=True):
        yield moment, [row for row in of.get(entity, []) if max(row[0], row[1]) <= moment], cells


HOWS = ("count", "sum", "mean", "max", "last", "distinct")


def windows(made: World) -> pl.DataFrame:
    """Six aggregates of seven days for each row, of one view."""
    view, rows = made.views["customer"]
    week = Window("7d")
    hows = {how: week.count() if how == "count" else getattr(week, how)("x0") for how in HOWS}
    of = FeatureView("weeks", view.data, entity="entity", features=hows)
    moment = made.asked["time"]
    return prepare(of, rows).values(pl.DataFrame({"row_time": moment + 1, "moment": moment, "key": made.asked["customer"]}))


def window_mismatches(made: World, found: pl.DataFrame, seed: int) -> int:
    """As `mismatches`, of the windows."""
    places = np.sort(np.random.default_rng(seed).choice(ROWS, SAMPLE, replace=False))
    wrong = 0
    for moment, rows, cells in _searched(made, "customer", places, found[places]):
        values = [row[3] for row in sorted(rows) if moment - 7 * DAY < row[0] <= moment]
        total = math.fsum(values)
        some = (total / len(values), max(values), values[-1]) if values else (None, None, None)
        wrong += sum(one != other for one, other in zip(cells, (len(values), total, *some, len(set(values))), strict=True))
    return wrong


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of all threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


def run(report: Report, *, peers: bool) -> None:
    """Compare, then time."""
    late, on_time = world(1, late=True), world(2, late=False)
    joined = join(on_time)
    if not joined.equals(by_hand(on_time)):
        raise SystemExit("join_asof by hand gives other values than the join")
    wrong = mismatches(late, join(late), 3) + mismatches(on_time, joined, 4) + window_mismatches(late, windows(late), 5)
    del joined
    hand = []
    timed: dict[str, list[float]] = {"late": [], "on time": [], "windows": []}
    for _ in range(REPEATS):
        timed["late"].append(cpu(lambda: join(late)))
        timed["on time"].append(cpu(lambda: join(on_time)))
        hand.append(cpu(lambda: by_hand(on_time)))
        timed["windows"].append(cpu(lambda: windows(late)))
    what = "join, 1M rows × 3 views × 2M rows × 5 columns"
    late_row = Row.of(f"{what}, a tenth late", "CPU s", timed["late"])
    report.rows += [
        late_row,
        Row.of(f"{what}, on time", "CPU s", timed["on time"], peer="join_asof", peer_samples=hand),
        Row.of("six windows of 7d, 1M rows × 2M rows, a tenth late", "CPU s", timed["windows"]),
    ]
    if peers:
        with tempfile.TemporaryDirectory() as name:
            python = environment(Path(name) / "environment")
            taken, other = by_feast(on_time, Path(name), python)
        report.rows.append(Row.of(f"{what}, on time", "CPU s", timed["on time"], peer="Feast, DuckDB store", peer_samples=[taken]))
        report.rows.append(Row.of("cells in which Feast differs", "cells", [float(other)]))
    report.bars.append(Bar.at_most("pit_1m_3views_cpu_s", late_row.median, 6, "CPU s"))
    report.bars.append(Bar.at_most("pit_mismatches", wrong, 0, "cells"))
