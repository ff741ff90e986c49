"""A function sees declared columns alone, and nothing personal or protected: each function of the user's says here what it was given."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from flyball.data.source import read
from flyball.errors import BadInput
from flyball.features import assemble, fields
from flyball.records.training import RunSpec
from flyball.store.blobs import LocalBlobs
from flyball.training.artifact import load
from flyball.training.run import execute, perform

HIDDEN = {"secret", "person", "email", "sex", "age_band"}
"""Undeclared, whose a row is, personal, protected, protected and a slice."""

LOOP = """
import flyball as fb
import polars as pl

SEEN = {}


def source():
    import numpy as np
    n = 2_400
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    return pl.DataFrame({
        "ts": pl.Series(1_700_000_000_000_000 + 3_600_000_000 * np.arange(n)).cast(pl.Datetime("us")),
        "x": x, "shop": [f"s{i % 7}" for i in range(n)], "person": [f"p{i % 40}" for i in range(n)],
        "email": [f"p{i % 40}@x" for i in range(n)], "sex": ["f" if i % 2 else "m" for i in range(n)],
        "age_band": [("young", "old")[i % 2] for i in range(n)], "importance": 1.0 + (x > 0),
        "y": (x + rng.normal(size=n) > 0).astype(int), "secret": range(n),
    })


rows = fb.Dataset(
    "rows", source=source, time="ts", subject="person",
    columns={
        "x": fb.column(float, known_after="-1d"), "shop": fb.column(str, known_after="-1d"),
        "person": fb.column(str, personal=True, known_after="-1d"), "email": fb.column(str, personal=True, known_after="-1d"),
        "sex": fb.column(str, protected=True, known_after="-1d"),
        "age_band": fb.column(str, one_of=("young", "old"), protected=True, known_after="-1d"),
        "importance": fb.column(float, known_after="1h"), "y": fb.column(int, one_of=(0, 1), known_after="1h"),
    },
)
usual = fb.FeatureView("usual", rows, entity="person", features={"last_x": fb.window("7d").last("x")})
shop = fb.FeatureView("shop-usual", rows, entity="shop", features={"visits": fb.window("7d").count()})


def transforms(frame: pl.DataFrame) -> pl.DataFrame:
    SEEN["transforms"] = frame.columns
    return frame.with_columns(doubled=pl.col("x") * 2)


class Fitted:
    def predict(self, X):
        SEEN["predict"] = X.columns
        return (X["x"].to_numpy() > 0).astype(int)


def fit(X: pl.DataFrame, y: pl.Series, X_valid: pl.DataFrame, y_valid: pl.Series, weight: pl.Series, group: pl.Series, seed: int, run: fb.Run):
    SEEN["fit"] = X.columns
    SEEN["valid"] = X_valid.columns
    SEEN["group"] = set(group.to_list())
    SEEN["weight"] = set(weight.to_list())
    return Fitted()


def save(fitted, folder):
    (folder / "nothing").write_text("")


def load(folder):
    return Fitted()


def gate(evidence: pl.DataFrame):
    SEEN["gate"] = evidence.columns
    return True


model = fb.Model(
    "model", task="binary", data=rows, label="y", features=[usual, shop], transforms=transforms, group="person", weight="importance",
    slices=["age_band"], gates=[gate], train=fb.Train(fit, save=save, load=load, window="28d", holdout="7d"),
)
"""


@pytest.fixture
def seen(tmp_path: Path):
    """A run of the loop above, and what each function of it was given; `seen.load` gives the version as a worker has it."""
    import json

    from flyball.declare import codec
    from flyball.declare.code import load_model, load_module

    (tmp_path / "seen_loop.py").write_text(LOOP)
    model, module = load_model(tmp_path, "seen_loop.py", "model"), load_module(tmp_path, "seen_loop.py")
    blobs = LocalBlobs(tmp_path / "blobs")
    encoded = codec.encode(model)
    digests = codec.digests(encoded)
    frame = read(model.data, tmp_path)
    spec = RunSpec(
        model="model",
        declaration=blobs.put(encoded.encode()),
        code=blobs.put(json.dumps({"seen_loop.py": LOOP}).encode()),
        file="seen_loop.py",
        version_digest=digests.version,
        policy_digest=digests.policy,
        datasets={},
        as_of=int(frame["ts"].cast(pl.Int64).max() or 0) + 3_600_000_000,  # type: ignore[call-overload]
    )
    result = execute(spec, model, {"rows": frame}, blobs)
    return module.SEEN, model, frame, lambda: (load(result.artifact, blobs, tmp_path / "code"), module.SEEN), spec


def test_what_a_source_gives_beyond_the_declared_columns_is_not_kept(seen) -> None:
    _, model, frame, _, _ = seen
    assert "secret" not in frame.columns
    assert set(frame.columns) == set(model.data.names)


def test_fit_and_predict_get_features_alone(seen) -> None:
    given, model, _, _, _ = seen
    assert given["fit"] == given["valid"] == given["predict"] == assemble.feature_columns(model)
    assert given["fit"] == ["x", "last_x", "visits", "doubled"]


def test_a_transform_that_is_a_function_is_not_shown_what_callers_send_for_keys_and_slices(seen) -> None:
    given, model, _, _, _ = seen
    assert given["transforms"] == ["x", "shop", "last_x", "visits"], "a key that says of nobody who they are may be read"
    assert {"person", "age_band"} <= {name for name, _ in fields.request_fields(model)}


def test_groups_of_persons_reach_fit_without_their_names(seen) -> None:
    given, _, frame, _, _ = seen
    assert len(given["group"]) == frame["person"].n_unique()
    assert not given["group"] & set(frame["person"].to_list())
    assert given["weight"] == {1.0, 2.0}


def test_a_gate_is_shown_the_holdout_with_slices_and_protected_groups_and_no_column_else(seen) -> None:
    given, _, _, _, _ = seen
    assert set(given["gate"]) == {"__time", "y", "value", "score", "base_value", "base_score", "__group", "age_band", "sex"}


def test_a_worker_shows_a_version_the_same(seen) -> None:
    _, model, frame, again, _ = seen
    predictor, given = again()
    given.clear()
    rows = frame.tail(3).select([name for name, _ in fields.request_fields(model)])
    times = frame.tail(3)["ts"].cast(pl.Int64).to_list()
    X = assemble.served(predictor.model, rows, times, {"rows": frame}).features
    predictor.predict(X)
    assert X.columns == ["x", "last_x", "visits", "doubled"]
    assert not HIDDEN & set(X.columns)


def test_a_function_cannot_give_a_hidden_column_a_second_time(seen) -> None:
    _, model, frame, _, spec = seen
    other = model.replace(transforms=lambda rows: rows.with_columns(person=pl.lit("x")))
    with pytest.raises(BadInput, match='adds "person", which is a column of the request'):
        perform(spec, other, {"rows": frame}, None, package=False)


def test_a_group_that_says_of_nobody_who_they_are_is_given_as_it_is(seen) -> None:
    from flyball.training.rows import assemble as assembled

    _, model, frame, _, spec = seen
    rows = assembled(model.replace(group="shop"), {"rows": frame}, as_of=spec.as_of)
    assert set(rows.frame["__group"]) == set(frame["shop"])
    protected = assembled(model.replace(group="sex"), {"rows": frame}, as_of=spec.as_of)
    assert set(protected.frame["__group"]).isdisjoint({"f", "m"})
    assert protected.frame["__group"].n_unique() == 2
