"""A small trained project with a feature view, and its real worker scorer writing a real prediction log."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import flyball as fb
from flyball.data.commit import load_content
from flyball.data.erasures import present
from flyball.declare.codec import view_digest
from flyball.declare.units import fill
from flyball.declare.views import FeatureView
from flyball.features.assemble import prepare_history
from flyball.features.online.form import entity
from flyball.loop.online import brought_up
from flyball.records.data import DATASETS
from flyball.records.versions import VERSIONS
from flyball.serving import wal, wire
from flyball.serving.history import History, store_of
from flyball.serving.vectors import TakenUp, packed
from flyball.serving.worker import Scorer, _parts
from flyball.store.online import Part
from flyball.training.artifact import load
from flyball.training.predictor import Predictor
from flyball.wiring import Wired

from .person_kit import Ended, OnDisk

HOUR = 3_600_000_000
DAY = 24 * HOUR
END = int(time.time()) // 3600 * 3600 - 3600
"""When the last rows happened, in s: the same for a whole run of the tests."""
SHOPS = [f"shop-{n}" for n in range(8)]

LOOP = """
import flyball as fb
import polars as pl
from sklearn.tree import DecisionTreeClassifier

sales = fb.Dataset(
    "sales", source="data/sales.csv", time="ts", min_rows=50, owner="tills"SUBJECT,
    columns={"shop": str, "amount": fb.column(float, between=(0, 1000)), "busy": fb.column(int, one_of=(0, 1), known_after="1s")},
)
week = fb.FeatureView("week", sales, entity="shop", owner="features", features={
    "sold": fb.window("7d").sum("amount"), "times": fb.window("7d").count(), "newest": fb.window("7d").last("amount")})

def fit(X: pl.DataFrame, y: pl.Series):
    return DecisionTreeClassifier(max_depth=3).fit(X, y)

