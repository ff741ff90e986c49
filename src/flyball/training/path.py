"""The section `path`: how long a version's whole path takes (views, transforms, model) in a worker of its own, and how much memory that holds.

The worker is started by its module's name, for it stands on a higher floor: what it is told and what it saw are files. It takes a process and its imports,
some two seconds, so it is started only where a gate asks for what it finds.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from flyball.compute.guardian import ONE_THREAD, outside
from flyball.data.types import instants
from flyball.declare.checks import AnyOf, Check
from flyball.declare.model import Model
from flyball.declare.views import FeatureView
from flyball.errors import BadInput
from flyball.evaluation import path as figures
from flyball.features.keys import alike, asked_keys, clean, key_type, row_keys
from flyball.features.online import encode, materialise
from flyball.features.online.plan import plan
from flyball.features.reading import reach
from flyball.records import codec
from flyball.records.estimates import Estimate
from flyball.records.path import PathAsked, PathSeen
from flyball.store.blobs import LocalBlobs
from flyball.store.online_address import open_online
from flyball.training import artifact
from flyball.training.evaluating import Found, Frames, Subject
from flyball.training.stored import Stored

METRICS: Final = ("latency_p50", "latency_p95", "latency_p99", "memory")
CALLS: Final = 200
CALLS_OF_P99: Final = 500
"""The interval of a 99th percentile has an upper end from 368 calls on."""

BUDGET_S: Final = 4.0
"""How long the calls may take together: of a slow version a few say enough."""

_LONGEST_S: Final = 120.0
_MOST_ROWS: Final = 200_000
"""Rows of a view's data set that its store is filled with: the newest of the entities that are asked about."""


def size(subject: Subject) -> Found:
    """The metric `size`: the bytes of all that a worker loads. Raises BadInput in a rehearsal."""
    blobs = _packed(subject)
    manifest = artifact.manifest_of(subject.artifact, blobs)
    held = {subject.artifact, manifest.code, manifest.declaration, *manifest.files.values()} - {""}
    return Found(measured={"size": Estimate(value=float(sum(blobs.path(digest).stat().st_size for digest in held)), n=len(held))})


def path(subject: Subject) -> Found:
    """Start a worker and ask it rows of the hold-out. Raises BadInput where no gate asks for it, or it does not answer."""
    if not asks(subject.model):
        raise BadInput(
            "no gate asks for latency or memory",
            why="they are measured in a worker of its own, which takes some seconds to start",
            fix="a gate that names one of them, and another run",
        )
    blobs = _packed(subject)
    rows = _requests(subject)
    with tempfile.TemporaryDirectory(prefix="flyball-path-") as temporary:
        folder = Path(temporary)
        _fill(subject, rows, folder)
        told = PathAsked(
            artifact=subject.artifact,
            blobs=str(blobs.root),
            folder=temporary,
            rows=_wire(subject, rows),
            calls=_calls(subject.model),
            budget_s=BUDGET_S,
            lengths=_lengths(subject.model, rows),
        )
        seen = _measured(told, folder)
    return Found({"path": figures.summary(seen)}, figures.estimates(seen))


def asks(model: Model) -> bool:
    """Whether a gate names what this section measures."""
    return bool(_named(model) & {*METRICS})


def _named(model: Model) -> set[str]:
    """The metrics that gates name."""
    parts = [part for gate in model.gates for part in (gate.checks if isinstance(gate, AnyOf) else (gate,))]
    return {part.metric.name for part in parts if isinstance(part, Check)}


def _calls(model: Model) -> int:
    return CALLS_OF_P99 if "latency_p99" in _named(model) else CALLS


def _packed(subject: Subject) -> LocalBlobs:
    if not subject.artifact or not isinstance(subject.blobs, LocalBlobs):
        raise BadInput("nothing was packed", why="a rehearsal stores no artifact that could be loaded")
    return subject.blobs


