"""What a model is made from, and what it looks at besides."""

from __future__ import annotations

import flyball as fb
from flyball.declare.reads import looked_at, made_from


def fit(X, y):
    return X, y


countries = fb.Dataset("countries", source="c.csv", id="code", columns={"name": str})
shops = fb.Dataset("shops", source="s.csv", id="shop", columns={"country": str}, references={"country": countries})
visits = fb.Dataset("visits", source="v.csv", time="at", columns={"n": float}, subject="who")
claims = fb.Dataset("claims", source="l.csv", time="at", id="row", columns={"fraud": int})
sales = fb.Dataset("sales", source="x.csv", time="at", id="row", columns={"shop": str, "x": float, "y": int}, references={"shop": shops})
profits = fb.Dataset("profits", source="p.csv", time="at", id="row", columns={"gain": float})
view = fb.FeatureView("v", visits, entity="who", features={"n": fb.window("1d").sum("n")}).on("shop")


def model(**more):
    return fb.Model("m", task="binary", data=sales, label="y", features=[view], train=fb.Train(fit), **more)


def test_a_run_reads_rows_views_and_labels():
    assert list(made_from(model())) == ["sales", "visits"]
    label = fb.Label("fraud", source=claims, on="row", within="30d")
    assert list(made_from(model().replace(label=label))) == ["sales", "visits", "claims"]


def test_what_is_referred_to_is_looked_at_before_what_refers_to_it():
    outcome = fb.Outcome("gain", source=profits, on="row", column="gain", within="30d")
    assert list(looked_at(model(outcomes=[outcome]))) == ["countries", "shops", "sales", "visits", "profits"]