shops = fb.Model(
    "shops", task="binary", data=sales, label="busy", features=[week], inputs=[], owner="risk", framing=fb.Framing("test"),
    train=fb.Train(fit, window="30d", holdout="7d"), gates=[fb.metric("accuracy") >= 0.1], autonomy="record",
)
"""


def rows(count: int = 600, *, more: int = 0) -> pl.DataFrame:
    """Sales of eight shops over thirty days, in order of time, the last at END; then `more`, a minute apart."""
    rng = np.random.default_rng(0)
    moments = [(END - 30 * 86_400 * (1 - (row + 1) / count)) for row in range(count)] + [END + 60 * (row + 1) for row in range(more)]
    amounts = np.concatenate([rng.uniform(0, 400, count), rng.uniform(0, 400, more)])
    return pl.DataFrame(
        {
            "shop": [SHOPS[row % len(SHOPS)] for row in range(count + more)],
            "amount": amounts.round(2),
            "busy": np.arange(count + more) * 7 % 11 % 2,
            "ts": [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)) for moment in moments],
        }
    )


def with_window(view: FeatureView, span: str) -> FeatureView:
    """The view with another span for what was sold: the bug."""
    changed = object.__new__(FeatureView)
    fill(changed, {item.name: getattr(view, item.name) for item in dataclasses.fields(view)})
    fill(changed, {"features": view.features | {"sold": fb.window(span).sum("amount")}})
    return changed


class Store:
    """What a worker's scorer asks: the values that a model's views give on these rows, and what is said of where they come from."""

    def __init__(self, model: fb.Model, frame: pl.DataFrame, content: str) -> None:
        self.prepared = prepare_history(model, frame)
        self.views = packed([TakenUp(view.name, view_digest(view), tuple(view.features), "sales", content) for view in model.features])


class Shops(OnDisk):
    """The project on disk."""

    source = "sales.csv"

    @classmethod
    def make(cls, root: Path, *, subject: bool = False) -> Shops:
        """A version of the model, made from all rows."""
        (root / "data").mkdir(parents=True)
        (root / "flyball.toml").touch()
        (root / "loop.py").write_text(LOOP.replace("SUBJECT", ', subject="shop"' if subject else ""))
        shops = cls(root)
        shops.write(rows())
        assert shops.call("train", "shops", "--trials", 0).code == 0
        return shops

    def content(self) -> str:
        """Where the newest version lies."""
        with self.opened() as wired:
            state = wired.ledger.state()
            row = state.get(DATASETS, "sales")
            assert row is not None
            assert row.head is not None
            return present(state, "sales", row.head.content)

    def serve(
        self,
        keys: Sequence[str],
        *,
        at: int,
        span: str = "7d",
        content: str = "",
        lost: str = "",
        ids: Sequence[str] = (),
        told: str = "",
        ago_s: int = 0,
    ) -> list[str]:
        """Ask the worker's own scorer for these shops as of `at` (µs) and log what a gateway would; the ids of the rows.

        span: what the served view computes. content: the data set version it had taken up (the newest). lost: a key that its store has lost.
        ids: those that the caller chose. told: the version that the worker says it was, where it had not yet heard of `content`. ago_s: since it was
        asked.
        """
        with self.opened() as wired:
            row = wired.ledger.state().get(VERSIONS, "shops/1.0.0")
            assert row is not None
            predictor = load(row.artifact, wired.blobs, wired.layout.run / "code")
            model = predictor.model
            if span != "7d":
                model = model.replace(features=[with_window(model.features[0], span)])
            content = content or self.content()
            frame = load_content(content, wired.blobs)
            store = Store(model, frame.filter(pl.col("shop") != lost), told or content)
            served = Predictor(model, predictor.signature, predictor.fitted)
            return self._log(wired, Scorer(served, store), keys, at, list(ids), ago_s=ago_s)

    def bring_up(self) -> None:
        """Materialise the views, as the loop does beside its ticks."""
        with self.opened() as wired:
            assert brought_up(wired.ports) == []

    def lose(self, key: str) -> None:
        """The online store loses all that it has of a shop."""
        with self.opened() as wired:
            store = store_of(wired.layout)
            [live] = [one for one in store.generations() if one.live]
            parts = [Part(*part) for part in store.read(live.view, [entity(key)])]
            assert parts
            store.update(live, [(part.entity, part.number) for part in parts], lambda *_: None, live.cursor)
            store.close()

    def ask(self, keys: Sequence[str], *, at: int) -> list[str]:
        """The same with all of the worker: its scorer asks the project's online store, as it is."""
        with self.opened() as wired:
            row = wired.ledger.state().get(VERSIONS, "shops/1.0.0")
            assert row is not None
            predictor = load(row.artifact, wired.blobs, wired.layout.run / "code")
            store = store_of(wired.layout)
            history = History(predictor.model, lambda: store)
            history.refresh()
            ids = self._log(wired, Scorer(predictor, history), keys, at, [])
            store.close()
        return ids

    def _log(self, wired: Wired, scorer: Scorer, keys: Sequence[str], at: int, ids: list[str], *, ago_s: int = 0) -> list[str]:
        writer = wal.Writer(wired.layout.log, "g0", reserve_bytes=0)
        questions = [wire.Question(tag, [at], [[key]]) for tag, key in enumerate(keys)]
        found = scorer.score([[key] for key in keys], [at] * len(keys))
        now, ids = time.monotonic_ns() - ago_s * 1_000_000_000, ids or [f"p_{time.time_ns() + n:032x}" for n in range(len(keys))]
        frames = [writer.declare("shops@1.0.0", ["shop"])]
        for own, key, frame in zip(ids, keys, _parts(questions, found), strict=True):
            reply = wire.decode_reply(frame[4:])
            frames += writer.declare_views(bytes(reply.views))
            given: dict[str, Any] = {"picked_ns": now, "answered_ns": now, "version": "shops@1.0.0", "role": "champion", "rows": 1}
            packed = wal.frame(
                "answer",
                own,
                packed_input=wal._encode([[key]]),
                packed_output=bytes(reply.output),
                packed_vectors=bytes(reply.vectors),
                **given,
            )
            frames.append(packed)
        assert writer.append(frames)
        writer.close()
        return ids


def verified(ended: Ended) -> dict[str, Any]:
    """The one version in the document of `features verify`."""
    [one] = json.loads(ended.out)["verified"]
    return one