def _measured(told: PathAsked, folder: Path) -> PathSeen:
    (folder / "asked.json").write_bytes(codec.encode(told))
    argv = [sys.executable, "-P", "-m", "flyball.serving.measuring", str(folder)]
    try:
        ended = subprocess.run(
            argv, check=False, capture_output=True, timeout=_LONGEST_S, env={**outside(), **ONE_THREAD, "POLARS_MAX_THREADS": "1"}
        )
    except subprocess.TimeoutExpired:
        raise BadInput(f"a worker did not answer within {_LONGEST_S:.0f} s", why="it was started to be measured") from None
    if ended.returncode or not (folder / "seen.json").exists():
        failed = folder / "failed.txt"
        why = failed.read_text() if failed.exists() else ended.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise BadInput("the version does not answer in a worker", why=str(why)[:500])
    return codec.decode((folder / "seen.json").read_bytes(), PathSeen)


def _requests(subject: Subject) -> pl.DataFrame:
    """Rows of the hold-out as callers send them, with their time: up to as many as there are calls, from all of it; of a ranking whole lists."""
    rows, split, data = subject.rows, subject.split, subject.model.data
    times = rows.frame["__time"][split.holdout : split.end]
    wanted = times.gather_every(max(1, -(-times.len() // CALLS)))
    low, high = int(wanted[0]), int(wanted[-1])
    if not data.time:
        held = subject.frames[data.name][low : high + 1].with_row_index("__time", offset=low)
    else:
        held = pl.concat([piece.filter(instants(data.time).is_between(low, high)) for piece in _pieces(subject.frames, data.name)])
        held = held.with_columns(instants(data.time).alias("__time"))
    found = held.filter(pl.col("__time").is_in(wanted.implode()))
    found = found.sort("__time", subject.model.group, maintain_order=True) if subject.model.task == "ranking" else found.head(CALLS)
    if found.height == 0:
        raise BadInput("the hold-out's rows are not in the data set", why="a worker is asked them as callers send them")
    return found


def _lengths(model: Model, rows: pl.DataFrame) -> tuple[int, ...]:
    """How many rows each call asks: those of a list, for whoever waits for a ranking waits for all of it."""
    if model.task != "ranking":
        return ()
    return tuple(rows.select(pl.struct("__time", model.group).rle().struct.field("len"))["len"].to_list())


def _pieces(frames: Frames, name: str) -> list[pl.DataFrame]:
    return list(frames.pieces(name)) if isinstance(frames, Stored) else [frames[name]]


def _wire(subject: Subject, rows: pl.DataFrame) -> tuple[tuple[int | float | str | bool | None, ...], ...]:
    """In the order of the signature; times are µs."""
    names = [field.name for field in subject.released.signature.fields]
    frame = rows.select(names)
    frame = frame.with_columns(pl.col(pl.Datetime).cast(pl.Datetime("us")).cast(pl.Int64), pl.col(pl.Float64).fill_nan(None))
    return tuple(frame.rows())


def _fill(subject: Subject, rows: pl.DataFrame, folder: Path) -> None:
    """The online store of the version's views, of the entities that are asked about, as if the newest of these rows were asked now."""
    model = subject.model
    if not model.features:
        return
    now = time.time_ns() // 1000
    moment = int(rows["__time"].max()) - int(model.framing.horizon)  # type: ignore[arg-type]  # of integers
    store = open_online("", folder)
    try:
        for view in model.features:
            made = plan(view)
            known = _known(subject.frames, view, rows, moment).select(encode.columns(made))
            later = timedelta(microseconds=now - moment)
            times = [name for name in (view.data.time, view.data.arrived) if name in known.columns]
            shifted = known.with_columns(pl.col(name).cast(pl.Datetime("us")) + later for name in times)
            materialise.fill(store, made, materialise.Version("measured", shifted), now)
    finally:
        store.close()


def _known(frames: Mapping[str, pl.DataFrame], view: FeatureView, rows: pl.DataFrame, moment: int) -> pl.DataFrame:
    """The rows that the view may look at, at that moment."""
    back, dtype = reach(view), key_type(view)
    wanted = asked_keys(view, rows)
    found = []
    for piece in _pieces(frames, view.data.name):
        part = piece.filter(instants(view.data.time) <= moment)
        if back is not None:
            part = part.filter(instants(view.data.time) > moment - int(back))
        if dtype is not None and wanted is not None and (own := row_keys(view, part)) is not None:
            asked = alike(clean(wanted), dtype).hash(seed=0).unique()
            part = part.filter(alike(clean(own), dtype).hash(seed=0).is_in(asked.implode()))
        found.append(part)
    return pl.concat(found).tail(_MOST_ROWS)
